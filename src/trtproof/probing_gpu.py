"""Which NVIDIA GPU this machine has, asked through NVML (trtproof.nvml).

No GPU is a fact. A GPU that is there but does not answer is an error, never a CPU run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from trtproof import distributions
from trtproof.errors import HardwareError
from trtproof.nvml import ask, ask_optional, find_board, hash_uuid, list_parts, open_nvml

BYTES_PER_GIB: Final = 1024**3
MILLIWATTS_PER_WATT: Final = 1000


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
        return hash_uuid(self.uuid)


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
        if ask(nvml.nvmlDeviceGetCount) == 0:
            return None
        handles = visible_devices(nvml)
        if index >= len(handles):
            raise HardwareError(
                f"target.gpu_index is {index}, but this machine shows {len(handles)} GPU(s); "
                "correct it in conf/target/ (the first is 0) or in CUDA_VISIBLE_DEVICES"
            )
        return read_gpu(nvml, handles[index])


def find_gpus() -> list[Gpu]:
    """Return every GPU that this process may use, in the order of CUDA_VISIBLE_DEVICES.

    Raises:
        HardwareError: as `find_gpu`.
    """
    with open_nvml() as nvml:
        if nvml is None or ask(nvml.nvmlDeviceGetCount) == 0:
            return []
        return [read_gpu(nvml, handle) for handle in visible_devices(nvml)]


def visible_devices(nvml: ModuleType) -> list[Any]:
    """Return the handles of the GPUs that CUDA_VISIBLE_DEVICES shows, in its order.

    Of a GPU in parts (MIG) they are its parts: CUDA runs on nothing else of it.

    Raises:
        HardwareError: it hides all of them, or names one that is not here.
    """
    boards = [_handle(nvml, number) for number in range(ask(nvml.nvmlDeviceGetCount))]
    usable = {number: list_parts(nvml, board) or [board] for number, board in enumerate(boards)}
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return [handle for handles in usable.values() for handle in handles]
    words = [word.strip() for word in chosen.split(",")]
    if any(word.isdigit() for word in words):
        _require_one_order(nvml, boards)
    shown: list[Any] = []
    for word in words:
        found = _find_named(nvml, word, boards, usable)
        if found is None:
            break  # CUDA ignores what follows the first name that it does not know
        shown.append(found)
    if not shown:
        raise HardwareError(
            f"CUDA_VISIBLE_DEVICES={chosen!r} hides every one of this machine's {len(boards)} "
            "GPU(s); unset it, or choose `target=cpu` to measure on the CPU"
        )
    return shown


def _find_named(
    nvml: ModuleType, word: str, boards: Sequence[Any], usable: Mapping[int, Sequence[Any]]
) -> Any:
    """Return the device that one word names, by number or by the start of a UUID; or None."""
    if word.isdigit():
        return usable[int(word)][0] if int(word) in usable else None
    if not word:
        return None
    for number, board in enumerate(boards):
        if ask(nvml.nvmlDeviceGetUUID, board).startswith(word):
            return usable[number][0]
        for part in usable[number]:
            if ask(nvml.nvmlDeviceGetUUID, part).startswith(word):
                return part
    return None


def _require_one_order(nvml: ModuleType, boards: Sequence[Any]) -> None:
    """Refuse numbers that CUDA and NVML may count differently: CUDA puts the fastest GPU first."""
    names = {ask(nvml.nvmlDeviceGetName, board) for board in boards}
    if len(names) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise HardwareError(
            f"CUDA_VISIBLE_DEVICES numbers different GPUs ({', '.join(sorted(names))}) in an order "
            "of CUDA's own; set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name a GPU by its UUID"
        )


def read_gpu(nvml: ModuleType, handle: Any) -> Gpu:
    """Return the facts of one GPU, or of one part of it, whose settings are its board's.

    Raises:
        HardwareError: it does not answer, or lets only one process in.
    """
    board = find_board(nvml, handle)
    number = ask(nvml.nvmlDeviceGetIndex, board)
    _require_shared(nvml, board, number)
    major, minor = ask(nvml.nvmlDeviceGetCudaComputeCapability, board)
    return Gpu(
        index=number,
        uuid=ask(nvml.nvmlDeviceGetUUID, handle),
        name=ask(nvml.nvmlDeviceGetName, handle),
        compute_capability=f"{major}.{minor}",
        memory_gib=round(ask(nvml.nvmlDeviceGetMemoryInfo, handle).total / BYTES_PER_GIB),
        settings=_settings(nvml, board),
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
