"""How much host memory this process took at most."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

KIB: Final = 1024
STATUS: Final = Path("/proc/self/status")
PEAK: Final = "VmHWM:"


def peak_rss_bytes() -> int:
    """Return the largest resident memory that this process has had.

    On Linux it is the kernel's figure for the program that runs now: getrusage's also covers what
    the process was before it became this program, a copy of its larger parent. Elsewhere it is
    getrusage's, in kibibytes except on macOS.
    """
    if STATUS.exists():
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(PEAK):
                return int(line.split()[1]) * KIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB
