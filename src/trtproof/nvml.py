"""NVML, the NVIDIA driver's word on its GPUs: the only module that imports pynvml.

What a GPU or driver does not tell is None, never 0. A GPU that does not answer at all is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from trtproof.errors import HardwareError

SMI: Final = "check that `nvidia-smi` works"
HASH_DIGITS: Final = 16


@contextmanager
def open_nvml() -> Iterator[ModuleType | None]:
    """Yield the initialised NVML, or None where there is neither a GPU nor a driver.

    Raises:
        HardwareError: a driver is here but NVML cannot start.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded) as error:
        if has_device_nodes():
            raise HardwareError(
                f"this machine has an NVIDIA GPU, but its driver does not answer ({error}); "
                "install the driver or load it, or choose `target=cpu`"
            ) from None
        yield None
        return
    except pynvml.NVMLError as error:
        raise HardwareError(
            f"NVML does not start ({error}); {SMI}, or choose `target=cpu`"
        ) from None
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def has_device_nodes() -> bool:
    """Say whether the kernel shows a GPU's device files."""
    return any(re.fullmatch(r"nvidia\d+", path.name) for path in Path("/dev").glob("nvidia*"))


def ask(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what NVML answers.

    Raises:
        HardwareError: it fails; a GPU that does not answer cannot be measured.
    """
    import pynvml

    try:
        return call(*arguments)
    except pynvml.NVMLError as error:
        name = getattr(call, "__name__", "NVML")
        raise HardwareError(f"the GPU does not answer {name} ({error}); {SMI}") from None


def ask_optional(call: Callable[..., Any] | None, *arguments: Any) -> Any:
    """Return what NVML answers; None where this GPU, driver or package has no such thing.

    Raises:
        HardwareError: it fails for another reason.
    """
    import pynvml

    if call is None:
        return None
    missing = (
        pynvml.NVMLError_NotSupported,
        pynvml.NVMLError_FunctionNotFound,
        pynvml.NVMLError_NoPermission,
        pynvml.NVMLError_InvalidArgument,
        pynvml.NVMLLibraryMismatchError,  # a driver older than the call
    )
    try:
        return call(*arguments)
    except missing:
        return None
    except pynvml.NVMLError as error:
        name = getattr(call, "__name__", "NVML")
        raise HardwareError(f"the GPU does not answer {name} ({error}); {SMI}") from None


def hash_uuid(uuid: str) -> str:
    """Return 16 hex digits that identify a GPU without naming it."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:HASH_DIGITS]


def find_handle(nvml: ModuleType, short_uuid: str) -> Any:
    """Return the handle of the GPU, or part of one (MIG), whose UUID has this hash.

    A handle by UUID is the same device to every process, however each of them counts GPUs.

    Raises:
        HardwareError: it is not in this machine.
    """
    for handle in _all_devices(nvml):
        if hash_uuid(ask(nvml.nvmlDeviceGetUUID, handle)) == short_uuid:
            return handle
    problem = (
        "the GPU that the probe recorded is not in this machine any more; run `dvc repro probe`"
    )
    raise HardwareError(problem)


def list_parts(nvml: ModuleType, handle: Any) -> list[Any]:
    """Return the handles of a GPU's parts where MIG is on; none where it is off."""
    mode = ask_optional(nvml.nvmlDeviceGetMigMode, handle)
    if mode is None or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return []
    parts = []
    for index in range(ask_optional(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        try:
            parts.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
        except (nvml.NVMLError_NotFound, nvml.NVMLError_InvalidArgument):
            continue  # no instance was made in this place
    return parts


def find_board(nvml: ModuleType, handle: Any) -> Any:
    """Return the whole GPU of a part (MIG); a whole one is its own board."""
    if not ask_optional(getattr(nvml, "nvmlDeviceIsMigDeviceHandle", None), handle):
        return handle
    return ask(nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle)


def _all_devices(nvml: ModuleType) -> Iterator[Any]:
    """Yield every GPU, each followed by its parts."""
    for number in range(ask(nvml.nvmlDeviceGetCount)):
        handle = ask(nvml.nvmlDeviceGetHandleByIndex, number)
        yield handle
        yield from list_parts(nvml, handle)
