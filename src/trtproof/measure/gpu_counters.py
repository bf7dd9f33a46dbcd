"""What one GPU's driver counts and reads now, through NVML; None where it does not tell.

Nothing here changes the GPU: no clock is locked, no limit set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from trtproof.nvml import ask_optional, find_board

MILLIWATTS_PER_WATT: Final = 1000

THROTTLE_FIELDS: Final = {
    "power_cap": 74,
    "sync_boost": 76,
    "sw_thermal": 269,
    "hw_thermal": 270,
    "power_brake": 271,
}
"""Fields of nvmlDeviceGetFieldValues: nanoseconds that only grow (nvml.h of driver 580; that they
are nanoseconds is measured on an H200)."""

REASON_BITS: Final = {
    "power_cap": 0x4,
    "hw_slowdown": 0x8,
    "sync_boost": 0x10,
    "sw_thermal": 0x20,
    "hw_thermal": 0x40,
    "power_brake": 0x80,
}
"""Bits of nvmlDeviceGetCurrentClocksEventReasons; 0x1, idle, is none of them."""

VALUE_MEMBERS: Final = {1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal"}
"""Member of a field's value by its nvmlValueType_t (nvml.h): the integers."""

LARGEST_SHARE_PCT: Final = 100
"""Some drivers fill unused samples of process utilisation with larger numbers."""


@dataclass(frozen=True)
class Snapshot:
    """One reading. `throttled_ns` is cumulative, by reason, empty where nothing is counted.

    `reasons` are the slowdowns in force now. `processes` are those with a compute context,
    `used_bytes` the memory that all of them hold.
    """

    sm_mhz: int | None = None
    memory_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    p_state: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    energy_mj: int | None = None
    used_bytes: int | None = None
    processes: frozenset[int] | None = None
    reasons: frozenset[str] | None = None
    throttled_ns: Mapping[str, int] = field(default_factory=dict)


class GpuCounters:
    """The counters of one GPU, or of one part of it (MIG).

    A part has memory and processes of its own; clocks, heat and power are those of its board, and
    the board's energy is not told as the part's.
    """

    def __init__(self, nvml: ModuleType, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self._board = find_board(nvml, handle)
        self.is_part = self._board is not handle
        self._seen_us = 0

    def read(self) -> Snapshot:
        """Return everything that it tells now.

        Raises:
            HardwareError: the GPU no longer answers.
        """
        nvml = self._nvml
        power_mw = self._ask("nvmlDeviceGetPowerUsage")
        limit_mw = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        memory = ask_optional(nvml.nvmlDeviceGetMemoryInfo, self._handle)
        return Snapshot(
            sm_mhz=self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            memory_mhz=self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
            temperature_c=self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            power_w=None if power_mw is None else power_mw / MILLIWATTS_PER_WATT,
            power_limit_w=None if limit_mw is None else limit_mw / MILLIWATTS_PER_WATT,
            p_state=self._ask("nvmlDeviceGetPerformanceState"),
            pcie_generation=self._ask("nvmlDeviceGetCurrPcieLinkGeneration"),
            pcie_width=self._ask("nvmlDeviceGetCurrPcieLinkWidth"),
            energy_mj=None if self.is_part else self._ask("nvmlDeviceGetTotalEnergyConsumption"),
            used_bytes=None if memory is None else int(memory.used),
            processes=self.read_processes(),
            reasons=self._read_reasons(),
            throttled_ns=self._read_throttled(),
        )

    def read_processes(self) -> frozenset[int] | None:
        """Return the numbers of the processes with a compute context, as the driver names them.

        In a container they may be those of the host.
        """
        found = ask_optional(self._nvml.nvmlDeviceGetComputeRunningProcesses, self._handle)
        return None if found is None else frozenset(int(process.pid) for process in found)

    def read_process_bytes(self) -> dict[int, int]:
        """Return the memory of each process with a compute context, where the driver tells it."""
        found = ask_optional(self._nvml.nvmlDeviceGetComputeRunningProcesses, self._handle)
        return {
            int(process.pid): int(process.usedGpuMemory)
            for process in found or ()
            if process.usedGpuMemory is not None
        }

    def read_utilisation(self) -> dict[int, float] | None:
        """Return each process's share of the multiprocessors' time since the last call.

        Empty where no process used them; None where the driver does not tell, as under MIG.
        """
        nvml = self._nvml
        try:
            found = ask_optional(
                self._quietly(nvml.nvmlDeviceGetProcessUtilization), self._handle, self._seen_us
            )
        except _NoSamplesError:
            return {}
        if found is None:
            return None
        self._seen_us = max([self._seen_us, *(int(sample.timeStamp) for sample in found)])
        shares: dict[int, list[float]] = {}
        for sample in found:
            if sample.smUtil <= LARGEST_SHARE_PCT:
                shares.setdefault(int(sample.pid), []).append(sample.smUtil / LARGEST_SHARE_PCT)
        return {pid: sum(values) / len(values) for pid, values in shares.items()}

    def describe(self) -> dict[str, Any]:
        """Return what stays the same while a session runs, and what of it this GPU counts."""
        ecc, mig = self._ask("nvmlDeviceGetEccMode"), self._ask("nvmlDeviceGetMigMode")
        now = self.read()
        facts = {
            "ecc": None if ecc is None else ("on" if ecc[0] else "off"),
            "mig": None if mig is None else ("on" if mig[0] else "off"),
            "is_part": self.is_part,
            "persistence": _as_switch(self._ask("nvmlDeviceGetPersistenceMode")),
            "power_limit_w": now.power_limit_w,
            "largest_pcie_generation": self._ask("nvmlDeviceGetMaxPcieLinkGeneration"),
            "largest_pcie_width": self._ask("nvmlDeviceGetMaxPcieLinkWidth"),
            "throttling_is": "counted" if now.throttled_ns else "polled",
            "counts_energy": now.energy_mj is not None,
            "lists_processes": now.processes is not None,
        }
        return {name: value for name, value in facts.items() if value is not None}

    def _ask(self, name: str, *arguments: Any) -> Any:
        """Return what the board answers to a call that this pynvml may not have."""
        return ask_optional(_find(self._nvml, name), self._board, *arguments)

    def _read_reasons(self) -> frozenset[str] | None:
        mask = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:
            return None
        return frozenset(name for name, bit in REASON_BITS.items() if mask & bit)

    def _read_throttled(self) -> dict[str, int]:
        """Return the counters that this GPU has; each field has a return code of its own."""
        found = self._ask("nvmlDeviceGetFieldValues", list(THROTTLE_FIELDS.values()))
        if found is None:
            return {}
        return {
            name: int(getattr(entry.value, VALUE_MEMBERS[entry.valueType]))
            for name, entry in zip(THROTTLE_FIELDS, found, strict=True)
            if entry.nvmlReturn == self._nvml.NVML_SUCCESS and entry.valueType in VALUE_MEMBERS
        }

    def _quietly(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call that tells an empty answer, for which NVML has two codes, from errors."""
        nvml = self._nvml

        def asked(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except nvml.NVMLError as error:
                if error.value in {nvml.NVML_SUCCESS, nvml.NVML_ERROR_NOT_FOUND}:
                    raise _NoSamplesError from None
                raise

        return asked


class _NoSamplesError(Exception):
    """No process used the multiprocessors since the last call."""


def _find(nvml: ModuleType, name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(nvml, name, None)
    return found


def _as_switch(mode: int | None) -> str | None:
    return None if mode is None else ("on" if mode else "off")
