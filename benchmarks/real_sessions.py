"""Repeat real sessions of the latency scenario on this machine and check what they claim.

Run in the project's root after `dvc repro`. Prints two things that no simulation can show:

- A/A: the reference against its second run, how often an interval excludes 1;
- bias: the wall P10 of one variant against a timing loop that shares no code with trtproof
  (independent_loop.py), interleaved in the same rounds as one more contender.

    python benchmarks/real_sessions.py --sessions 20 --minutes 1

`--neighbour` keeps as many processes busy in the middle third of each session.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast
from unittest import mock

import msgspec
import numpy as np

from trtproof import data
from trtproof.benchmark_config import BenchmarkConfig
from trtproof.config import VariantConfig, load_section
from trtproof.hardware import load_hardware
from trtproof.measure import answers
from trtproof.measure import session as sessions
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.contenders import identify_device, line_up, take_items
from trtproof.measure.figures import FIGURES, sessions_by_round, values_by_round
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.link import Contender, WorkerLink
from trtproof.measure.ratios import aa_halfwidth, ratio_of_rounds
from trtproof.measure.samples import make_samples
from trtproof.measure.schedule import AGAIN
from trtproof.measure.verdict import RoundValues, VerdictRule, judge

LOOP: Final = Path(__file__).with_name("independent_loop.py")
INDEPENDENT: Final = f"independent{AGAIN}"
"""The suffix keeps it out of what is checked against evaluated answers: it has no engine."""


class LoopLink:
    """Speaks like a worker's link, and has the independent loop do the timing."""

    def __init__(self, contender: Contender, *, number: int, folder: Path, call: str) -> None:
        self.contender, self.number, self._folder, self._call = contender, number, folder, call

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.kill()
        self._child.wait()

    def open(self, *, items: Path, **_: Any) -> dict[str, Any]:
        plan = self.contender.folder / self.contender.plan
        threads = str(self.contender.options.threads)
        self._child = subprocess.Popen(
            [sys.executable, str(LOOP), str(plan), str(items), threads, self._call],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect("ready")
        return {"facts": {}, "open_ns": 0, "import_ns": 0}

    def ask(self, command: str, *, batch: int, rule: dict[str, Any], **more: Any) -> dict[str, Any]:
        if command == "warm_up":
            times = self._run(rule["iterations"], rule["seconds"], batch)
            return {"median_ns": int(np.median(times)), "converged": True}
        warm = self._run(rule["warm_iterations"], rule["warm_seconds"], batch)
        counted = self._run(rule["requests"], rule["seconds"], batch)
        rows = [(0, 0, item, -1) for item in warm] + [(1, 0, item, -1) for item in counted]
        np.save(more["out"], np.array(rows, dtype=np.int64))
        return {"switches_count": 0, "peak_rss_bytes": 0}

    def _run(self, count: int, seconds: float, batch: int) -> np.ndarray[Any, Any]:
        out = self._folder / "independent.npy"
        assert self._child.stdin is not None
        print(count, seconds, batch, out, file=self._child.stdin, flush=True)
        self._expect("done")
        times: np.ndarray[Any, Any] = np.load(out)
        return times

    def _expect(self, word: str) -> None:
        assert self._child.stdout is not None
        line = self._child.stdout.readline().strip()
        if line != word:
            raise SystemExit(f"the independent loop said {line!r} instead of {word!r}")


class LoopLauncher(Launcher):
    """Starts the independent loop where the contender is that."""

    call = "run"

    def start(self, contender: Contender) -> WorkerLink:
        if contender.name != INDEPENDENT:
            return super().start(contender)
        link = LoopLink(contender, number=self._started_count, folder=self.folder, call=self.call)
        self._started_count += 1
        return cast("WorkerLink", link)


def main() -> None:
    """Run the sessions and print a line of each."""
    arguments = _parse()
    config = msgspec.structs.replace(
        load_section(BenchmarkConfig, "benchmark"),
        batches=[arguments.batch],
        max_minutes=arguments.minutes,
        throughput=None,
        sustained=None,
        cold=None,
    )
    reference, hardware = arguments.reference or load_section(str, "reference"), load_hardware()
    variants = load_section(dict[str, VariantConfig], "variants")
    chosen = {name: variants[name] for name in (reference, arguments.variant)}
    lineup = line_up(chosen, reference=reference, hardware=hardware, config=config, pythonpath=[])
    other = next(item for item in lineup.contenders if item.name == arguments.variant)
    contenders = [*lineup.contenders, replace(other, name=INDEPENDENT)]
    items = take_items(data.open_split("evaluation"), config)
    plan = SessionInputs(contenders, items.feeds, config, identify_device(hardware))
    results = []
    for number in range(arguments.sessions):
        results.append(_run_session(plan, reference, arguments) | {"session": number})
        print(json.dumps(results[-1]), flush=True)
    _summarize(results, arguments)


def _run_session(
    plan: SessionInputs, reference: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    check = answers.check_answers

    def check_own(launcher: Launcher, links: Any, evaluated: Any) -> Any:
        own = {name: link for name, link in links.items() if name != INDEPENDENT}
        return check(launcher, own, evaluated)

    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(sessions, "check_answers", check_own),
        _Neighbour(arguments.neighbour, plan.config.max_minutes * 60),
    ):
        launcher = LoopLauncher(plan, Path(folder))
        launcher.call = arguments.call
        record = sessions.run_sessions(launcher, reference=reference, clock=MonotonicClock())
    selection = record.select(plan.config.disturbance)
    samples = make_samples(record.blocks, left_out=selection.left_out)
    result: dict[str, Any] = {
        "seconds": round(time.monotonic() - begun, 1),
        "rounds": len(record.rounds),
        "left_out": len(selection.left_out),
        "mostly_disturbed": selection.mostly_disturbed,
    }
    batch, by_round = arguments.batch, sessions_by_round(samples)
    everything = make_samples(record.blocks)
    for key, figure in FIGURES.items():
        one, two = (
            values_by_round(samples, figure, name, batch) for name in (reference, reference + AGAIN)
        )
        common = sorted(one.keys() & two.keys())
        ratio = ratio_of_rounds(
            [one[n] for n in common],
            [two[n] for n in common],
            sessions=[by_round[n] for n in common],
        )
        all_by_name = {
            name: values_by_round(everything, figure, name, batch)
            for name in (reference, reference + AGAIN)
        }
        verdict = judge(
            RoundValues(
                all_by_name[reference],
                all_by_name[reference + AGAIN],
                all_by_name[reference + AGAIN],
                sessions_by_round(everything),
            ),
            VerdictRule(plan.config.figures[key].minimum_effect, plan.config.profile),
            selection,
        )
        result[f"aa_{key}"] = [ratio.value, ratio.low, ratio.high, verdict.word.value]
    ours, theirs = (
        values_by_round(samples, FIGURES["wall_p10"], name, batch)
        for name in (arguments.variant, INDEPENDENT)
    )
    common = sorted(ours.keys() & theirs.keys())
    bias = ratio_of_rounds([theirs[n] for n in common], [ours[n] for n in common])
    one, two = (
        values_by_round(samples, FIGURES["wall_p10"], name, batch)
        for name in (reference, reference + AGAIN)
    )
    floor = aa_halfwidth(
        ratio_of_rounds([one[n] for n in common], [two[n] for n in common], confidence=0.99)
    )
    result["bias_wall_p10"] = [bias.value, bias.low, bias.high]
    result["aa_halfwidth_wall_p10"] = floor
    return result


def _summarize(results: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    print(f"{len(results)} sessions, batch {arguments.batch}, neighbours {arguments.neighbour}")
    for key in FIGURES:
        found = [item[f"aa_{key}"] for item in results]
        told = [item for item in found if item[1] is not None]
        outside = sum(not item[1] <= 1 <= item[2] for item in told)
        words = {word: sum(item[3] == word for item in found) for _, _, _, word in found}
        print(f"A/A {key}: {outside} of {len(told)} intervals exclude 1; verdicts {words}")
    inside = sum(
        abs(item["bias_wall_p10"][0] - 1) <= max(0.03, item["aa_halfwidth_wall_p10"] or 0)
        for item in results
    )
    values = sorted(item["bias_wall_p10"][0] for item in results)
    print(
        f"independent loop ({arguments.call}) / ours, wall P10 of {arguments.variant}: "
        f"{values[0]:.4f} to "
        f"{values[-1]:.4f}; {inside} of {len(results)} within 3 % or the A/A half-width"
    )


class _Neighbour:
    """Processes that keep cores busy in the middle third of a session."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count, self._seconds = count, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> None:
        if self._count:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._count:
            self._thread.join()

    def _work(self) -> None:
        if self._stop.wait(self._seconds / 3):
            return
        busy = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(self._count)]
        for process in busy:
            process.start()
        self._stop.wait(self._seconds / 3)
        for process in busy:
            process.kill()


def _burn() -> None:
    while True:
        pass


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--variant", default="onnxruntime-fp32")
    parser.add_argument("--reference", help="instead of params.yaml's")
    parser.add_argument("--call", choices=("run", "binding"), default="run")
    parser.add_argument("--neighbour", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
