"""What a loaded engine must do besides one right answer."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from trtproof import artifacts, sidecar
from trtproof.backends.base import Runner, run_once
from trtproof.backends.tensorrt import BACKEND
from trtproof.doctor.base import REPORT_IT, Finding, failed, ok, skipped
from trtproof.doctor.engines import (
    ON_THE_GPU,
    Built,
    answer,
    build,
    expect,
    largest_difference,
    shown,
)
from trtproof.doctor.graphs import make_question
from trtproof.doctor.machine import find_trtexec
from trtproof.errors import BackendError, PlanForeignError
from trtproof.tensor import Feeds

REPLAYS: Final = 3
TIMED: Final = 200
SLOWER: Final = 2.0
TRTEXEC_LIMIT_S: Final = 25
NS_PER_MS: Final = 1e6


def check_replay() -> Finding:
    """Run as a CUDA graph, with other numbers each time: a replay must read its inputs anew."""
    question = make_question("fp32")
    with (
        build(question) as built,
        BACKEND.open(built.folder, built.record.plan, replace(ON_THE_GPU, cuda_graph=True)) as made,
    ):
        runner = made.runner(0)
        wrong = _first_wrong(built, runner, [_shifted(question.feeds, n) for n in range(REPLAYS)])
        captured = made.facts.get("cuda_graph_captured")
        obstacle = str(made.facts.get("cuda_graph_failure", ""))
    if wrong:
        return failed(f"replayed as a CUDA graph, {wrong}", _without_graph())
    if captured != 1:
        return failed(f"no CUDA graph was captured: {obstacle or 'no reason given'}", REPORT_IT)
    return ok(f"captured, and {REPLAYS} replays with other inputs answer right")


def check_profiles() -> Finding:
    """Switch between two optimization profiles, there and back, by the shape alone."""
    question = make_question("profiles")
    requests = [_batch(question.feeds, size) for size in (12, 2, 9)]
    return _right_for(built_name="profiles", requests=requests, said="switched profiles by shape")


def check_shapes() -> Finding:
    """Run every shape of a dynamic axis: the smallest, the largest and back."""
    question = make_question("dynamic")
    requests = [_batch(question.feeds, size) for size in (1, 8, 3, 1)]
    return _right_for(built_name="dynamic", requests=requests, said="shapes 1, 8, 3 and 1")


def check_outputs() -> Finding:
    """Take outputs whose size only the data decide: none, some, all."""
    question = make_question("nonzero")
    name = question.signature.input_names[0]
    full = np.ones_like(question.feeds[name])
    requests = [{name: full}, {name: question.feeds[name]}, {name: np.zeros_like(full)}]
    return _right_for(built_name="nonzero", requests=requests, said="outputs of every size")


def check_streams() -> Finding:
    """Run two requests at once, each on a stream and a context of its own."""
    question = make_question("fp32")
    feeds = [_shifted(question.feeds, number) for number in range(2)]
    with (
        build(question) as built,
        BACKEND.open(built.folder, built.record.plan, ON_THE_GPU) as opened,
    ):
        runners = [opened.runner(number) for number in range(2)]
        for runner, one in zip(runners, feeds, strict=True):
            runner.stage(0, one)
        for act in ("upload", "launch", "download"):
            for runner in runners:
                getattr(runner, act)(0)
        for runner in runners:
            runner.wait()
        answers = [runner.read(0) for runner in runners]
    for one, got in zip(feeds, answers, strict=True):
        difference = largest_difference(expect(question, one), got)
        if difference is None or difference > question.tolerance:
            return failed(f"two streams at once answer wrong: {shown(difference)}", REPORT_IT)
    return ok("two streams at once answer right")


def check_foreign_plan() -> Finding:
    """Offer a plan of another version, a cut one and junk: each must be refused with a reason."""
    with build(make_question("fp32")) as built:
        if not _gate_refuses(built):
            return failed("the gate took a plan of another TensorRT version", REPORT_IT)
        path = built.folder / built.record.plan
        whole = path.read_bytes()
        reasons = {}
        for name, content in {"cut": whole[: len(whole) // 2], "junk": b"not a plan" * 100}.items():
            path.write_bytes(content)
            try:
                answer(built)
            except BackendError as error:
                reasons[name] = str(error)
            else:
                return failed(f"TensorRT took a plan that is {name}", REPORT_IT)
    return ok("refused: a plan of another version, a cut one and junk", reasons=reasons)


def _gate_refuses(built: Built) -> bool:
    """Say whether the sidecar's gate stops a plan whose record names another version."""
    here = {"bindings": "11.0"}
    record = sidecar.EngineRecord(
        variant=built.folder.name,
        backend="tensorrt",
        recipe="fp32",
        precision="fp32",
        status="built",
        facts={"bindings": "10.0"},
        key={},
        settings={},
        plan=built.record.plan,
        files={built.record.plan: artifacts.sha256_file(built.folder / built.record.plan)},
    )
    sidecar.write_record(built.folder, record)
    try:
        sidecar.verify_plan(built.folder, here)
    except PlanForeignError:
        return True
    return False


