"""Steps that behave badly, for the doctor's own processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from trtproof.doctor.base import Finding, ok, skipped
from trtproof.errors import HardwareError


def work(how: str = "") -> Finding:
    return ok(f"works {how}".strip())


def skip() -> Finding:
    return skipped("not today")


def hang() -> Finding:
    sys.stdout.write("before it hangs\n")
    sys.stdout.flush()
    time.sleep(600)
    return ok("never")


def hang_with_child(marker: str) -> Finding:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(marker).write_text(str(child.pid), encoding="utf-8")
    return hang()


def crash() -> Finding:
    os.kill(os.getpid(), signal.SIGSEGV)
    return ok("never")


def raise_it() -> Finding:
    return ok(str(1 / 0))


def refuse() -> Finding:
    raise HardwareError(f"{'it'} is not here; put it here")
