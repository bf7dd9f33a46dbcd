"""A whole session with fake backends in real workers."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.fakes import FAKE_BACKEND, TESTS, FakeClock, make_feeds, write_fake_plan

from trtproof.backends.base import RunOptions
from trtproof.config import BenchmarkConfig, WarmupConfig
from trtproof.errors import BackendError
from trtproof.measure.budget import BlockPlan
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.link import Contender
from trtproof.measure.loop import BlockRule
from trtproof.measure.schedule import list_turns
from trtproof.measure.session import (
    SessionInputs,
    SessionRecord,
    _Budget,
    _TurnRunner,
    run_sessions,
)

CONFIG = BenchmarkConfig(
    profile="smoke",
    rounds=4,
    requests=3,
    block_seconds=0.0,
    max_minutes=0.5,
    restart_every_rounds=0,
    batches=[1, 2],
    items=4,
    warmup=WarmupConfig(
        seconds=0.001, cap_seconds=0.01, iterations=1, block_iterations=1, block_seconds=0.0
    ),
)


def contender(folder: Path, name: str, **faults: Any) -> Contender:
    return Contender(
        name=name,
        variant=name,
        backend=FAKE_BACKEND,
        folder=write_fake_plan(folder / name, **faults),
        plan="engine.fake",
        options=RunOptions(threads=1, pythonpath=(str(TESTS),)),
    )


def run(folder: Path, contenders: list[Contender], config: BenchmarkConfig) -> SessionRecord:
    inputs = SessionInputs(contenders, make_feeds(4), config, "device")
    return run_sessions(inputs, clock=MonotonicClock(), folder=folder)


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
    assert [entry["round"] for entry in record.rounds] == [0, 1, 2, 3]
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
    assert [worker["worker"] for worker in record.workers] == [0, 1, 2, 3]
    seen = {(block.turn.session, block.turn.round, block.worker) for block in record.blocks}
    assert seen == {
        (0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1),
        (1, 2, 2), (1, 2, 3), (1, 3, 2), (1, 3, 3),
    }  # fmt: skip


@pytest.mark.parametrize("faults", [{"die_at": 6}, {"error_at": 6}])
def test_one_contenders_failure_ends_all_workers(tmp_path: Path, faults: dict[str, int]) -> None:
    both = [contender(tmp_path, "good"), contender(tmp_path, "bad", **faults)]
    with pytest.raises(BackendError, match="the worker of bad"):
        run(tmp_path, both, CONFIG)
    assert not children()


def test_slow_contenders_get_fewer_requests_and_all_alike(tmp_path: Path) -> None:
    config = msgspec.structs.replace(
        CONFIG, requests=10_000, max_minutes=0.05, rounds=2, batches=[1]
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
    config = msgspec.structs.replace(CONFIG, batches=[1])
    inputs = SessionInputs([contender(tmp_path, "a")], make_feeds(4), config, "device")
    turns = list(list_turns(["a"], [1], session=0, rounds=range(4)))
    plan = BlockPlan(BlockRule(100, 0.0, 0, 0.0), expected_s=1.0, fits=True)
    link, clock = StubLink(), FakeClock([10_000_000_000])  # two rounds took 10 s, 5 s are left
    budget = _Budget(clock, plan, deadline_ns=25_000_000_000)
    links: Any = {"a": link}
    _TurnRunner(inputs, links, SessionRecord(), budget=budget).run(turns, tmp_path)
    assert link.requests == [100, 100, 50, 50]
