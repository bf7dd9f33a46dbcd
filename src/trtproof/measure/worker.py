"""One contender's process: opens a plan, times requests when told to, and imports nothing else.

Started as `python -m trtproof.measure.worker`. Commands come as JSON lines on stdin, one reply each
goes to what was stdout at the start (libraries that print are sent to stderr). It imports numpy,
the backend's own library and trtproof's runner modules, so that a later version can start it in
another interpreter. Arrays travel as .npy and .npz files in the session's temporary folder.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from trtproof.backends.base import Backend, Engine, Runner, RunOptions, TellsMemory, run_once
from trtproof.backends.memory import MemoryLog
from trtproof.cores import usable_cores
from trtproof.errors import PipelineError
from trtproof.measure.clock import Clock, MonotonicClock, ProcessCpuClock, ThreadCpuClock
from trtproof.measure.collector import silence_collector
from trtproof.measure.imports import ImportTimer, imported_packages
from trtproof.measure.items import load_items, make_requests
from trtproof.measure.loop import BlockRule, Loop, NullRunner, WarmupRule
from trtproof.measure.marked import run_launches, run_parts
from trtproof.measure.memory import peak_rss_bytes
from trtproof.measure.streams import SLOT, StreamRule, run_streams
from trtproof.measure.trtexec_loop import ProtocolLoop, ProtocolRule
from trtproof.registry import extend_path, load_object
from trtproof.stage import die_with_parent
from trtproof.tensor import Array, Feeds

HOST: Final = "cpu"
"""The device that needs no context."""

BLOCKS: Final[Mapping[str, Callable[[Loop, BlockRule], Array]]] = {
    "requests": Loop.run_block,
    "parts": run_parts,
    "launches": run_launches,
}
"""What a block is made of: requests, requests with marks around their parts, launches alone."""


class Worker:
    """What a process holds between commands; each command is one method."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._born_ns = clock.now_ns()
        self._cpu_clock: Clock = ProcessCpuClock()
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._streams: list[Runner] = []
        self._runner: Runner | None = None
        self._items: list[Feeds] = []
        self._loops: dict[int, Loop] = {}
        self._memory = MemoryLog()

    def open(
        self,
        *,
        backend: str,
        folder: str,
        plan: str,
        options: Mapping[str, Any],
        items: str,
        names: list[str],
    ) -> dict[str, Any]:
        """Load the plan and the items; `backend` is an import path."""
        run_options = RunOptions(**options)
        extend_path(run_options.pythonpath)
        if run_options.threads == 1:
            self._cpu_clock = ThreadCpuClock()
        started = self._clock.now_ns()
        with ImportTimer(self._clock) as imports:
            loaded: Backend = load_object(backend)
            context_ns = self._make_context(run_options.device, imports)
            context = loaded.open(Path(folder), plan, run_options)
            self._engine = self._stack.enter_context(context)
            self._memory.mark("loaded")
            self._runner = self._add_runner(0)
        opened_ns = self._clock.now_ns() - started
        self._items = load_items(Path(items), names)
        return {
            "facts": dict(self._engine.facts),
            "affinity": usable_cores(),
            "born_ns": self._born_ns,
            "import_ns": imports.spent_ns,
            "context_ns": context_ns,
            "open_ns": opened_ns - imports.spent_ns - (context_ns or 0),
            "imports": imported_packages(),
            "clock": self._clock.name,
            "cpu_clock": self._cpu_clock.name,
        }

    def warm_up(self, *, batch: int, rule: Mapping[str, Any]) -> dict[str, Any]:
        """Run until the rule is met, then put the garbage collector out of the way for good.

        The engine's `facts` are told again: some are known only once requests have run.
        """
        record = self._loop(batch).warm_up(WarmupRule(**rule))
        silence_collector()
        facts = {} if self._engine is None else dict(self._engine.facts)
        return asdict(record) | {"facts": facts}

    def run_block(
        self, *, batch: int, rule: Mapping[str, Any], out: str, kind: str = "requests"
    ) -> dict[str, Any]:
        """Time one block of a kind (BLOCKS) and write its rows."""
        switches_before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        rows = BLOCKS[kind](self._loop(batch), BlockRule(**rule))
        switches_after = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        np.save(out, rows, allow_pickle=False)
        return {
            "switches_count": switches_after - switches_before,
            "peak_rss_bytes": peak_rss_bytes(),
        }

    def run_protocol(self, *, batch: int, rule: Mapping[str, Any], out: str) -> dict[str, Any]:
        """Time queries as trtexec does and write their rows; `facts` are told as in `warm_up`."""
        runner, requests = self._require_runner(), make_requests(self._items, batch)
        silence_collector()
        done = ProtocolLoop(runner, requests, self._clock, ProtocolRule(**rule)).run()
        np.save(out, done.rows, allow_pickle=False)
        return {
            "wall_ns": done.wall_ns,
            "is_marked": done.is_marked,
            "facts": {} if self._engine is None else dict(self._engine.facts),
        }

    def run_streams(
        self, *, batch: int, streams: int, rule: Mapping[str, Any], out: str
    ) -> dict[str, Any]:
        """Keep so many streams busy for a window, and write what each did.

        Its rows as `<stream>`, the outputs of its last request as `<stream>.<output>`.
        """
        self._require_runner()
        while len(self._streams) < streams:
            self._streams.append(self._add_runner(len(self._streams)))
        requests = make_requests(self._items, batch)
        silence_collector()
        window = run_streams(
            self._streams[:streams],
            requests,
            rule=StreamRule(**rule),
            clock=self._clock,
            cpu_clock=ProcessCpuClock(),
        )
        arrays = {str(place): rows for place, rows in enumerate(window.rows)}
        for place, runner in enumerate(self._streams[:streams]):
            last = runner.read(SLOT).values()
            arrays |= {f"{place}.{output}": value for output, value in enumerate(last)}
        with Path(out).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        return {
            "window_ns": window.window_ns,
            "completed_count": window.completed_count,
            "cpu_ns": window.cpu_ns,
            "peak_rss_bytes": peak_rss_bytes(),
        }

    def answer_first(self, *, batch: int) -> dict[str, Any]:
        """Answer one request, the first of this process."""
        runner, requests = self._require_runner(), make_requests(self._items, batch)
        started = self._clock.now_ns()
        run_once(runner, requests[0])
        ended = self._clock.now_ns()
        return {"first_ns": ended - started, "end_ns": ended, "cpu_ns": time.process_time_ns()}

    def write_outputs(self, *, batch: int, out: str) -> dict[str, Any]:
        """Write the outputs of every rotated request, untimed: `<request>.<output>` per array."""
        runner = self._require_runner()
        arrays: Feeds = {}
        names: list[str] = []
        for index, feeds in enumerate(make_requests(self._items, batch)):
            outputs = run_once(runner, feeds)
            names = list(outputs)
            arrays |= {f"{index}.{place}": value for place, value in enumerate(outputs.values())}
        with Path(out).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        return {"names": names, "requests_count": len(self._items)}

    def open_context(self, *, device: str) -> dict[str, Any]:
        """Make the device's context before anything else of this process uses it."""
        self._memory.begin(device)
        return {}

    def tell_memory(self) -> dict[str, Any]:
        """Return the memory in use at each moment, and what engine and runner know of it."""
        self._memory.mark("warm")
        known: list[object] = [self._engine, self._runner]
        tellers = [item for item in known if isinstance(item, TellsMemory)]
        return {
            "used_bytes": self._memory.used_bytes,
            "told": [asdict(figure) for teller in tellers for figure in teller.memory()],
            "peak_rss_bytes": peak_rss_bytes(),
        }

    def time_harness(self, *, rule: Mapping[str, Any]) -> dict[str, Any]:
        """Time requests that do nothing: the harness's own share of every sample."""
        loop = Loop(NullRunner(), [{}], self._clock, self._cpu_clock)
        rows = loop.run_block(BlockRule(**rule))
        counted = rows[rows[:, 0] == 1]
        return {
            "e2e_ns": int(np.median(counted[:, 2])),
            "cpu_ns": int(np.median(counted[:, 3])),
        }

    def close(self) -> dict[str, Any]:
        """Destroy the runner, then its engine."""
        self._loops.clear()
        self._streams.clear()
        self._runner = self._engine = None
        self._stack.close()
        return {}

    def _make_context(self, device: str, imports: ImportTimer) -> int | None:
        """Make the GPU's context, which the process keeps, and return the time without imports."""
        if device == HOST:
            return None
        started, imported_ns = self._clock.now_ns(), imports.spent_ns
        from trtproof.backends.cuda.device import open_device

        with open_device():
            return self._clock.now_ns() - started - (imports.spent_ns - imported_ns)

    def _add_runner(self, stream: int) -> Runner:
        """Return a runner that is closed before its engine."""
        if self._engine is None:
            problem = "the worker was told to run before it opened a plan"
            raise PipelineError(problem)
        runner = self._engine.runner(stream)
        self._stack.callback(runner.close)
        return runner

    def _loop(self, batch: int) -> Loop:
        if batch not in self._loops:
            runner, requests = self._require_runner(), make_requests(self._items, batch)
            self._loops[batch] = Loop(runner, requests, self._clock, self._cpu_clock)
        return self._loops[batch]

    def _require_runner(self) -> Runner:
        if self._runner is None:
            problem = "the worker was told to run before it opened a plan"
            raise PipelineError(problem)
        return self._runner


def serve(worker: Worker, commands: IO[str], replies: IO[str]) -> None:
    """Answer commands until one says close or the orchestrator is gone.

    A `PipelineError` becomes a reply; anything else leaves the loop with its traceback.
    """
    for line in commands:
        command = json.loads(line)
        name = command.pop("do")
        try:
            reply = {"ok": True} | getattr(worker, name)(**command)
        except PipelineError as error:
            reply = {"ok": False, "error": str(error), "kind": type(error).__name__}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        if name == "close":
            return


def main() -> None:
    """Serve on the process's pipes, then leave without running what libraries do at exit.

    A crash while tearing down after a complete result would otherwise look like a failed
    measurement.
    """
    die_with_parent()
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    status = 1
    try:
        serve(Worker(MonotonicClock()), sys.stdin, replies)
        status = 0
    except BaseException:  # os._exit below would swallow the traceback of any error
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
