"""What TensorRT's log lines mean: a failure that the next try meets again, or one that it may not.

TensorRT answers False or None, and says why only in its log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trtproof.backends.tensorrt.library import LogLine
from trtproof.errors import BackendError, BuildFailedError, PipelineError

ERROR_SEVERITIES: Final = ("INTERNAL_ERROR", "ERROR")
NOISE: Final = re.compile(r"^(catchCudaError|Begin node|End node|While parsing node)|^--- |^\s*$")
"""Lines of severity ERROR that name no cause."""


@dataclass(frozen=True)
class Known:
    """A message of TensorRT's that has a meaning: `lasting` failures are recorded."""

    pattern: re.Pattern[str]
    code: str
    repair: str
    lasting: bool = True


def _known(pattern: str, code: str, repair: str, *, lasting: bool = True) -> Known:
    return Known(re.compile(pattern, re.IGNORECASE), code, repair, lasting)


KNOWN: Final = (
    _known(
        r"no tactics to implement the operation within workspace limit"
        r"|workspace memory greater than 0|insufficient workspace",
        "workspace_too_small",
        "raise build.workspace_mib in conf/variant",
    ),
    _known(
        r"out ?of ?memory|cudaErrorMemoryAllocation|failed_allocation|MEM_ALLOC_FAILED"
        r"|requested amount of GPU memory.* could not be allocated",
        "out_of_memory",
        "free GPU memory (see `nvidia-smi`) or lower build.workspace_mib, then run it again",
        lasting=False,
    ),
    _known(
        r"cuda (runtime )?error|cudaError|CUDA_ERROR|CUDA initialization failure|cudnn error",
        "cuda_error",
        "see that `nvidia-smi` works, or run `trtproof doctor`, then run it again",
        lasting=False,
    ),
    _known(
        r"BuildCanceled|build was cancell?ed",
        "cancelled",
        "run it again",
        lasting=False,
    ),
)
"""The more special message stands first: the first that matches a line of the log counts."""


def causes(lines: Iterable[LogLine]) -> list[str]:
    """Return the texts of error lines that name a cause, in the order of the log."""
    return [
        line.text
        for line in lines
        if line.severity in ERROR_SEVERITIES and not NOISE.search(line.text)
    ]


def classify(texts: Sequence[str]) -> tuple[Known, str] | None:
    """Return the known message that stands in these texts, and the text; None where none does."""
    for known in KNOWN:
        for text in texts:
            if known.pattern.search(text):
                return known, text
    return None


def failure(what: str, lines: Sequence[LogLine], *, code: str, repair: str) -> PipelineError:
    """Return the error of a call that answered False or None.

    `what` was attempted, as in "building the engine"; `code` and `repair` hold where the log names
    no message that we know.
    """
    texts = causes(lines)
    found = classify(texts)
    known, text = found or (_known("", code, repair), texts[0] if texts else "it said nothing")
    message = f"{what}: {text}"
    if known.lasting:
        return BuildFailedError(code=known.code, text=message, repair=known.repair)
    return BackendError(f"{message}; {known.repair}")
