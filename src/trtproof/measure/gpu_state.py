"""The GPU's state while a session runs: polled five times a second, read at every border.

A thread of the orchestrator polls; workers do nothing for it. Like the processor's counters
(machine.py), everything that is summed only grows, so that a round or a block is the difference of
two readings.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from trtproof.errors import HardwareError
from trtproof.hardware import Hardware
from trtproof.measure.clock import Clock, MonotonicClock
from trtproof.measure.gpu_counters import GpuCounters, Snapshot
from trtproof.measure.gpu_tenants import Tenants
from trtproof.nvml import find_handle, open_nvml

POLL_S: Final = 0.2
NS_PER_S: Final = 1e9
MJ_PER_J: Final = 1e3

FAULTS: Final = ("sw_thermal", "hw_thermal", "power_brake", "hw_slowdown")
"""Slowdowns that are a machine's trouble. A power cap under load is the card's normal state, and
sync boost a setting of its owner."""

POWER_CAP: Final = "power_cap"


@dataclass(frozen=True)
class GpuReading:
    """The GPU at one moment, and sums over all polls before; None where it does not tell.

    `clock_sum_mhz` over `polls_count` polls is the mean clock; `polled_mj` is power integrated
    over time; `others_sum` sums others' share of the GPU; `throttled_ns` is by reason.
    """

    at_ns: int
    now: Snapshot
    polls_count: int
    clock_sum_mhz: float | None
    polled_mj: float | None
    others_sum: float | None
    others_count: int | None
    throttled_ns: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data of the moment, without what is not told."""
        now = self.now
        facts = {
            "sm_mhz": now.sm_mhz,
            "memory_mhz": now.memory_mhz,
            "temperature_c": now.temperature_c,
            "power_w": now.power_w,
            "p_state": now.p_state,
            "pcie_generation": now.pcie_generation,
            "pcie_width": now.pcie_width,
            "used_bytes": now.used_bytes,
            "others_count": self.others_count,
            "reasons": None if now.reasons is None else sorted(now.reasons),
        }
        return {name: value for name, value in facts.items() if value is not None}


@dataclass(frozen=True)
class GpuSpan:
    """The GPU between two readings; None where it does not tell.

    `sm_mhz` is the mean over polls, `power_w` over time, `others_share` what other processes used.
    The rest is as it was at the end, while the load was just over.
    """

    sm_mhz: float | None = None
    memory_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    p_state: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    others_count: int | None = None
    others_share: float | None = None
    power_cap_share: float | None = None
    throttled_ns: Mapping[str, int] = field(default_factory=dict)

    @property
    def fault_ns(self) -> int | None:
        """Return the time lost to the machine's trouble; None where nothing is counted."""
        if not self.throttled_ns:
            return None
        return sum(self.throttled_ns.get(name, 0) for name in FAULTS)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, without what is not told."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in values.items()
            if value is not None
        }


def compare_readings(before: GpuReading, after: GpuReading) -> GpuSpan:
    """Return what happened between two readings."""
    polls = after.polls_count - before.polls_count
    spent_ns = after.at_ns - before.at_ns
    throttled = {
        name: max(0, value - before.throttled_ns.get(name, 0))
        for name, value in after.throttled_ns.items()
    }
    capped = throttled.get(POWER_CAP)
    if capped is not None:  # its steps are coarse: an H200 counted 1.011 s in a second of ours
        capped = min(capped, spent_ns)
    counts = [item.others_count for item in (before, after) if item.others_count is not None]
    return GpuSpan(
        sm_mhz=_divide(_grown(before.clock_sum_mhz, after.clock_sum_mhz), polls),
        memory_mhz=after.now.memory_mhz,
        temperature_c=after.now.temperature_c,
        power_w=_divide(_grown(before.polled_mj, after.polled_mj), spent_ns / NS_PER_S * MJ_PER_J),
        p_state=after.now.p_state,
        pcie_generation=after.now.pcie_generation,
        pcie_width=after.now.pcie_width,
        others_count=max(counts) if counts else None,
        others_share=_divide(_grown(before.others_sum, after.others_sum), polls),
        power_cap_share=_divide(capped, spent_ns),
        throttled_ns=throttled,
    )


