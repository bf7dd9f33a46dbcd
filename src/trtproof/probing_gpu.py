"""Which NVIDIA GPU this machine has, asked through NVML: the only module that imports pynvml.

No GPU is a fact. A GPU that is there but does not answer is an error, never a CPU run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from trtproof import distributions
from trtproof.errors import HardwareError

BYTES_PER_GIB: Final = 1024**3
MILLIWATTS_PER_WATT: Final = 1000
SMI: Final = "check that `nvidia-smi` works"


@dataclass(frozen=True)
class Gpu:
    """One GPU: what plans are tied to, and static facts that decide timings."""

    index: int
    """NVML's number, which nvidia-smi shows."""

    uuid: str
    name: str
    compute_capability: str
    memory_gib: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Driver, power limit, ECC, largest clocks: each only where the GPU states it."""

    @property
    def slug(self) -> str:
        """Return the name and architecture that metrics are nested under."""
        return f"{self.name} sm{self.compute_capability.replace('.', '')}"

    @property
    def short_uuid(self) -> str:
        """Return 16 hex digits that identify the device without naming it."""
        return hashlib.sha256(self.uuid.encode()).hexdigest()[:16]


def find_gpu(index: int) -> Gpu | None:
    """Return GPU number `index` of those that this process may use; None on a machine without any.

    CUDA_VISIBLE_DEVICES chooses and orders them, as it does for every CUDA library.

    Raises:
        HardwareError: a GPU is here but hidden, out of range, exclusive to one process, or does not
            answer.
    """
    with open_nvml() as nvml:
        if nvml is None:
            return None
        count = ask(nvml.nvmlDeviceGetCount)
        if count == 0:
            return None
        numbers = visible_numbers(nvml, count)
        if index >= len(numbers):
            raise HardwareError(
                f"target.gpu_index is {index}, but this machine shows {len(numbers)} GPU(s); "
                "correct it in conf/target/ (the first is 0) or in CUDA_VISIBLE_DEVICES"
            )
        return read_gpu(nvml, numbers[index])


def find_gpus() -> list[Gpu]:
    """Return every GPU that this process may use, in the order of CUDA_VISIBLE_DEVICES.

    Raises:
        HardwareError: as `find_gpu`.
    """
    with open_nvml() as nvml:
        count = ask(nvml.nvmlDeviceGetCount) if nvml is not None else 0
        if nvml is None or count == 0:
            return []
        return [read_gpu(nvml, number) for number in visible_numbers(nvml, count)]


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


def ask_optional(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what NVML answers; None where this GPU or driver has no such thing."""
    import pynvml

    missing = (
        pynvml.NVMLError_NotSupported,
        pynvml.NVMLError_FunctionNotFound,
        pynvml.NVMLError_NoPermission,
    )
    try:
        return call(*arguments)
    except missing:
        return None
    except pynvml.NVMLError as error:
        name = getattr(call, "__name__", "NVML")
        raise HardwareError(f"the GPU does not answer {name} ({error}); {SMI}") from None


def visible_numbers(nvml: ModuleType, count: int) -> list[int]:
    """Return NVML's numbers of the GPUs that CUDA_VISIBLE_DEVICES shows, in its order.

    Raises:
        HardwareError: it hides all of them, or names one that is not here.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return list(range(count))
    words = [word.strip() for word in chosen.split(",")]
    if any(word.isdigit() for word in words):
        _require_one_order(nvml, count)
    uuids = [ask(nvml.nvmlDeviceGetUUID, _handle(nvml, number)) for number in range(count)]
    numbers: list[int] = []
    for word in words:
        matching = [number for number, uuid in enumerate(uuids) if word and uuid.startswith(word)]
        if word.isdigit() and int(word) < count:
            matching = [int(word)]
        if not matching:
            break  # CUDA ignores what follows the first name that it does not know
        numbers += matching[:1]
    if not numbers:
        raise HardwareError(
            f"CUDA_VISIBLE_DEVICES={chosen!r} hides every one of this machine's {count} GPU(s); "
            "unset it, or choose `target=cpu` to measure on the CPU"
        )
    return numbers


def _require_one_order(nvml: ModuleType, count: int) -> None:
    """Refuse numbers that CUDA and NVML may count differently: CUDA puts the fastest GPU first."""
    names = {ask(nvml.nvmlDeviceGetName, _handle(nvml, number)) for number in range(count)}
    if len(names) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise HardwareError(
            f"CUDA_VISIBLE_DEVICES numbers different GPUs ({', '.join(sorted(names))}) in an order "
            "of CUDA's own; set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name a GPU by its UUID"
        )


def read_gpu(nvml: ModuleType, number: int) -> Gpu:
    """Return the facts of one GPU.

    Raises:
        HardwareError: it does not answer, or lets only one process in.
    """
    handle = _handle(nvml, number)
    _require_shared(nvml, handle, number)
    major, minor = ask(nvml.nvmlDeviceGetCudaComputeCapability, handle)
    return Gpu(
        index=number,
        uuid=ask(nvml.nvmlDeviceGetUUID, handle),
        name=ask(nvml.nvmlDeviceGetName, handle),
        compute_capability=f"{major}.{minor}",
        memory_gib=round(ask(nvml.nvmlDeviceGetMemoryInfo, handle).total / BYTES_PER_GIB),
        settings=_settings(nvml, handle),
    )


def _settings(nvml: ModuleType, handle: Any) -> dict[str, Any]:
    limit = ask_optional(nvml.nvmlDeviceGetPowerManagementLimit, handle)
    ecc = ask_optional(nvml.nvmlDeviceGetEccMode, handle)
    facts = {
        "driver": ask(nvml.nvmlSystemGetDriverVersion),
        "power_limit_w": None if limit is None else round(limit / MILLIWATTS_PER_WATT),
        "ecc": None if ecc is None else ("on" if ecc[0] else "off"),
        "max_sm_mhz": ask_optional(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM),
        "max_memory_mhz": ask_optional(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_MEM),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _handle(nvml: ModuleType, number: int) -> Any:
    return ask(nvml.nvmlDeviceGetHandleByIndex, number)


def _require_shared(nvml: ModuleType, handle: Any, number: int) -> None:
    """Refuse a GPU that one process has to itself: the workers of one session share it."""
    mode = ask_optional(nvml.nvmlDeviceGetComputeMode, handle)
    refused = {
        nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "EXCLUSIVE_PROCESS",
        nvml.NVML_COMPUTEMODE_PROHIBITED: "PROHIBITED",
    }
    if mode in refused:
        raise HardwareError(
            f"GPU {number} is in compute mode {refused[mode]}, but one worker per variant shares "
            f"it; run `sudo nvidia-smi -i {number} -c DEFAULT`"
        )


def cuda_version() -> str | None:
    """Return the CUDA runtime's version: of its own package, else the one that torch was built for.

    None where neither is installed: a runtime that came with the system has no metadata to read.
    """
    for name in ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12"):
        version = distributions.public_version(name)
        if version is not None:
            return version
    local = (distributions.installed_version("torch") or "").partition("+")[2]
    built_for = re.fullmatch(r"cu(\d+)(\d)", local)
    return f"{built_for[1]}.{built_for[2]}" if built_for else None
