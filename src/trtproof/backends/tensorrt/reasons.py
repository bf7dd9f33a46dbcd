"""Why TensorRT cannot be used on a machine, from recorded facts alone."""

from __future__ import annotations

from typing import Final

from trtproof.backends.base import Facts
from trtproof.reason import Reason

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
NOT_YET: Final = Reason(
    code="not_yet",
    text="this version cannot build TensorRT engines yet",
    repair="drop the variant, or wait for a version that can",
)


def first_missing(facts: Facts, precision: str) -> Reason | None:
    """Return the first thing that is missing, in the order of what to repair first."""
    del precision
    if "bindings" not in facts:
        return NO_BINDINGS
    if "libraries" not in facts:
        return NO_LIBRARIES
    if "gpu" not in facts:
        return NO_GPU
    return NOT_YET
