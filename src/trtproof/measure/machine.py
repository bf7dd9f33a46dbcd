"""The machine's state around a round: was it quiet, and what else may explain a time."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from trtproof.backends.host import usable_cores
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.disturbed import RoundEvidence

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

FREQUENCY_KEY: Final = "cpu MHz"
NS_PER_US: Final = 1000


@dataclass(frozen=True)
class MachineState:
    """One reading; None where the system does not say (no Linux, no pressure accounting).

    `pressure_us` is the total time in which some task waited for a processor, `steal_ticks` the
    total that the hypervisor took away, `total_ticks` the time of all processors, idle included;
    they only grow, so that a round is a difference. `frequency_mhz` is the cores' median.
    """

    at_ns: int
    load_1min: float | None = None
    pressure_us: int | None = None
    steal_ticks: int | None = None
    total_ticks: int | None = None
    frequency_mhz: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


MachineReader = Callable[[], MachineState]


def read_state(proc: Path = Path("/proc")) -> MachineState:
    """Return the machine's state now."""
    load, pressure = _read_words(proc / "loadavg"), _read_words(proc / "pressure" / "cpu")
    ticks = [int(word) for word in _read_words(proc / "stat")[1 : STEAL_FIELD + 1]]
    told = len(ticks) == STEAL_FIELD
    return MachineState(
        at_ns=MonotonicClock().now_ns(),
        load_1min=float(load[0]) if load else None,
        pressure_us=_find_total(pressure),
        steal_ticks=ticks[-1] if told else None,
        total_ticks=sum(ticks) if told else None,
        frequency_mhz=_read_frequency(proc / "cpuinfo"),
    )


def compare_states(before: MachineState, after: MachineState) -> RoundEvidence:
    """Return what the counters say of the time between two readings; nothing if none passed."""
    return RoundEvidence(
        pressure_share=_share(
            _growth(before.pressure_us, after.pressure_us), (after.at_ns - before.at_ns) / NS_PER_US
        ),
        steal_share=_share(
            _growth(before.steal_ticks, after.steal_ticks),
            _growth(before.total_ticks, after.total_ticks),
        ),
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
