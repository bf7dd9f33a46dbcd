"""Every step in a process of its own, with a time limit: none stops another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from trtproof.doctor.base import REPORT_IT, Answer, Finding, Step, failed, skipped

PROCESS: Final = "trtproof.doctor.step"
LIMIT_S: Final = 170.0
"""All steps together end before three minutes."""

KEPT_CHARACTERS: Final = 4000


def run_steps(steps: Sequence[Step], *, limit_s: float = LIMIT_S) -> Iterator[Answer]:
    """Yield every step's answer, in order, as soon as it is there."""
    started = monotonic()
    findings: dict[str, Finding] = {}
    for step in steps:
        begun = monotonic()
        left_s = limit_s - (begun - started)
        finding, output = _find(step, findings, left_s)
        findings[step.name] = finding
        yield Answer(step.name, step.title, finding, monotonic() - begun, output)


def _find(step: Step, earlier: Mapping[str, Finding], left_s: float) -> tuple[Finding, str]:
    """Return a step's finding and what it printed, or why it is not asked."""
    for name in (*step.needs, *step.after):
        needed = earlier[name]
        if needed.status == "skipped":
            return skipped(needed.text), ""
        if needed.status == "failed" and name in step.needs:
            return skipped(f"needs {name}, which failed"), ""
    if left_s <= 0:
        return skipped("there was no time left; ask for this step alone with --only"), ""
    return _run(step, min(step.limit_s, left_s))


def _run(step: Step, limit_s: float) -> tuple[Finding, str]:
    """Return what the step's own process found, or how it ended without an answer."""
    with tempfile.TemporaryDirectory(prefix="trtproof-doctor-") as folder:
        answer, printed = Path(folder) / "answer.json", Path(folder) / "output.txt"
        with printed.open("wb") as output:
            # A session of its own: a step's own children must not outlive the time limit.
            process = subprocess.Popen(
                [sys.executable, "-m", PROCESS, step.function, step.argument, str(answer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end_group(process)
        text = printed.read_bytes().decode(errors="replace")[-KEPT_CHARACTERS:]
        if code is None:
            return _timed_out(step, limit_s), text
        if not answer.exists():
            return _died(code, text), text
        return Finding(**json.loads(answer.read_text(encoding="utf-8"))), text


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _timed_out(step: Step, limit_s: float) -> Finding:
    return failed(
        f"no answer within {limit_s:.0f} s",
        f"try `trtproof doctor --only {step.name}`; if it hangs again, look at `nvidia-smi` and "
        "`dmesg`, and restart the machine",
    )


def _died(code: int, printed: str) -> Finding:
    lines = [line for line in printed.splitlines() if line.strip()]
    last = f": {lines[-1].strip()}" if lines else ""
    if code < 0:
        name = signal.Signals(-code).name
        return failed(f"its process was ended by {name}{last}", f"a library crashed; {REPORT_IT}")
    return failed(f"its process ended with code {code}{last}", REPORT_IT)
