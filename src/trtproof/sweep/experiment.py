"""One job: `dvc exp run --temp` in a private clone, and its result in the user's repository."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from trtproof.config import PARAMS_FILE
from trtproof.errors import PipelineError
from trtproof.sweep.snapshot import (
    Snapshot,
    experiments,
    fetch_experiment,
    own_environment,
    read_at,
)

GRACE_S: Final = 10.0
"""What an interrupted job gets to end by itself."""


@dataclass(frozen=True)
class Order:
    """A job to run: its name among DVC's experiments, its settings, and its log."""

    name: str
    overrides: Sequence[str]
    params: str
    """The text of params.yaml that DVC has to compose."""

    log: Path
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What came of it: a commit, or the first line of the error."""

    seconds: float
    revision: str | None = None
    reason: str | None = None


class Processes:
    """The jobs that run now, for whoever has to end them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, order: Order, project: Path) -> int:
        """Run a job to its end and return dvc's exit code, negative for a signal."""
        order.log.parent.mkdir(parents=True, exist_ok=True)
        command = dvc_command(order)
        with order.log.open("wb") as log:
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            with self._lock:
                if self.stopped:
                    return -signal.SIGINT
                process = subprocess.Popen(
                    [sys.executable, "-m", "trtproof.sweep.child", *command[1:]],
                    cwd=project,
                    env=make_environment(order.variables),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code

    def stop(self) -> None:
        """End what runs: ask, as Ctrl-C does, then kill. Nothing can be started afterwards."""
        with self._lock:
            self.stopped = True
            running = list(self._running)
        try:
            for process in running:
                _signal(process, signal.SIGINT)
            for process in running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_S)
        finally:  # also where the user's patience ends before the grace
            for process in running:
                _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, number)


def dvc_command(order: Order) -> list[str]:
    """Return the command that a job is."""
    settings = [word for override in order.overrides for word in ("-S", override)]
    return ["dvc", "--wait-for-lock", "exp", "run", "--temp", "-n", order.name, *settings]


def make_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a job: this interpreter's folder comes first on its path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return own_environment({"PATH": path} | dict(variables))


def run_experiment(
    processes: Processes, order: Order, *, snapshot: Snapshot, base: str, place: Path
) -> Outcome:
    """Run a job in the clone at `place` and bring its experiment home."""
    started = monotonic()
    code = processes.run(order, place / snapshot.below)
    seconds = round(monotonic() - started, 1)
    if code != 0:
        return Outcome(seconds, reason=first_error(order.log, code))
    try:
        revision = experiments(base, place).get(order.name)
        if revision is None:
            return Outcome(seconds, reason="dvc ended without an error and without an experiment")
        made = read_at(place, revision, (snapshot.below / PARAMS_FILE).as_posix())
        if made != order.params.removesuffix("\n"):
            return Outcome(seconds, reason=f"dvc composed another {PARAMS_FILE} than trtproof does")
        fetch_experiment(snapshot, base, place, order.name)
    except PipelineError as error:
        return Outcome(seconds, reason=str(error))
    return Outcome(seconds, revision=revision)


def first_error(log: Path, code: int) -> str:
    """Return the line of a failed job's log that says why: a stage's own before DVC's."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    for prefix in ("error: ", "ERROR: "):
        for line in lines:
            if line.startswith(prefix):
                return line.removeprefix(prefix)
    if code < 0:
        return f"dvc was ended by signal {-code} ({signal.Signals(-code).name})"
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else f"dvc ended with code {code} and said nothing"
