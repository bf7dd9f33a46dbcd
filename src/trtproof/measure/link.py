"""The orchestrator's end of a worker: start it, ask it, and never leave it behind."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from trtproof.backends.base import RunOptions
from trtproof.errors import BackendError
from trtproof.measure import worker

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
GRACE_S: Final = 10.0
"""How long a worker may take to close before it is killed."""

READ_BYTES: Final = 65536


@dataclass(frozen=True)
class Contender:
    """What runs in one worker; `backend` is its import path, `folder` a verified variant's."""

    name: str
    variant: str
    backend: str
    folder: Path
    plan: str
    options: RunOptions
    least_batch: int = 1
    """The smallest batch that the plan takes."""


class WorkerLink:
    """A running worker process of one contender; leaving the `with` block ends it."""

    def __init__(
        self,
        contender: Contender,
        *,
        number: int,
        folder: Path,
        affinity: Sequence[int] | None = None,
    ) -> None:
        """Start the process; `number` counts the workers of the run, `folder` takes its stderr.

        `affinity` is the cores that it and its threads may use; None for those of this process.
        """
        self.contender = contender
        self.number = number
        self._errors = folder / f"worker-{number}.stderr"
        self._pending = b""
        with self._errors.open("wb") as errors, _use_cores(affinity):
            self._child = subprocess.Popen(
                # -P: the folder that dvc runs in must not shadow installed modules
                [sys.executable, "-P", "-m", worker.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(contender.options.threads),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._child.pid

    def open(self, *, items: Path, names: list[str], timeout_s: float) -> dict[str, Any]:
        """Make the worker load its plan and the items."""
        contender = self.contender
        return self.ask(
            "open",
            timeout_s=timeout_s,
            backend=contender.backend,
            folder=str(contender.folder),
            plan=contender.plan,
            options=_options_to_json(contender.options),
            items=str(items),
            names=names,
        )

    def ask(self, command: str, *, timeout_s: float, **arguments: Any) -> dict[str, Any]:
        """Return the worker's reply to one command.

        Raises:
            BackendError: it reports an error, has died, or does not answer in time; names the
                contender, and the last line that the worker wrote to stderr.
        """
        try:
            self._send({"do": command} | arguments)
            line = self._receive(timeout_s)
        except BrokenPipeError:
            line = b""
        if not line:
            raise BackendError(f"{self._title()} died ({self._end()}): {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if not reply.pop("ok"):
            raise BackendError(f"{self._title()}: {reply['error']}")
        return reply

    def close(self) -> None:
        """Let the worker destroy its objects in order; kill it if it does not leave in time.

        Its results are complete by now: how it ends is no longer an error.
        """
        try:
            self.ask("close", timeout_s=GRACE_S)
            self._child.wait(GRACE_S)
        except (BackendError, subprocess.TimeoutExpired):
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process now, if it still runs, and its pipes."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None and not pipe.closed:
                _close_quietly(pipe)

    def _send(self, message: Mapping[str, Any]) -> None:
        pipe = self._child.stdin
        if pipe is None or pipe.closed:
            raise BrokenPipeError
        pipe.write(json.dumps(message).encode() + b"\n")
        pipe.flush()

    def _receive(self, timeout_s: float) -> bytes:
        """Return the next line without its end; nothing when the worker is gone."""
        pipe = self._child.stdout
        if pipe is None:
            raise BrokenPipeError
        deadline = monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, deadline - monotonic())):
                    raise BackendError(
                        f"{self._title()} did not answer within {timeout_s:.0f} s: "
                        f"{self._last_words()}"
                    )
                chunk = os.read(pipe.fileno(), READ_BYTES)
                if not chunk:
                    return b""
                self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _title(self) -> str:
        return f"the worker of {self.contender.name}"

    def _end(self) -> str:
        """Return how the process ended, in words."""
        try:
            status = self._child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            return "its pipe closed"
        return f"signal {-status}" if status < 0 else f"exit code {status}"

    def _last_words(self) -> str:
        """Return the last line of the worker's stderr."""
        text = self._errors.read_text(encoding="utf-8", errors="replace").strip()
        return text.splitlines()[-1] if text else "it wrote nothing to stderr"


@contextmanager
def _use_cores(cores: Sequence[int] | None) -> Iterator[None]:
    """Let processes that are started meanwhile use these cores only: they inherit it whole.

    Set later from inside, it would miss threads that libraries had started.
    """
    if cores is None:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def _environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker: this one's, with its number of threads stated."""
    return os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))


def _options_to_json(options: RunOptions) -> dict[str, Any]:
    return asdict(options) | {"pythonpath": list(options.pythonpath)}


def _close_quietly(pipe: Any) -> None:
    """Close a pipe whose other end may be gone with unsent bytes."""
    try:
        pipe.close()
    except BrokenPipeError:
        return
