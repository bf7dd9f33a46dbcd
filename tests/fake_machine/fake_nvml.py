"""A pynvml of GPUs that tests describe: counters that advance, tenants, parts (MIG), refusals.

It has pynvml's own constants and errors, and only the calls that are written here: another call is
a test's failure. Time passes when a test says so (`FakeGpu.pass_time`), or by a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml

MHZ = {pynvml.NVML_CLOCK_SM: "sm_mhz", pynvml.NVML_CLOCK_MEM: "memory_mhz"}
REASONS = {74: 0x4, 76: 0x10, 269: 0x20, 270: 0x40, 271: 0x80}
"""Counter of a slowdown -> its bit among the reasons in force."""

ULL = 3
IDLE = 0x1


@dataclass
class FakeGpu:
    """One GPU as its driver tells of it.

    `throttling` is field -> share of the time that passes; `tenants` process -> its share of the
    multiprocessors in per cent; `refuses` holds calls that it does not support, `broken` those
    that fail with an error's number; `answers` replaces an answer.
    """

    uuid: str
    name: str = "NVIDIA H200"
    compute_capability: tuple[int, int] = (9, 0)
    total_bytes: int = 150_754_820_096
    used_bytes: int = 600 * 2**20
    compute_mode: int = 0
    sm_mhz: int = 1980
    memory_mhz: int = 3201
    temperature_c: int = 41
    power_w: float = 120.0
    power_limit_w: int = 700
    throttling: dict[int, float] = field(default_factory=dict)
    tenants: dict[int, int] = field(default_factory=dict)
    memory_of: dict[int, int] = field(default_factory=dict)
    refuses: set[str] = field(default_factory=set)
    missing_fields: set[int] = field(default_factory=set)
    broken: dict[str, int | type[Exception]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    parts: list[FakeGpu] = field(default_factory=list)
    board: FakeGpu | None = None
    seconds: float = 0.0
    energy_mj: float = 5_000_000.0
    counters_ns: dict[int, float] = field(default_factory=lambda: dict.fromkeys(REASONS, 7.0))
    utilisation: list[SimpleNamespace] = field(default_factory=list)
    clock: Callable[[], float] | None = None

    def pass_time(self, seconds: float) -> None:
        """Let the GPU work as it is for so long: its counters grow."""
        self.seconds += seconds
        self.energy_mj += self.power_w * seconds * 1000
        for counter, share in self.throttling.items():
            self.counters_ns[counter] += share * seconds * 1e9
        stamp = int(self.seconds * 1e6)
        self.utilisation += [
            SimpleNamespace(pid=pid, timeStamp=stamp, smUtil=used, memUtil=0, encUtil=0, decUtil=0)
            for pid, used in self.tenants.items()
            if used
        ]

    def catch_up(self) -> None:
        """Let the time of the clock pass, where there is one."""
        if self.clock is not None and (now := self.clock()) > self.seconds:
            self.pass_time(now - self.seconds)


class FakeNvml(ModuleType):
    """A module to put in pynvml's place."""

    def __init__(self, *gpus: FakeGpu, driver: str = "580.95.05") -> None:
        super().__init__("pynvml")
        real = vars(pynvml)
        for name, value in real.items():
            if not name.startswith("nvml") and not name.startswith("_"):
                setattr(self, name, value)
        self.gpus = list(gpus)
        self.driver = driver
        self.start_error: Exception | None = None
        self.sessions_count = 0

    def nvmlInit(self) -> None:
        if self.start_error:
            raise self.start_error
        self.sessions_count += 1

    def nvmlShutdown(self) -> None:
        assert self.sessions_count > 0, "NVML was shut down more often than it was started"
        self.sessions_count -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        self._check("nvmlSystemGetDriverVersion", self.gpus[0])
        return self.driver

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 13000

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        if index >= len(self.gpus):
            raise make_error(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self.gpus[index]

    def nvmlDeviceGetIndex(self, gpu: FakeGpu) -> int:
        return self.gpus.index(gpu)

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:
        return str(self._answer("nvmlDeviceGetUUID", gpu, gpu.uuid))

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:
        return str(self._answer("nvmlDeviceGetName", gpu, gpu.name))

    def nvmlDeviceGetCudaComputeCapability(self, gpu: FakeGpu) -> Any:
        return self._answer("nvmlDeviceGetCudaComputeCapability", gpu, gpu.compute_capability)

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> Any:
        used = gpu.used_bytes + sum(gpu.memory_of.values())
        info = SimpleNamespace(total=gpu.total_bytes, used=used, free=gpu.total_bytes - used)
        return self._answer("nvmlDeviceGetMemoryInfo", gpu, info)

    def nvmlDeviceGetComputeMode(self, gpu: FakeGpu) -> Any:
        return self._answer("nvmlDeviceGetComputeMode", gpu, gpu.compute_mode)

    def nvmlDeviceGetPowerManagementLimit(self, gpu: FakeGpu) -> Any:
        limit = gpu.power_limit_w * 1000
        return self._of_board("nvmlDeviceGetPowerManagementLimit", gpu, limit)

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetEnforcedPowerLimit", gpu, gpu.power_limit_w * 1000)

    def nvmlDeviceGetEccMode(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetEccMode", gpu, [1, 1])

    def nvmlDeviceGetPersistenceMode(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetPersistenceMode", gpu, 1)

    def nvmlDeviceGetMaxClockInfo(self, gpu: FakeGpu, kind: int) -> Any:
        del kind
        return self._of_board("nvmlDeviceGetMaxClockInfo", gpu, 1980)

    def nvmlDeviceGetClockInfo(self, gpu: FakeGpu, kind: int) -> Any:
        return self._of_board("nvmlDeviceGetClockInfo", gpu, getattr(gpu, MHZ[kind]))

    def nvmlDeviceGetTemperature(self, gpu: FakeGpu, sensor: int) -> Any:
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return self._of_board("nvmlDeviceGetTemperature", gpu, gpu.temperature_c)

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetPowerUsage", gpu, round(gpu.power_w * 1000))

    def nvmlDeviceGetPerformanceState(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetPerformanceState", gpu, 0)

    def nvmlDeviceGetCurrPcieLinkGeneration(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetCurrPcieLinkGeneration", gpu, 5)

    def nvmlDeviceGetCurrPcieLinkWidth(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetCurrPcieLinkWidth", gpu, 16)

    def nvmlDeviceGetMaxPcieLinkGeneration(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetMaxPcieLinkGeneration", gpu, 5)

    def nvmlDeviceGetMaxPcieLinkWidth(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetMaxPcieLinkWidth", gpu, 16)

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: FakeGpu) -> Any:
        return self._of_board("nvmlDeviceGetTotalEnergyConsumption", gpu, int(gpu.energy_mj))

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu: FakeGpu) -> Any:
        mask = sum(REASONS[counter] for counter, share in gpu.throttling.items() if share)
        return self._of_board("nvmlDeviceGetCurrentClocksEventReasons", gpu, mask or IDLE)

    def nvmlDeviceGetFieldValues(self, gpu: FakeGpu, fields: list[int]) -> Any:
        values = [
            SimpleNamespace(
                fieldId=number,
                nvmlReturn=pynvml.NVML_ERROR_NOT_SUPPORTED
                if number in gpu.missing_fields
                else pynvml.NVML_SUCCESS,
                valueType=ULL,
                value=SimpleNamespace(ullVal=int(gpu.counters_ns[number])),
            )
            for number in fields
        ]
        return self._of_board("nvmlDeviceGetFieldValues", gpu, values)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> Any:
        found = [
            SimpleNamespace(pid=pid, usedGpuMemory=gpu.memory_of.get(pid)) for pid in gpu.tenants
        ]
        return self._answer("nvmlDeviceGetComputeRunningProcesses", gpu, found)

    def nvmlDeviceGetProcessUtilization(self, gpu: FakeGpu, since: int) -> Any:
        """Answer as NVML does: samples newer than a stamp; none is an error of its own."""
        found = [sample for sample in gpu.utilisation if sample.timeStamp > since]
        self._of_board("nvmlDeviceGetProcessUtilization", gpu, found)
        if not found:
            raise make_error(pynvml.NVML_ERROR_NOT_FOUND)
        return found

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> Any:
        return self._answer("nvmlDeviceGetMigMode", gpu, [int(bool(gpu.parts))] * 2)

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: FakeGpu) -> int:
        return 7 if gpu.parts else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: FakeGpu, index: int) -> FakeGpu:
        if index >= len(gpu.parts):
            raise make_error(pynvml.NVML_ERROR_NOT_FOUND)
        gpu.parts[index].board = gpu
        return gpu.parts[index]

    def nvmlDeviceIsMigDeviceHandle(self, gpu: FakeGpu) -> int:
        return int(gpu.board is not None)

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, gpu: FakeGpu) -> FakeGpu:
        if gpu.board is None:
            raise make_error(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return gpu.board

    def _of_board(self, call: str, gpu: FakeGpu, answer: Any) -> Any:
        """Answer what a part of a GPU does not have."""
        if gpu.board is not None:
            raise make_error(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self._answer(call, gpu, answer)

    def _answer(self, call: str, gpu: FakeGpu, answer: Any) -> Any:
        assert self.sessions_count > 0, f"{call} was called while NVML was not started"
        self._check(call, gpu)
        gpu.catch_up()
        return gpu.answers.get(call, answer)

    @staticmethod
    def _check(call: str, gpu: FakeGpu) -> None:
        if call in gpu.refuses:
            raise make_error(pynvml.NVML_ERROR_NOT_SUPPORTED)
        if call in gpu.broken:
            fault = gpu.broken[call]
            raise make_error(fault) if isinstance(fault, int) else fault(call)


def make_error(number: int) -> Exception:
    """Return pynvml's error of a number."""
    found: Exception = pynvml.NVMLError(number)
    return found


def make_gpus(count: int, **facts: Any) -> list[FakeGpu]:
    """Return equal GPUs that differ in their UUIDs."""
    uuids = [f"GPU-{number}fe4c1d0-0000-1111-2222-333344445555" for number in range(count)]
    return [FakeGpu(uuid, **facts) for uuid in uuids]
