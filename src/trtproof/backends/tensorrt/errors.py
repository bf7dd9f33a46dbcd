"""What TensorRT's log lines mean: a failure that the next try meets again, or one that it may not.

TensorRT answers False or None, and says why only in its log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trtproof.backends.tensorrt.library import LogLine
from trtproof.errors import BackendError, BuildFailedError

ERROR_SEVERITIES: Final = ("INTERNAL_ERROR", "ERROR")
NOISE: Final = re.compile(
    r"^\s*$|^--- |Begin node|End node|While parsing node|^Node name: "
    r"|Thread context has not been set"
)
"""Lines of severity ERROR that name no cause."""

NO_DRIVER: Final = "cudaError 35"
"""Follows every failure on a machine without a driver; a cause only where it stands alone."""

STARVED: Final = re.compile(
    r"device memory is insufficient|insufficient memory on requested|out ?of ?memory", re.IGNORECASE
)
"""Warnings that turn "no implementation" into a want of memory: every tactic was skipped for it."""

VARIANT: Final = "in conf/variant and run `trtproof compose`"
PROFILES: Final = f"correct build.profiles {VARIANT}"
REBUILD: Final = "build the plan again on this machine: `dvc repro -f build@VARIANT`"


@dataclass(frozen=True)
class Known:
    """A message of TensorRT's that has a meaning: `lasting` failures are recorded."""

    code: str
    pattern: str
    repair: str
    lasting: bool = True


OUT_OF_MEMORY: Final = Known(
    "out_of_memory",
    r"out ?of ?memory|cudaErrorMemoryAllocation|failed_allocation|MEM_ALLOC_FAILED|bad_alloc"
    r"|could not be allocated|(cudaError|CUDA error) 2\b",
    f"free GPU memory (`nvidia-smi` shows who has it) or lower build.workspace_mib {VARIANT}",
    lasting=False,
)
NO_IMPLEMENTATION: Final = Known(
    "no_implementation",
    r"could not find any implementation|no implementation",
    "take another recipe for the named layer, or another TensorRT version",
)
KNOWN: Final = (
    OUT_OF_MEMORY,
    Known(
        "workspace_too_small",
        r"no tactics to implement the operation within workspace limit"
        r"|workspace memory greater than 0|insufficient workspace",
        f"raise build.workspace_mib {VARIANT}",
    ),
    Known("cancelled", r"BuildCanceled|build was cancel", "run it again", lasting=False),
    Known(
        "profile_missing",
        r"no optimization profile has been defined|is missing dimensions in profile",
        PROFILES,
    ),
    Known(
        "profile_mismatch",
        r"dimensions but profile \d|profile has min=|don't match kMIN|contradictory|MIN ?<= ?OPT",
        PROFILES,
    ),
    Known(
        "empty_network",
        r"must have at least one output",
        "see that the ONNX file is whole: make it again",
    ),
    Known(
        "no_lean_runtime",
        r"libnvinfer_lean",
        "install TensorRT's lean runtime of the same version, or set "
        f"build.options.embed_lean_runtime to false {VARIANT}",
    ),
    Known(
        "plan_corrupt",
        r"kEXPECTED_MAGIC_TAG|header\.size == blobSize|empty memory buffer|Serialization assertion",
        REBUILD,
    ),
    Known(
        "plan_of_another_version",
        r"not compatible with this version of TensorRT|version tag does not match",
        REBUILD,
    ),
    Known("plan_of_another_gpu", r"generated on an incompatible device", REBUILD),
    Known(
        "cuda_error",
        r"cuda ?(runtime|driver|error|initiali[sz]ation)|CUDA_ERROR|CUDA_SUCCESS|cudnn|cublas",
        "see that `nvidia-smi` works, or run `trtproof doctor`; then run it again",
        lasting=False,
    ),
    NO_IMPLEMENTATION,
)
"""The more special message stands first: the first that matches any line of the log counts."""


def causes(lines: Iterable[LogLine]) -> list[str]:
    """Return the texts of error lines that name a cause, in the order of the log, each once."""
    texts = dict.fromkeys(
        line.text.strip()
        for line in lines
        if line.severity in ERROR_SEVERITIES and not NOISE.search(line.text)
    )
    telling = [text for text in texts if NO_DRIVER not in text]
    return telling or list(texts)


def classify(lines: Sequence[LogLine]) -> tuple[Known, str] | None:
    """Return the known message that stands in these lines, and its text; None where none does."""
    texts = causes(lines)
    for known in KNOWN:
        for text in texts:
            if re.search(known.pattern, text, re.IGNORECASE):
                return _without_starving(known, text, lines)
    return None


def _without_starving(known: Known, text: str, lines: Sequence[LogLine]) -> tuple[Known, str]:
    """Tell a layer that nothing implements from one whose every tactic was skipped for memory."""
    if known is not NO_IMPLEMENTATION:
        return known, text
    starved = next((line.text for line in lines if STARVED.search(line.text)), None)
    return (known, text) if starved is None else (OUT_OF_MEMORY, f"{text} ({starved})")


def failure(
    what: str, lines: Sequence[LogLine], *, code: str, repair: str
) -> BuildFailedError | BackendError:
    """Return the error of a build's call that answered False or None.

    `what` was attempted, as in "building the engine"; `code` and `repair` hold where the log has
    no message that we know.
    """
    found = classify(lines)
    if found is None:
        text = next(iter(causes(lines)), "TensorRT says nothing of why")
        return BuildFailedError(code=code, text=f"{what}: {text}", repair=repair)
    known, text = found
    if known.lasting:
        return BuildFailedError(code=known.code, text=f"{what}: {text}", repair=known.repair)
    return BackendError(f"{what}: {text}; {known.repair}")


def refusal(what: str, lines: Sequence[LogLine], *, repair: str) -> BackendError:
    """Return the error of a runtime's call that answered False or None; nothing is recorded."""
    found = classify(lines)
    if found is not None:
        return BackendError(f"{what}: {found[1]}; {found[0].repair}")
    text = next(iter(causes(lines)), "TensorRT says nothing of why")
    return BackendError(f"{what}: {text}; {repair}")
