"""A whole session with fake backends in real workers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.benchmark_settings import benchmark_config
from tests.fakes import FAKE_BACKEND, TESTS, FakeClock, make_feeds, write_fake_plan

from trtproof.backends.base import RunOptions
from trtproof.benchmark_config import BenchmarkConfig
from trtproof.errors import BackendError
from trtproof.measure.budget import BlockPlan
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.disturbed import Cause
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.link import Contender
from trtproof.measure.loop import BlockRule
from trtproof.measure.machine import MachineReader, MachineState
from trtproof.measure.rounds import Budget, RoundRunner, SessionRecord
from trtproof.measure.session import run_sessions, say_if_busy
from trtproof.measure.stopping import StopReason

CONFIG = benchmark_config()
ONE_BATCH = benchmark_config(batches=[1])
ROUND_NS = 1_000_000_000


def quiet() -> MachineState:
    return MachineState(at_ns=0)


def readings(shares: Sequence[float]) -> MachineReader:
    """Return a reader of one second a round, in which tasks waited for these shares of it.

    Read at the start, and before and after each round; quiet once the shares are used up.
    """

    def states() -> Iterator[MachineState]:
        now_ns = pressure_us = 0
        yield MachineState(now_ns, pressure_us=pressure_us)
        for share in chain(shares, repeat(0.0)):
            yield MachineState(now_ns, pressure_us=pressure_us)
            now_ns += ROUND_NS
            pressure_us += int(share * ROUND_NS / 1000)
            yield MachineState(now_ns, pressure_us=pressure_us)

    return states().__next__


def contender(folder: Path, name: str, **faults: Any) -> Contender:
    return Contender(
        name=name,
        variant=name,
        backend=FAKE_BACKEND,
        folder=write_fake_plan(folder / name, **faults),
        plan="engine.fake",
        options=RunOptions(threads=1, pythonpath=(str(TESTS),)),
    )


def run(
    folder: Path,
    contenders: list[Contender],
    config: BenchmarkConfig,
    *,
    machine: MachineReader = quiet,
) -> SessionRecord:
    inputs = SessionInputs(contenders, make_feeds(4), config, "device", machine)
    return run_sessions(Launcher(inputs, folder), reference="a", clock=MonotonicClock())


def children() -> set[str]:
    """Return this process's children that are workers."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    found = path.read_text(encoding="ascii").split() if path.exists() else []
    return {pid for pid in found if b"measure.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_a_session_follows_the_schedule(tmp_path: Path) -> None:
    record = run(tmp_path, [contender(tmp_path, "a"), contender(tmp_path, "b")], CONFIG)
    order = [(block.turn.round, block.turn.batch, block.turn.contender) for block in record.blocks]
    first = [(0, 1, "a"), (0, 1, "b"), (0, 2, "a"), (0, 2, "b")]
    second = [(1, 1, "b"), (1, 1, "a"), (1, 2, "b"), (1, 2, "a")]
    assert order[:8] == [*first, *second]
    assert len(order) == 4 * 2 * 2
    assert [item.place.round for item in record.rounds] == [0, 1, 2, 3]
    assert len(record.workers) == 2
    assert record.harness["e2e_ns"] > 0


def test_only_one_contender_works_at_a_time(tmp_path: Path) -> None:
    record = run(tmp_path, [contender(tmp_path, "a"), contender(tmp_path, "b")], CONFIG)
    spans = [(block.rows[0, 1], block.rows[-1, 1] + block.rows[-1, 2]) for block in record.blocks]
    for (_, end), (start, _) in pairwise(spans):
        assert start >= end


def test_every_worker_answers_the_same_requests(tmp_path: Path) -> None:
    both = [contender(tmp_path, "a", scale=1.0), contender(tmp_path, "b", scale=3.0)]
    record = run(tmp_path, both, CONFIG)
    for left, right in zip(record.outputs["a"], record.outputs["b"], strict=True):
        np.testing.assert_array_equal(left["logits"][:, 1], right["logits"][:, 1])
        np.testing.assert_allclose(3 * left["logits"][:, 0], right["logits"][:, 0], rtol=1e-6)


def test_workers_restart_between_sessions(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, restart_every_rounds=2, batches=[1])
    record = run(tmp_path, [contender(tmp_path, "a"), contender(tmp_path, "b")], config)
    assert [worker["worker"] for worker in record.workers] == [2, 3, 4, 5]  # after the check's
    seen = {(block.turn.session, block.turn.round, block.worker) for block in record.blocks}
    assert seen == {
        (0, 0, 2), (0, 0, 3), (0, 1, 2), (0, 1, 3),
        (1, 2, 4), (1, 2, 5), (1, 3, 4), (1, 3, 5),
    }  # fmt: skip


@pytest.mark.parametrize("faults", [{"die_at": 6}, {"error_at": 6}])
def test_one_contenders_failure_ends_all_workers(tmp_path: Path, faults: dict[str, int]) -> None:
    both = [contender(tmp_path, "good"), contender(tmp_path, "bad", **faults)]
    with pytest.raises(BackendError, match="the worker of bad"):
        run(tmp_path, both, CONFIG)
    assert not children()


def test_slow_contenders_get_fewer_requests_and_all_alike(tmp_path: Path) -> None:
    config = msgspec.structs.replace(
        CONFIG, requests=10_000, max_minutes=0.05, rounds=2, most_rounds=2, batches=[1]
    )
    both = [contender(tmp_path, "a", slow_s=0.002), contender(tmp_path, "b")]
    record = run(tmp_path, both, config)
    assert record.plan is not None
    assert 5 <= record.plan.rule.requests < 10_000
    counted = {int(block.rows[:, 0].sum()) for block in record.blocks}
    assert counted == {record.plan.rule.requests}
    assert {note["requests"] for note in record.block_notes} == counted


class StubLink:
    """A worker that answers at once and remembers what it was told."""

    number = 0

    def __init__(self) -> None:
        self.requests: list[int] = []

    def ask(self, command: str, *, rule: dict[str, Any], out: str, **_: Any) -> dict[str, Any]:
        self.requests.append(rule["requests"])
        np.save(out, np.ones((1, 4), dtype=np.int64))
        return {}


def test_a_machine_that_became_slow_gets_smaller_blocks_from_the_next_pair_on(
    tmp_path: Path,
) -> None:
    config = benchmark_config(batches=[1], requests=100)
    inputs = SessionInputs([contender(tmp_path, "a")], make_feeds(4), config, "device", quiet)
    plan = BlockPlan(BlockRule(100, 0.0, 0, 0.0), expected_s=1.0, fits=True)
    clock = FakeClock([5_000_000_000])  # each reading 5 s later: a round takes that long
    budget = Budget(clock, deadline_ns=30_000_000_000, rounds_left=4)
    link = StubLink()
    links: Any = {"a": link}
    runner = RoundRunner(
        Launcher(inputs, tmp_path), links, SessionRecord(), plan=plan, budget=budget
    )
    for slot in range(4):
        runner.run_slot(0, slot)
    assert link.requests == [100, 100, 50, 50]  # at 25 s two rounds of 5 s are left, and 5 s


def test_blocks_that_a_slow_warmup_made_small_grow_from_the_next_pair_on(tmp_path: Path) -> None:
    config = benchmark_config(batches=[1], requests=100)
    inputs = SessionInputs([contender(tmp_path, "a")], make_feeds(4), config, "device", quiet)
    plan = BlockPlan(BlockRule(10, 0.0, 1, 0.0), expected_s=1.0, fits=True)
    budget = Budget(FakeClock([1_000_000_000]), deadline_ns=1_000_000_000_000, rounds_left=4)
    link = StubLink()
    links: Any = {"a": link}
    runner = RoundRunner(
        Launcher(inputs, tmp_path), links, SessionRecord(), plan=plan, budget=budget
    )
    for slot in range(4):
        runner.run_slot(0, slot)
    assert link.requests == [10, 10, 20, 20]  # twice as large at most


def rounds_of(record: SessionRecord) -> list[tuple[int, int, int | None, bool]]:
    """Return number, slot, what it repeats and whether it was disturbed, of every round."""
    return [
        (item.place.round, item.place.slot, item.repeats, bool(item.causes))
        for item in record.rounds
    ]


def test_a_neighbour_in_the_middle_of_a_run_disturbs_the_rounds_that_it_hit(tmp_path: Path) -> None:
    both = [contender(tmp_path, "a"), contender(tmp_path, "b")]
    record = run(tmp_path, both, ONE_BATCH, machine=readings([0.0, 0.9, 0.02]))
    assert [item.causes for item in record.rounds] == [(), (Cause.PRESSURE,), (), ()]
    selection = record.select(ONE_BATCH.disturbance)
    assert selection.left_out == (1,)
    assert not selection.mostly_disturbed


def test_a_neighbour_that_stays_leaves_nothing_out_and_is_flagged(tmp_path: Path) -> None:
    both = [contender(tmp_path, "a"), contender(tmp_path, "b")]
    record = run(tmp_path, both, ONE_BATCH, machine=readings([0.0, 0.9, 0.9, 0.9]))
    selection = record.select(ONE_BATCH.disturbance)
    assert selection.mostly_disturbed
    assert selection.kept == (0, 1, 2, 3)


def test_disturbed_rounds_are_measured_again_in_their_own_order(tmp_path: Path) -> None:
    config = benchmark_config(batches=[1], disturbance={"reruns": 3})
    both = [contender(tmp_path, "a"), contender(tmp_path, "b")]
    record = run(tmp_path, both, config, machine=readings([0, 0.9, 0, 0.9, 0, 0.9, 0]))
    assert rounds_of(record) == [
        (0, 0, None, False),
        (1, 1, None, True),
        (2, 2, None, False),
        (3, 3, None, True),
        (4, 1, 1, False),
        (5, 3, 3, True),
        (6, 3, 5, False),
    ]
    order = [block.turn.contender for block in record.blocks if block.turn.round in {1, 4}]
    assert order == ["b", "a", "b", "a"]


def test_a_round_is_measured_again_three_times_at_most(tmp_path: Path) -> None:
    config = benchmark_config(batches=[1], disturbance={"reruns": 3})
    one = [contender(tmp_path, "a")]
    record = run(tmp_path, one, config, machine=readings([0.9, *[0] * 3, *[0.9] * 9]))
    assert [item.place.slot for item in record.rounds] == [0, 1, 2, 3, 0, 0, 0]


def test_nothing_is_measured_again_beyond_the_budget(tmp_path: Path) -> None:
    config = benchmark_config(batches=[1], disturbance={"reruns": 3})
    machine = readings([0.9, 0.9])
    machine()  # that of the start
    inputs = SessionInputs([contender(tmp_path, "a")], make_feeds(4), config, "device", machine)
    plan = BlockPlan(BlockRule(3, 0.0, 0, 0.0), expected_s=1.0, fits=True)
    budget = Budget(FakeClock([1_000_000_000]), deadline_ns=5_500_000_000, rounds_left=2)
    links: Any = {"a": StubLink()}
    record = SessionRecord()
    runner = RoundRunner(Launcher(inputs, tmp_path), links, record, plan=plan, budget=budget)
    for slot in range(2):
        runner.run_slot(0, slot)
    runner.rerun_disturbed(0)
    assert [item.repeats for item in record.rounds] == [None, None]


def test_wide_intervals_add_rounds_in_new_workers(tmp_path: Path) -> None:
    wide = {"wall_p10": {"minimum_effect": 0.05, "wanted_halfwidth": 1e-9}}
    config = benchmark_config(
        batches=[1], restart_every_rounds=2, most_rounds=10, figures=wide, rounds=4
    )
    both = [contender(tmp_path, "a"), contender(tmp_path, "b")]
    record = run(tmp_path, both, config)
    assert [step["rounds_count"] for step in record.steps] == [4, 2, 0]
    assert record.steps[-1]["reason"] == StopReason.MOST_ROUNDS
    assert [item.place.slot for item in record.rounds] == list(range(10))
    assert [item.place.session for item in record.rounds] == [0, 0, 1, 1, 2, 2, 2, 2, 3, 3]
    workers = {(block.turn.session, block.worker) for block in record.blocks}
    assert len(workers) == 4 * 2


def test_rounds_are_not_added_where_nothing_is_wanted_narrow(tmp_path: Path) -> None:
    shown = {"wall_p10": {"minimum_effect": 0.05, "wanted_halfwidth": None}}
    config = benchmark_config(batches=[1], restart_every_rounds=2, most_rounds=8, figures=shown)
    record = run(tmp_path, [contender(tmp_path, "a"), contender(tmp_path, "b")], config)
    assert [step["reason"] for step in record.steps] == [StopReason.NARROW_ENOUGH]
    assert len(record.rounds) == 4


def test_a_profile_that_does_not_extend_keeps_its_rounds(tmp_path: Path) -> None:
    record = run(tmp_path, [contender(tmp_path, "a"), contender(tmp_path, "b")], ONE_BATCH)
    assert [step["rounds_count"] for step in record.steps] == [0]
    assert len(record.rounds) == 4


def test_rounds_are_not_added_beyond_the_budget(tmp_path: Path) -> None:
    config = benchmark_config(
        batches=[1], restart_every_rounds=2, most_rounds=8, max_minutes=0.0001
    )
    record = run(tmp_path, [contender(tmp_path, "a"), contender(tmp_path, "b")], config)
    assert [step["reason"] for step in record.steps] == [StopReason.BUDGET]


def test_a_plan_that_mixes_the_samples_of_a_batch_is_not_timed(tmp_path: Path) -> None:
    both = [contender(tmp_path, "a"), contender(tmp_path, "b", mixes=True)]
    with pytest.raises(BackendError, match=r"b at batch 2 answers otherwise .*'logits'"):
        run(tmp_path, both, CONFIG)
    assert not children()


def test_workers_that_restart_are_checked_before_they_are_timed(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, restart_every_rounds=2, batches=[1])
    # opened by the check's own process, by the first session's worker, by the second's
    both = [contender(tmp_path, "a"), contender(tmp_path, "b", drifts_after=2)]
    with pytest.raises(BackendError, match=r"b at batch 1 answers otherwise .*'logits'"):
        run(tmp_path, both, config)
    late = [contender(tmp_path, "a"), contender(tmp_path, "b", drifts_after=3)]
    assert run(tmp_path, late, config).answer_errors["b"]["logits"] < 1e-6


def test_the_second_run_of_the_reference_is_compared_too(tmp_path: Path) -> None:
    reference = contender(tmp_path, "a")
    twice = [reference, replace(reference, name="a/again")]
    record = run(tmp_path, twice, ONE_BATCH)
    assert record.answer_errors == {"a": {"logits": 0.0}, "a/again": {"logits": 0.0}}


@pytest.mark.parametrize(("load", "said"), [(1000.0, True), (0.1, False), (None, False)])
def test_a_busy_machine_is_said_before_anything_runs(
    load: float | None, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    say_if_busy(MachineState(at_ns=0, load_1min=load))
    assert ("this machine is busy" in capsys.readouterr().err) == said
