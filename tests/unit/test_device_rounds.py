"""The GPU's own clock, in real workers on a fake GPU whose time is virtual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.benchmark_settings import COLD, DEVICE, benchmark_config
from tests.fakes import TESTS, make_feeds, write_fake_plan
from tests.unit.test_session import children, contender

from trtproof.backends.base import RunOptions
from trtproof.errors import BackendError
from trtproof.measure.answers import collect_evaluated
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.link import Contender
from trtproof.measure.machine import MachineState
from trtproof.measure.samples import make_samples, of_scenario
from trtproof.measure.scenarios import ScenarioRecord, run_scenarios
from trtproof.measure.session import run_sessions

COPY_NS = {1: 2_000 + 144 // 25, 2: 2_000 + 288 // 25}


def gpu_contender(
    folder: Path, name: str, *, cuda_graph: bool = False, **settings: Any
) -> Contender:
    return Contender(
        name=name,
        variant=name,
        backend="fake_gpu_backend:BACKEND",
        folder=write_fake_plan(folder / name, **settings),
        plan="engine.fake",
        options=RunOptions(
            threads=1,
            device="cuda",
            cuda_graph=cuda_graph,
            pythonpath=(str(TESTS), str(TESTS.parent)),
        ),
    )


def make_inputs(
    contenders: list[Contender],
    reader: Callable[[], MachineState] = lambda: MachineState(at_ns=0),
    **settings: Any,
) -> SessionInputs:
    return SessionInputs(contenders, make_feeds(4), benchmark_config(**settings), "device", reader)


def run(folder: Path, inputs: SessionInputs) -> ScenarioRecord:
    launcher = Launcher(inputs, folder)
    evaluated = collect_evaluated(launcher)
    return run_scenarios(launcher, clock=MonotonicClock(), evaluated=evaluated)


def three(folder: Path, **settings: Any) -> list[Contender]:
    first = gpu_contender(folder, "a")
    return [first, gpu_contender(folder, "b", **settings), replace(first, name="a/again")]


def test_a_request_is_taken_apart_by_the_gpus_clock(tmp_path: Path) -> None:
    record = run(tmp_path, make_inputs(three(tmp_path, kernel_ns=70_000), device=DEVICE))
    parts = of_scenario(make_samples(record.blocks), "parts")
    counted = parts[parts["status"] == "counted"]
    assert len(counted) == 3 * 4 * 2 * 3  # contenders, rounds, batches, requests
    for name, kernel_ns in (("a", 100_000), ("b", 70_000), ("a/again", 100_000)):
        for batch in (1, 2):
            own = counted[(counted["contender"] == name) & (counted["batch"] == batch)]
            assert set(own["device_ns"]) == {kernel_ns}
            assert set(own["h2d_ns"]) == {COPY_NS[batch]}
            assert (own["d2h_ns"] >= 2_000).all()
            assert (own["enqueue_ns"] > 0).all()
            assert (own["cpu_ns"] > 0).all()


def test_launches_alone_are_timed_with_one_ahead_and_without_copies(tmp_path: Path) -> None:
    record = run(tmp_path, make_inputs(three(tmp_path, kernel_ns=70_000), device=DEVICE))
    device = of_scenario(make_samples(record.blocks), "device")
    counted = device[device["status"] == "counted"]
    assert len(counted) == 3 * 4 * 2 * 6
    assert set(counted[counted["contender"] == "b"]["device_ns"]) == {70_000}
    assert set(counted[counted["variant"] == "a"]["device_ns"]) == {100_000}
    for name in ("h2d_ns", "d2h_ns", "cpu_ns"):
        assert counted[name].isna().all()
    assert (counted["enqueue_ns"] > 0).all()
    assert (counted["e2e_ns"] >= counted["enqueue_ns"]).all()
    assert not children()


def test_rounds_are_mirrored_and_workers_restart(tmp_path: Path) -> None:
    inputs = make_inputs(three(tmp_path), device=DEVICE, batches=[1], restart_every_rounds=2)
    notes = run(tmp_path, inputs).notes["device"]
    order = [note["contender"] for note in notes[:6]]
    assert order == ["a", "b", "a/again", "a/again", "b", "a"]
    assert {(note["session"], note["round"]) for note in notes} == {(0, 0), (0, 1), (1, 2), (1, 3)}
    workers = [{note["worker"] for note in notes if note["session"] == each} for each in (0, 1)]
    assert len(workers[0]) == len(workers[1]) == 3
    assert not workers[0] & workers[1]


def test_what_runs_on_the_cpu_is_noted_with_the_reason(tmp_path: Path) -> None:
    record = run(tmp_path, make_inputs([contender(tmp_path, "a")], device=DEVICE))
    assert record.blocks == []
    for scenario in ("device", "parts"):
        (note,) = record.notes[scenario]
        assert note["contender"] == "a"
        assert "runs on the CPU" in note["reason"]


def test_a_disturbed_round_is_left_out_of_both_scenarios_for_all(tmp_path: Path) -> None:
    readings = count()

    def read() -> MachineState:  # read before and after each round: the second one was hit
        number = next(readings)
        return MachineState(number * 10**9, steal_ticks=5 * (number >= 3), total_ticks=100 * number)

    record = run(tmp_path, make_inputs(three(tmp_path), read, device=DEVICE))
    samples = make_samples(record.blocks)
    hit = samples["round"] == 1
    assert "counted" not in set(samples[hit]["status"])
    assert "disturbed" not in set(samples[~hit]["status"])
    assert set(samples[hit]["contender"]) == {"a", "b", "a/again"}
    for scenario in ("device", "parts"):
        left = {note["round"] for note in record.notes[scenario] if note["left_out"]}
        assert left == {1}
        assert {tuple(note["causes"]) for note in record.notes[scenario]} == {(), ("steal",)}


def test_answers_of_marked_workers_are_compared_before_they_are_timed(tmp_path: Path) -> None:
    inputs = make_inputs([gpu_contender(tmp_path, "a")], device=DEVICE)
    launcher = Launcher(inputs, tmp_path)
    evaluated = collect_evaluated(launcher)
    evaluated["a"]["logits"] += 1
    with pytest.raises(BackendError, match=r"a at batch 1 answers otherwise .*'logits'"):
        run_scenarios(launcher, clock=MonotonicClock(), evaluated=evaluated)
    assert not children()


# The check at the capture replays once; the answers to the other items are later replays.
def test_what_a_graph_replays_is_compared_before_latency_is_timed(tmp_path: Path) -> None:
    stale = gpu_contender(tmp_path, "a", cuda_graph=True, stale_after=2)
    launcher = Launcher(make_inputs([stale], batches=[1]), tmp_path)
    with pytest.raises(BackendError, match=r"a at batch 1 answers otherwise .*'logits'"):
        run_sessions(launcher, reference="a", clock=MonotonicClock())


def test_what_a_graph_replays_is_compared_before_the_device_is_timed(tmp_path: Path) -> None:
    stale = gpu_contender(tmp_path, "a", cuda_graph=True, stale_after=2)
    with pytest.raises(BackendError, match=r"a at batch 1 answers otherwise .*'logits'"):
        run(tmp_path, make_inputs([stale], device=DEVICE))


def test_a_sound_graph_is_timed(tmp_path: Path) -> None:
    sound = gpu_contender(tmp_path, "a", cuda_graph=True)
    record = run(tmp_path, make_inputs([sound], device=DEVICE, batches=[1]))
    assert {note["contender"] for note in record.notes["device"]} == {"a"}


def test_the_gpus_context_is_a_phase_of_a_cold_start(tmp_path: Path) -> None:
    inputs = make_inputs([gpu_contender(tmp_path, "a"), contender(tmp_path, "b")], cold=COLD)
    notes = run(tmp_path, inputs).notes["cold"]
    assert [("context_ns" in note) for note in notes] == [True, False, False, True]
    on_gpu = notes[0]
    phases = ("process", "import", "context", "open", "first", "rest")
    assert on_gpu["context_ns"] > 0
    assert sum(on_gpu[f"{phase}_ns"] for phase in phases) == on_gpu["total_ns"]
