"""Throughput, cold starts and sustained load, with fake backends in real workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.benchmark_settings import COLD, ENERGY, SUSTAINED, THROUGHPUT, benchmark_config
from tests.fakes import make_feeds
from tests.unit.test_session import children, contender

from trtproof.errors import BackendError
from trtproof.measure.answers import collect_evaluated
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.machine import MachineReader, MachineState
from trtproof.measure.samples import make_samples
from trtproof.measure.scenarios import ScenarioRecord, run_scenarios


def machine() -> Iterator[MachineState]:
    """Yield a second between readings, in which tasks waited for a quarter of it."""
    for number in count():
        yield MachineState(number * 10**9, load_1min=2.0, pressure_us=number * 250_000)


def run(
    folder: Path,
    faults: dict[str, Any] | None = None,
    reader: MachineReader | None = None,
    **settings: Any,
) -> ScenarioRecord:
    first = contender(folder, "a")
    contenders = [first, contender(folder, "b", **(faults or {})), replace(first, name="a/again")]
    config = benchmark_config(**settings)
    reads = reader or machine().__next__
    inputs = SessionInputs(contenders, make_feeds(4), config, "device", reads)
    launcher = Launcher(inputs, folder)
    evaluated = collect_evaluated(launcher)
    return run_scenarios(launcher, clock=MonotonicClock(), evaluated=evaluated)


def test_throughput_is_completions_over_the_window(tmp_path: Path) -> None:
    record = run(tmp_path, throughput=THROUGHPUT)
    notes = record.notes["throughput"]
    assert [note["contender"] for note in notes[:3]] == ["a", "b", "a/again"]
    assert [note["contender"] for note in notes[-3:]] == ["a/again", "b", "a"]  # mirrored
    samples = make_samples(record.blocks)
    for note in notes:
        own = samples[(samples["contender"] == note["contender"])]
        own = own[(own["round"] == note["round"]) & (own["batch"] == note["batch"])]
        own = own[own["streams"] == note["streams"]]
        assert own["stream"].nunique() == note["streams"]
        counted = int((own["status"] == "counted").sum())
        assert counted == note["completed_count"] >= 3 * note["streams"]
        rate = counted * note["batch"] / (note["window_ns"] / 1e9)
        assert note["samples_per_s"] == pytest.approx(rate)
        assert note["cpu_ns"] > 0
        assert note["machine"]["evidence"]["pressure_share"] == 0.25
        assert (note["causes"], note["left_out"]) == ([], False)  # its own streams wait
    assert samples["cpu_ns"].isna().all()


def neighbour(windows: range) -> Callable[[], MachineState]:
    """Return readings a second apart, in some of which another program took both cores."""
    readings = count()

    def read() -> MachineState:
        number = next(readings)
        busy_ns = 2 * 10**9 * sum(earlier in windows for earlier in range(number))
        return MachineState(number * 10**9, busy_ns=busy_ns, own_ns=0, cores_count=2)

    return read


# A pass of three contenders is read eight times: before it, around each window, after it.
def test_a_pass_that_a_neighbour_hit_is_left_out_for_all_contenders(tmp_path: Path) -> None:
    settings = THROUGHPUT | {"batches": [1], "streams": [1, 2], "rounds": 3}
    record = run(tmp_path, reader=neighbour(range(8, 15)), throughput=settings)
    marks = [
        (note["round"], note["streams"], note["left_out"], note["causes"])
        for note in record.notes["throughput"]
    ]
    assert marks[3:6] == [(0, 2, True, ["foreign"])] * 3
    assert not any(left_out for number, _, left_out, _ in marks if number)
    samples = make_samples(record.blocks)
    hit = (samples["round"] == 0) & (samples["streams"] == 2)
    assert set(samples[hit]["contender"]) == {"a", "b", "a/again"}
    assert "counted" not in set(samples[hit]["status"])
    assert "disturbed" not in set(samples[~hit]["status"])


def test_where_most_passes_of_a_load_are_hit_none_is_left_out(tmp_path: Path) -> None:
    settings = THROUGHPUT | {"batches": [1], "streams": [1], "rounds": 3}
    record = run(tmp_path, reader=neighbour(range(12)), throughput=settings)
    notes = record.notes["throughput"]
    assert [note["causes"] for note in notes] == [["foreign"]] * 6 + [[]] * 3
    assert not any(note["left_out"] for note in notes)
    assert all(note["mostly_disturbed"] for note in notes)
    assert "disturbed" not in set(make_samples(record.blocks)["status"])


def test_what_disturbed_sustained_load_is_recorded(tmp_path: Path) -> None:
    record = run(tmp_path, reader=neighbour(range(1)), sustained=SUSTAINED)
    assert [note["causes"] for note in record.notes["sustained"]] == [["foreign"], []]


def test_every_batch_meets_every_number_of_streams(tmp_path: Path) -> None:
    record = run(tmp_path, throughput=THROUGHPUT | {"rounds": 1})
    loads = [(note["batch"], note["streams"]) for note in record.notes["throughput"][::3]]
    assert loads == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_cold_start_is_told_by_phase(tmp_path: Path) -> None:
    record = run(tmp_path, cold=COLD)
    notes = record.notes["cold"]
    assert [note["contender"] for note in notes] == ["a", "b", "b", "a"]
    assert len({note["worker"] for note in notes}) == 4  # a fresh process each
    for note in notes:
        phases = [note[f"{phase}_ns"] for phase in ("process", "import", "open", "first", "rest")]
        assert sum(phases) == note["total_ns"]
        assert all(phase >= 0 for phase in phases)
        assert note["process_ns"] > 0
    samples = make_samples(record.blocks)
    assert samples["scenario"].unique().tolist() == ["cold"]
    assert samples["e2e_ns"].tolist() == [note["total_ns"] for note in notes]
    assert not children()


def test_under_sustained_load_one_variant_runs_alone(tmp_path: Path) -> None:
    record = run(tmp_path, sustained=SUSTAINED)
    notes = record.notes["sustained"]
    assert [note["contender"] for note in notes] == ["a", "b"]
    assert all(note["settled"]["seconds"] >= 0.01 for note in notes)
    spans = [(block.rows[0, 1], block.rows[-1, 1] + block.rows[-1, 2]) for block in record.blocks]
    assert spans[1][0] >= spans[0][1]
    for block in record.blocks:
        assert block.scenario == "sustained"
        assert len(block.rows) >= 5
        assert block.rows[:, 0].all()


def test_what_is_not_configured_is_not_run(tmp_path: Path) -> None:
    record = run(tmp_path)
    assert record.notes == {}
    assert record.blocks == []


def test_a_failure_under_load_ends_all_workers(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"worker of b: request 6 is too much"):
        run(tmp_path, {"error_at": 6}, throughput=THROUGHPUT)
    assert not children()


def test_what_each_stream_answers_under_load_is_compared(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"b, stream 2 of 2, at batch 1 answers otherwise"):
        run(tmp_path, {"wrong_stream": 1}, throughput=THROUGHPUT)
    assert not children()


def test_what_runs_alone_for_long_is_compared_before_it_is_timed(tmp_path: Path) -> None:
    # opened by the check's own process, then by the worker of sustained load
    with pytest.raises(BackendError, match=r"b at batch 1 answers otherwise .*'logits'"):
        run(tmp_path, {"drifts_after": 1}, sustained=SUSTAINED)


def test_no_scenario_starts_once_their_time_is_over(tmp_path: Path) -> None:
    wanted: dict[str, Any] = {"throughput": THROUGHPUT, "cold": COLD, "sustained": SUSTAINED}
    record = run(tmp_path, scenario_minutes=1e-9, **wanted)
    reason = "benchmark.scenario_minutes (1e-09) were over before it could start"
    assert record.notes == {name: [{"code": "out_of_time", "reason": reason}] for name in wanted}
    assert record.blocks == []


def test_a_scenario_that_has_started_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contender(tmp_path, "a")
    inputs = SessionInputs(
        [first], make_feeds(4),
        benchmark_config(scenario_minutes=1.0, throughput=THROUGHPUT, cold=COLD),
        "device", machine().__next__,
    )  # fmt: skip
    launcher = Launcher(inputs, tmp_path)
    evaluated = collect_evaluated(launcher)
    passes = len(THROUGHPUT["batches"]) * len(THROUGHPUT["streams"]) * THROUGHPUT["rounds"]
    # asked at the beginning, before throughput and before cold starts, by when the minute is over
    readings_s = iter([0, 59, 61])
    monkeypatch.setattr(clock := MonotonicClock(), "now_ns", lambda: next(readings_s) * 10**9)
    record = run_scenarios(launcher, clock=clock, evaluated=evaluated)
    assert len(record.notes["throughput"]) == passes
    assert "were over" in record.notes["cold"][0]["reason"]


def test_what_a_cpu_never_has_says_so_whatever_the_time(tmp_path: Path) -> None:
    record = run(tmp_path, scenario_minutes=1e-9, energy=ENERGY, memory_ledger=True, cold=COLD)
    assert "over before" in record.notes["cold"][0]["reason"]
    for name in ("energy", "memory"):
        assert record.notes[name][0]["reason"].startswith("the run is on the CPU")
