"""The user's own operators: libraries that register themselves with TensorRT when loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from trtproof.backends.tensorrt import library
from trtproof.errors import BackendError

FOLDER: Final = "plugins"
"""Where a plan's plug-ins lie beside it, so that a variant's folder needs nothing else."""

ALL_NAMESPACES: Final = ""


def load_plugins(trt: Any, files: Iterable[Path]) -> None:
    """Register TensorRT's own plug-ins, then the user's, in every process that needs them.

    Raises:
        BackendError: a library cannot be loaded.
    """
    trt.init_libnvinfer_plugins(library.logger(trt), ALL_NAMESPACES)
    for file in files:
        try:
            ctypes.CDLL(str(file.resolve()), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise BackendError(
                f"the plug-in library {file} cannot be loaded ({error}); build it for this "
                "machine's TensorRT and CUDA"
            ) from error


def plugins_beside(folder: Path) -> list[Path]:
    """Return the plug-in libraries in a variant's folder, in the order they were listed."""
    return sorted((folder / FOLDER).glob("*.so"))
