"""The machine's state around a round: was it quiet, and what else may explain a time."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trtproof.backends.host import usable_cores

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
"""Place of the stolen time in /proc/stat's first line (proc(5))."""


@dataclass(frozen=True)
class MachineState:
    """One reading; None where the system does not say (no Linux, no pressure accounting).

    `pressure_us` is the total time in which some task waited for a processor, `steal_ticks` the
    total that the hypervisor took away; both only grow, so that a round is a difference.
    """

    load_1min: float | None
    pressure_us: int | None
    steal_ticks: int | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "load_1min": self.load_1min,
            "pressure_us": self.pressure_us,
            "steal_ticks": self.steal_ticks,
        }


def read_state(proc: Path = Path("/proc")) -> MachineState:
    """Return the machine's state now."""
    load, pressure = _read_words(proc / "loadavg"), _read_words(proc / "pressure" / "cpu")
    steal = _read_words(proc / "stat")
    return MachineState(
        load_1min=float(load[0]) if load else None,
        pressure_us=_find_total(pressure),
        steal_ticks=int(steal[STEAL_FIELD]) if len(steal) > STEAL_FIELD else None,
    )


def describe_setting() -> dict[str, Any]:
    """Return what stays the same during a session: usable cores, variables, Python."""
    return {
        "cores": usable_cores(),
        "variables": {name: os.environ[name] for name in SPEED_VARIABLES if name in os.environ},
        "python": sys.version.split()[0],
    }


def _read_words(path: Path) -> list[str]:
    """Return the words of a file's first line, none where there is no such file."""
    try:
        return path.read_text(encoding="ascii").splitlines()[0].split()
    except (OSError, IndexError):
        return []


def _find_total(words: list[str]) -> int | None:
    """Return the number in "some avg10=0.00 avg60=0.00 avg300=0.00 total=123"."""
    totals = [word.partition("=")[2] for word in words if word.startswith("total=")]
    return int(totals[0]) if totals else None
