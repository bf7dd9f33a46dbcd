"""Why TensorRT cannot be used on a machine, from recorded facts alone."""

from __future__ import annotations

from typing import Final

from trtproof.backends.base import Facts
from trtproof.reason import Reason

OLDEST_VERSION: Final = (10, 13)
"""The first with every member that the code calls; it is written against 10.16 and 11.4."""

OLDEST_GPU: Final = (7, 5)
PRECISION_FLOORS: Final[dict[str, tuple[int, int]]] = {
    "fp32": OLDEST_GPU,
    "fp16": OLDEST_GPU,
    "int8": OLDEST_GPU,
    "int8_fp16": OLDEST_GPU,
    "bf16": (8, 0),
    "fp8": (8, 9),
    "fp8_fp16": (8, 9),
}
"""Precision -> oldest compute capability with hardware for it. Source: "Hardware and Precision" of
NVIDIA's TensorRT 10 support matrix, which starts at Turing (7.5) with FP16 and INT8, has BF16 and
TF32 from Ampere (8.0) and FP8 from Ada (8.9) on. TensorRT-RTX has another table."""

NO_BINDINGS: Final = Reason(
    code="no_bindings",
    text="TensorRT's Python bindings are not installed",
    repair="pip install 'trtproof[tensorrt]' on a machine that reaches NVIDIA's package index",
)
NO_LIBRARIES: Final = Reason(
    code="no_libraries",
    text="TensorRT's bindings are installed, but its libraries are not",
    repair="install the tensorrt libraries of the bindings' version",
)
NO_GPU: Final = Reason(
    code="no_gpu",
    text="TensorRT needs an NVIDIA GPU, and this run has none",
    repair="run on a machine with an NVIDIA GPU, with target=auto or target=cuda",
)
RTX_ONLY: Final = Reason(
    code="rtx_is_not_tensorrt",
    text="TensorRT-RTX is installed, which is another product: its engines are not TensorRT's",
    repair="pip install 'trtproof[tensorrt]' on a machine that reaches NVIDIA's package index",
)


def first_missing(facts: Facts, precision: str) -> Reason | None:
    """Return what is missing, the first to repair first; None where all is here."""
    for check in (_bindings, _libraries, _gpu, _driver, _gpu_age):
        reason = check(facts)
        if reason is not None:
            return reason
    return _precision(facts, precision)


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, for comparing: "11.4.0.106" is (11, 4, 0, 106)."""
    found: list[int] = []
    for part in version.split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)


def _bindings(facts: Facts) -> Reason | None:
    if "bindings" not in facts:
        return RTX_ONLY if "rtx" in facts else NO_BINDINGS
    bindings = str(facts["bindings"])
    if numbers(bindings) < OLDEST_VERSION:
        return Reason(
            code="too_old",
            text=f"TensorRT {bindings} is older than 10.13, the first with all that trtproof calls",
            repair="pip install --upgrade 'trtproof[tensorrt]'",
        )
    return None


def _libraries(facts: Facts) -> Reason | None:
    """Compare as many numbers as both state: a library's file name leaves out the build."""
    if "libraries" not in facts:
        return NO_LIBRARIES
    bindings, libraries = str(facts["bindings"]), str(facts["libraries"])
    ours, theirs = numbers(bindings), numbers(libraries)
    length = min(len(ours), len(theirs))
    if ours[:length] == theirs[:length]:
        return None
    return Reason(
        code="versions_differ",
        text=f"TensorRT's bindings are {bindings}, but its libraries are {libraries}",
        repair=f"install both in one version, as in `pip install tensorrt=={bindings}`",
    )


def _gpu(facts: Facts) -> Reason | None:
    return None if "gpu" in facts else NO_GPU


def _driver(facts: Facts) -> Reason | None:
    found = facts.get("driver_too_old")
    if not found:
        return None
    return Reason(
        code="driver_too_old",
        text=f"driver {found['driver']} is too old for CUDA {found['cuda']}, which these TensorRT "
        f"packages need: it takes {found['needs']} or newer",
        repair="install a newer NVIDIA driver, or TensorRT's packages for an older CUDA",
    )


def _gpu_age(facts: Facts) -> Reason | None:
    capability = str(facts.get("compute_capability", ""))
    if not numbers(capability) or numbers(capability) >= OLDEST_GPU:
        return None
    return Reason(
        code="gpu_too_old",
        text=f"{facts['gpu']} has compute capability {capability}; TensorRT 10 and 11 need "
        f"{_dotted(OLDEST_GPU)} or newer",
        repair="run on a newer GPU",
    )


def _precision(facts: Facts, precision: str) -> Reason | None:
    floor = PRECISION_FLOORS.get(precision)
    if floor is None:
        return Reason(
            code="no_such_precision",
            text=f"TensorRT takes no graph in {precision}",
            repair=f"take a recipe in {', '.join(PRECISION_FLOORS)}",
        )
    capability = str(facts.get("compute_capability", ""))
    if numbers(capability) >= floor:
        return None
    return Reason(
        code="precision_unsupported",
        text=f"{facts['gpu']} has compute capability {capability or 'unknown'}; TensorRT computes "
        f"in {precision} from {_dotted(floor)} on",
        repair="drop the variant, or run it on a newer GPU",
    )


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
