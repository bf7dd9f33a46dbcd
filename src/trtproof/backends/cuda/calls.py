"""Calls of cuda-python's runtime API: results taken apart, error codes made into our errors."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final

from trtproof.errors import BackendError, CudaGraphError, DeviceMemoryError, HardwareError

MODULE: Final = "cuda.bindings.runtime"
INSTALL: Final = "pip install 'trtproof[cuda]'"
OUT_OF_MEMORY: Final = "cudaErrorMemoryAllocation"
CAPTURE_SIGNS: Final = ("StreamCapture", "CapturedEvent", "GraphExecUpdateFailure")

_SMI: Final = "check that `nvidia-smi` works, then run `trtproof doctor`"
_DRIVER: Final = (
    "install a driver for this CUDA (r580 or newer for CUDA 13, r525 or newer for CUDA 12), "
    "or the cuda-python of the driver's CUDA"
)
_LEFT: Final = "see which processes `nvidia-smi` lists, and its compute mode"
MACHINE_ERRORS: Final = {
    "cudaErrorInsufficientDriver": _DRIVER,
    "cudaErrorSystemDriverMismatch": _DRIVER,
    "cudaErrorCompatNotSupportedOnDevice": _DRIVER,
    "cudaErrorCallRequiresNewerDriver": _DRIVER,
    "cudaErrorStubLibrary": "take CUDA's stub libraries off the loader's path",
    "cudaErrorNoDevice": "see CUDA_VISIBLE_DEVICES and `nvidia-smi`, or choose `target=cpu`",
    "cudaErrorInvalidDevice": "see CUDA_VISIBLE_DEVICES and `nvidia-smi`",
    "cudaErrorDevicesUnavailable": _LEFT,
    "cudaErrorInitializationError": _SMI,
    "cudaErrorSystemNotReady": "start the fabric manager (`systemctl status nvidia-fabricmanager`)",
    "cudaErrorOperatingSystem": _SMI,
    "cudaErrorStartupFailure": _SMI,
    "cudaErrorECCUncorrectable": "the GPU's memory is faulty; see `nvidia-smi -q -d ECC`",
    "cudaErrorNvlinkUncorrectable": "an NVLink is faulty; see `nvidia-smi nvlink -e`",
    "cudaErrorUnsupportedPtxVersion": _DRIVER,
}
"""Error codes that the machine causes, and their repair."""


class Calls:
    """The runtime API of this process.

    `failed` says that an error was reported: what is released afterwards fails for the same cause,
    and must not hide it.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.failed = False

    def run(self, name: str, *arguments: Any, doing: str) -> Any:
        """Return what the call named `name` gives besides its error code.

        That is None, one value, or a tuple. `doing` is what failed, in words, for the message.

        Raises:
            DeviceMemoryError: the GPU's memory, or memory that can be pinned, is used up.
            CudaGraphError: a call that cannot be captured, or a capture that was broken.
            HardwareError: the machine has no usable GPU or driver.
            BackendError: any other error code.
        """
        error, *values = getattr(self.module, name)(*arguments)
        if error:
            raise self._translate(error, name, doing)
        if len(values) > 1:
            return tuple(values)
        return values[0] if values else None

    def release(self, name: str, *arguments: Any) -> None:
        """Run a call that gives something back.

        Raises:
            BackendError: it fails, and nothing did before.
        """
        (error,) = getattr(self.module, name)(*arguments)
        if error and not self.failed:
            raise self._translate(error, name, "giving back what was held on the GPU")

    def fail(self, error: Any, name: str, doing: str) -> None:
        """Raise the error of a code that a caller took apart itself."""
        raise self._translate(error, name, doing)

    def _translate(self, error: Any, name: str, doing: str) -> Exception:
        """Return our error of an error code, in CUDA's own words."""
        text = f"{doing}: {name} failed with {error.name} ({self._describe(error)})"
        if error.name == OUT_OF_MEMORY:
            return DeviceMemoryError(
                f"{text}; free memory of the GPU (`nvidia-smi` lists who holds it), or lower the "
                "batch or the number of streams"
            )
        if any(sign in error.name for sign in CAPTURE_SIGNS):
            return CudaGraphError(text)
        self.failed = True
        if error.name in MACHINE_ERRORS:
            return HardwareError(f"{text}; {MACHINE_ERRORS[error.name]}")
        return BackendError(text)

    def _describe(self, error: Any) -> str:
        _, text = self.module.cudaGetErrorString(error)
        return text.decode() if isinstance(text, bytes) else str(text)


def load_calls() -> Calls:
    """Return the runtime API.

    Raises:
        HardwareError: cuda-python is not installed, or cannot be loaded.
    """
    try:
        return Calls(importlib.import_module(MODULE))
    except ModuleNotFoundError as error:
        if not MODULE.startswith(error.name or "?"):
            raise
        raise HardwareError(f"cuda-python is not installed; run `{INSTALL}`") from None
    except (ImportError, OSError, RuntimeError) as error:
        raise HardwareError(
            f"cuda-python cannot be loaded ({error}); run `{INSTALL} --upgrade`, or "
            "`trtproof doctor`"
        ) from error