def check_trtexec_speed() -> Finding:
    """Hold the median GPU time of one engine against trtexec's: our runner must not be slower."""
    found = find_trtexec()
    if found is None:
        return skipped("there is no trtexec on the path")
    with build(make_question("fp32")) as built:
        ours_ms = _median_ms(built)
        times = built.folder / "times.json"
        done = subprocess.run(
            [
                found,
                f"--loadEngine={built.folder / built.record.plan}",
                f"--exportTimes={times}",
                f"--iterations={TIMED}",
                "--duration=1",
            ],
            capture_output=True,
            text=True,
            timeout=TRTEXEC_LIMIT_S,
            check=False,
        )
        if done.returncode or not times.exists():
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            return failed(
                f"{found} cannot load our plan: {' '.join(last)}",
                "trtexec and the Python bindings must be of one version: see step mapped",
            )
        theirs_ms = _read_median(times)
    facts = {"ours_ms": ours_ms, "trtexec_ms": theirs_ms}
    text = f"median GPU time {ours_ms:.4f} ms, trtexec {theirs_ms:.4f} ms"
    if theirs_ms > 0 and ours_ms / theirs_ms > SLOWER:
        return failed(f"our runner is slower: {text}", REPORT_IT, **facts)
    return ok(text, **facts)


def _median_ms(built: Built) -> float:
    with BACKEND.open(built.folder, built.record.plan, replace(ON_THE_GPU, parts=True)) as opened:
        runner = opened.runner(0)
        values = []
        for _ in range(TIMED):
            run_once(runner, built.question.feeds)
            values.append(runner.times_ns().device_ns or 0)
    return statistics.median(values) / NS_PER_MS


def _read_median(times: Path) -> float:
    requests = json.loads(times.read_text(encoding="utf-8"))
    return statistics.median(float(request["computeMs"]) for request in requests)


def _right_for(*, built_name: str, requests: Sequence[Feeds], said: str) -> Finding:
    """Return whether one engine answers every request right, in this order, on one runner."""
    question = make_question(built_name)
    with (
        build(question) as built,
        BACKEND.open(built.folder, built.record.plan, ON_THE_GPU) as opened,
    ):
        wrong = _first_wrong(built, opened.runner(0), requests)
    if wrong:
        return failed(wrong, REPORT_IT)
    return ok(f"{said}: {len(requests)} requests answer right")


def _first_wrong(built: Built, runner: Runner, requests: Sequence[Feeds]) -> str:
    """Return what is wrong with the first answer that is, or nothing."""
    for number, feeds in enumerate(requests):
        got = run_once(runner, feeds)
        difference = largest_difference(expect(built.question, feeds), got)
        if difference is None or difference > built.question.tolerance:
            shapes = {name: list(value.shape) for name, value in feeds.items()}
            return f"request {number} of {shapes} answers wrong: {shown(difference)}"
    return ""


def _shifted(feeds: Feeds, number: int) -> Feeds:
    """Return feeds of the same shapes with other numbers."""
    return {name: np.roll(value, number, axis=-1) for name, value in feeds.items()}


def _batch(feeds: Feeds, size: int) -> Feeds:
    """Return feeds with this many samples, repeated or cut."""
    return {name: np.resize(value, (size, *value.shape[1:])) for name, value in feeds.items()}


def _without_graph() -> str:
    return f"set run.cuda_graph to false in conf/variant, and {REPORT_IT}"
