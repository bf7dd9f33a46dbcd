"""How long blocks are."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.benchmark_settings import benchmark_config

from trtproof.measure.budget import (
    FEWEST_REQUESTS,
    grow,
    plan_blocks,
    plan_warmup,
    shrink,
    wanted_rule,
)
from trtproof.measure.loop import BlockRule

CONFIG = benchmark_config(
    profile="quick",
    rounds=8,
    most_rounds=8,
    requests=200,
    max_minutes=1.0,
    batches=[1, 8],
    items=8,
    warmup={"seconds": 0.5, "cap_seconds": 3.0, "iterations": 20}
    | {"block_iterations": 10, "block_seconds": 0.05},
)


def test_enough_time_leaves_the_blocks_as_configured() -> None:
    plan = plan_blocks(CONFIG, {("a", 1): 1e-3, ("b", 1): 1e-3}, available_s=60.0)
    assert plan.fits
    assert plan.rule == BlockRule(200, 0.0, 10, 0.05)


def test_little_time_shrinks_every_part_of_a_block() -> None:
    plan = plan_blocks(CONFIG, {("a", 1): 0.02, ("b", 1): 0.1}, available_s=50.0)
    assert plan.fits
    assert FEWEST_REQUESTS < plan.rule.requests < 200
    assert plan.rule.warm_seconds < 0.05
    assert plan.expected_s <= 50.0


def test_a_budget_that_cannot_be_kept_is_said() -> None:
    plan = plan_blocks(CONFIG, {("a", 1): 10.0}, available_s=20.0)
    assert not plan.fits
    assert plan.rule.requests == FEWEST_REQUESTS


@given(st.floats(0, 1), st.integers(1, 2000))
def test_shrinking_never_grows_a_block(factor: float, requests: int) -> None:
    rule = BlockRule(requests, 0.5, 10, 0.05)
    shrunk = shrink(rule, factor)
    assert min(FEWEST_REQUESTS, requests) <= shrunk.requests <= requests
    assert shrunk.seconds <= rule.seconds
    assert 1 <= shrunk.warm_iterations <= rule.warm_iterations


def test_warming_up_takes_a_third_of_the_budget_at_most() -> None:
    rule = plan_warmup(CONFIG, contenders=4, sessions=1)
    assert rule.cap_seconds * 4 * 2 <= 20.0 + 1e-9
    assert rule.cap_seconds >= rule.seconds


def test_a_large_budget_leaves_the_cap_of_the_warmup() -> None:
    config = msgspec.structs.replace(CONFIG, max_minutes=10.0)
    assert plan_warmup(config, contenders=4, sessions=1).cap_seconds == 3.0


@given(st.floats(1, 1000), st.floats(0, 1))
def test_blocks_grow_back_to_what_is_wanted_and_no_further(factor: float, before: float) -> None:
    wanted = wanted_rule(CONFIG)
    small = shrink(wanted, before)
    grown = grow(small, factor, wanted)
    for name in ("requests", "seconds", "warm_iterations", "warm_seconds"):
        assert getattr(small, name) <= getattr(grown, name) <= getattr(wanted, name)
    if before * factor > 2:
        assert grown.requests > small.requests or small == wanted
