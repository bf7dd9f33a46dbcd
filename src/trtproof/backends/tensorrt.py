"""TensorRT: so far, only why it cannot be used here."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trtproof.backends.base import BuildSpec, CompileRecord, Engine, Facts, RunOptions
from trtproof.errors import BackendError
from trtproof.reason import Reason

if TYPE_CHECKING:
    from trtproof.models.base import ModelFiles

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


class TensorRtBackend:
    """Registered as "tensorrt"."""

    name = "tensorrt"

    def unavailable(self, facts: Facts, precision: str) -> Reason | None:
        """Return the first thing that is missing; at last, that this version cannot build."""
        del precision
        if "bindings" not in facts:
            return NO_BINDINGS
        if "libraries" not in facts:
            return NO_LIBRARIES
        if "gpu" not in facts:
            return NO_GPU
        return NOT_YET

    def compile(self, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
        """Refuse.

        Raises:
            BackendError: always.
        """
        raise BackendError(NOT_YET.text)

    def open(self, folder: Path, plan: str, options: RunOptions) -> AbstractContextManager[Engine]:
        """Refuse.

        Raises:
            BackendError: always.
        """
        raise BackendError(NOT_YET.text)


BACKEND = TensorRtBackend()