class GpuMonitor:
    """Poll one GPU from `start` to `stop`; `read` may be called from any thread meanwhile."""

    def __init__(self, counters: GpuCounters, clock: Clock, tenants: Tenants) -> None:
        self.facts = counters.describe()
        self._counters = counters
        self._clock = clock
        self._tenants = tenants
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="gpu-state", daemon=True)
        self._error: HardwareError | None = None
        self._peak_bytes: int | None = None
        self._last: GpuReading | None = None
        counters.read_utilisation()  # what was before us is nobody's business

    def __enter__(self) -> Self:
        self.read()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def read(self) -> GpuReading:
        """Return the state now, which counts as a poll.

        Raises:
            HardwareError: the GPU does not answer, now or to a poll before.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            self._last = self._advance(self._counters.read())
            return self._last

    def read_process_bytes(self) -> dict[int, int]:
        """Return the GPU memory of each process that the driver names."""
        with self._lock:
            return self._counters.read_process_bytes()

    def reset_peak(self) -> None:
        """Forget the largest memory in use that was polled."""
        with self._lock:
            self._peak_bytes = None

    @property
    def peak_bytes(self) -> int | None:
        """Return the largest memory in use, by all processes, of the polls since the reset."""
        return self._peak_bytes

    def _poll(self) -> None:
        """Read until told to stop; an error waits for the next `read`."""
        while not self._stopped.wait(POLL_S):
            try:
                self.read()
            except HardwareError as error:
                self._error = error
                return

    def _advance(self, now: Snapshot) -> GpuReading:
        """Return the reading that follows the last one."""
        tenancy = self._tenants.look(now.processes, self._counters.read_utilisation())
        used = [size for size in (self._peak_bytes, now.used_bytes) if size is not None]
        self._peak_bytes = max(used) if used else None
        last, at_ns = self._last, self._clock.now_ns()
        clock_mhz, others = (last.clock_sum_mhz, last.others_sum) if last else (0, 0.0)
        return GpuReading(
            at_ns=at_ns,
            now=now,
            polls_count=(last.polls_count if last else 0) + 1,
            clock_sum_mhz=_add(clock_mhz, now.sm_mhz),
            polled_mj=_integrate(last, now, at_ns),
            others_sum=_add(others, tenancy.share),
            others_count=tenancy.count,
            throttled_ns=now.throttled_ns or _accumulate(last, now, at_ns),
        )


@contextmanager
def watch_gpu(hardware: Hardware) -> Iterator[GpuMonitor | None]:
    """Poll the GPU that the probe recorded while the block runs; None for a run on the CPU.

    Enter it before any worker makes a context: whoever is on the GPU by then is another.

    Raises:
        HardwareError: that GPU is gone, or does not answer.
    """
    short_uuid = hardware.bench.get("gpu_uuid")
    if short_uuid is None:
        yield None
        return
    with open_nvml() as nvml:
        if nvml is None:
            problem = "the GPU that the probe recorded has no driver now; run `dvc repro probe`"
            raise HardwareError(problem)
        counters = GpuCounters(nvml, find_handle(nvml, str(short_uuid)))
        tenants = Tenants(counters.read_processes())
        with GpuMonitor(counters, MonotonicClock(), tenants) as monitor:
            yield monitor


def _accumulate(last: GpuReading | None, now: Snapshot, at_ns: int) -> dict[str, int]:
    """Return the time of each slowdown by polls alone: it lasted since the poll before."""
    if now.reasons is None:
        return {}
    before = dict(last.throttled_ns) if last else {}
    since_ns = at_ns - last.at_ns if last else 0
    names = {*before, POWER_CAP, *now.reasons}
    return {name: before.get(name, 0) + since_ns * (name in now.reasons) for name in sorted(names)}


def _integrate(last: GpuReading | None, now: Snapshot, at_ns: int) -> float | None:
    """Return the energy so far by the trapezoid rule over polled power, in millijoules."""
    if now.power_w is None:
        return None
    if last is None or last.now.power_w is None:
        return 0.0
    mean_w = (last.now.power_w + now.power_w) / 2
    return (last.polled_mj or 0.0) + mean_w * (at_ns - last.at_ns) / NS_PER_S * MJ_PER_J


def _add(total: float | None, value: float | None) -> float | None:
    """Return a sum; once a value was missing it is not known any more."""
    return None if total is None or value is None else total + value


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _divide(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and whole > 0 else None
