"""The machine's state around a round: was it quiet, and what else may explain a time."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil

from trtproof.cores import usable_cores
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.disturbed import RoundEvidence
from trtproof.measure.gpu_state import GpuReading, compare_readings

SPEED_VARIABLES: Final = (
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "KMP_AFFINITY",
    "MALLOC_CONF",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
)
"""Environment variables that change how fast inference is; recorded where set."""

STEAL_FIELD: Final = 8
"""Place of the stolen time in /proc/stat's first line (proc(5)); all before it is time as well."""

IDLE_FIELDS: Final = (4, 5)
"""Places of the idle time and of waiting for a disk."""

FREQUENCY_KEY: Final = "cpu MHz"
NS_PER_US: Final = 1000
NS_PER_S: Final = 10**9


@dataclass(frozen=True)
class MachineState:
    """One reading; None where the system does not say (no Linux, no pressure accounting).

    `pressure_us` is the total time in which some task waited for a processor, `steal_ticks` the
    total that the hypervisor took away, `total_ticks` the time of all processors, idle included;
    they only grow, so that a round is a difference. `frequency_mhz` is the cores' median.
    `busy_ns` is the time that the `cores_count` usable cores worked for anybody, `own_ns` the
    processor time of this process and of all below it. `gpu` is the GPU that is measured.
    """

    at_ns: int
    load_1min: float | None = None
    pressure_us: int | None = None
    steal_ticks: int | None = None
    total_ticks: int | None = None
    frequency_mhz: float | None = None
    busy_ns: int | None = None
    own_ns: int | None = None
    cores_count: int | None = None
    gpu: GpuReading | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(replace(self, gpu=None)) | {"gpu": self.gpu.to_json() if self.gpu else None}


MachineReader = Callable[[], MachineState]


def read_state(proc: Path = Path("/proc")) -> MachineState:
    """Return the machine's state now."""
    load, pressure = _read_words(proc / "loadavg"), _read_words(proc / "pressure" / "cpu")
    ticks = [int(word) for word in _read_words(proc / "stat")[1 : STEAL_FIELD + 1]]
    told = len(ticks) == STEAL_FIELD
    cores = usable_cores()
    return MachineState(
        at_ns=MonotonicClock().now_ns(),
        load_1min=float(load[0]) if load else None,
        pressure_us=_find_total(pressure),
        steal_ticks=ticks[-1] if told else None,
        total_ticks=sum(ticks) if told else None,
        frequency_mhz=_read_frequency(proc / "cpuinfo"),
        busy_ns=_read_busy_ns(proc / "stat", cores),
        own_ns=_read_own_ns(),
        cores_count=len(cores),
    )


def compare_states(before: MachineState, after: MachineState) -> RoundEvidence:
    """Return what the counters say of the time between two readings; nothing if none passed."""
    gpu = compare_readings(before.gpu, after.gpu) if before.gpu and after.gpu else None
    return RoundEvidence(
        pressure_share=_share(
            _growth(before.pressure_us, after.pressure_us), (after.at_ns - before.at_ns) / NS_PER_US
        ),
        steal_share=_share(
            _growth(before.steal_ticks, after.steal_ticks),
            _growth(before.total_ticks, after.total_ticks),
        ),
        throttled_ns=gpu.fault_ns if gpu else None,
        foreign_share=gpu.others_share if gpu else _find_foreign(before, after),
    )


def describe_setting() -> dict[str, Any]:
    """Return what stays the same during a session: usable cores, variables, Python."""
    return {
        "cores": usable_cores(),
        "variables": {name: os.environ[name] for name in SPEED_VARIABLES if name in os.environ},
        "python": sys.version.split()[0],
    }


def _growth(before: int | None, after: int | None) -> int | None:
    """Return by how much a counter grew; None where it is not told, or was set back."""
    if before is None or after is None or after < before:
        return None
    return after - before


def _find_foreign(before: MachineState, after: MachineState) -> float | None:
    """Return the share of the usable cores' time that went to processes that are not ours.

    The system counts in ticks of about 10 ms: of a very short time this says little.
    """
    busy_ns = _growth(before.busy_ns, after.busy_ns)
    own_ns = _growth(before.own_ns, after.own_ns)
    whole_ns = (after.at_ns - before.at_ns) * (after.cores_count or 0)
    if busy_ns is None or own_ns is None:
        return None
    return _share(max(busy_ns - own_ns, 0), whole_ns)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _read_frequency(path: Path) -> float | None:
    """Return the median of "cpu MHz : 2499.998" over all cores."""
    speeds = [
        float(value)
        for key, _, value in (line.partition(":") for line in _read_lines(path))
        if key.strip() == FREQUENCY_KEY
    ]
    return statistics.median(speeds) if speeds else None


def _read_busy_ns(path: Path, cores: list[int]) -> int | None:
    """Return how long these cores have worked, from lines "cpu0 user nice system idle ..."."""
    names = {f"cpu{core}" for core in cores}
    rows = [words for words in map(str.split, _read_lines(path)) if words and words[0] in names]
    if len(rows) < len(cores) or any(len(words) < STEAL_FIELD for words in rows):
        return None
    ticks = sum(
        int(words[place])
        for words in rows
        for place in range(1, STEAL_FIELD)
        if place not in IDLE_FIELDS
    )
    return ticks * NS_PER_S // os.sysconf("SC_CLK_TCK")


def _read_own_ns() -> int:
    """Return the processor time of this process and of all that it started and that still run."""
    own = psutil.Process()
    seconds = 0.0
    for process in (own, *own.children(recursive=True)):
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += spent.user + spent.system
    return int(seconds * NS_PER_S)


def _read_words(path: Path) -> list[str]:
    """Return the words of a file's first line, none where there is no such file."""
    lines = _read_lines(path)
    return lines[0].split() if lines else []


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _find_total(words: list[str]) -> int | None:
    """Return the number in "some avg10=0.00 avg60=0.00 avg300=0.00 total=123"."""
    totals = [word.partition("=")[2] for word in words if word.startswith("total=")]
    return int(totals[0]) if totals else None
