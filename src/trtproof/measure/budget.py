"""How long a session may take, and therefore how many requests a block has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trtproof.benchmark_config import BenchmarkConfig, WarmupConfig
from trtproof.measure.loop import BlockRule, WarmupRule

FEWEST_REQUESTS: Final = 5
"""A block never has fewer, even where that breaks the budget: its median is the unit."""

WARMUP_SHARE: Final = 1 / 3
"""Part of the budget that warming up all workers may take."""


@dataclass(frozen=True)
class BlockPlan:
    """What every block of the session does.

    `fits` is false where even the fewest requests take longer than `max_minutes`.
    """

    rule: BlockRule
    expected_s: float
    fits: bool


def plan_warmup(config: BenchmarkConfig, *, contenders: int, sessions: int) -> WarmupRule:
    """Return the warm-up of one contender at one batch, shortened where the budget is small."""
    share_s = config.max_minutes * 60 * WARMUP_SHARE
    turns = contenders * sessions * len(config.batches)
    warmup: WarmupConfig = config.warmup
    cap_s = min(warmup.cap_seconds, max(share_s / turns, warmup.seconds))
    return WarmupRule(seconds=warmup.seconds, cap_seconds=cap_s, iterations=warmup.iterations)


def plan_blocks(
    config: BenchmarkConfig, medians_s: Mapping[tuple[str, int], float], *, available_s: float
) -> BlockPlan:
    """Return one rule for every block, so that all contenders are measured alike.

    Args:
        config: what is wanted.
        medians_s: seconds of one request by contender and batch, from the warm-up.
        available_s: what is left of the budget for blocks.
    """
    wanted = wanted_rule(config)
    durations = list(medians_s.values())
    expected_s = _expect(wanted, durations) * config.rounds
    if expected_s <= available_s:
        return BlockPlan(rule=wanted, expected_s=expected_s, fits=True)
    shrunk = shrink(wanted, max(available_s, 0.0) / expected_s)
    expected_s = _expect(shrunk, durations) * config.rounds
    return BlockPlan(rule=shrunk, expected_s=expected_s, fits=expected_s <= available_s)


def shrink(rule: BlockRule, factor: float) -> BlockRule:
    """Return blocks of about `factor` (below 1) of the time, never of too few requests."""
    return BlockRule(
        requests=max(min(FEWEST_REQUESTS, rule.requests), int(rule.requests * factor)),
        seconds=rule.seconds * factor,
        warm_iterations=min(rule.warm_iterations, int(rule.warm_iterations * factor) + 1),
        warm_seconds=rule.warm_seconds * factor,
    )


def grow(rule: BlockRule, factor: float, wanted: BlockRule) -> BlockRule:
    """Return blocks of about `factor` (above 1) of the time, never larger than wanted."""
    return BlockRule(
        requests=min(wanted.requests, int(rule.requests * factor)),
        seconds=min(wanted.seconds, rule.seconds * factor),
        warm_iterations=min(wanted.warm_iterations, int(rule.warm_iterations * factor)),
        warm_seconds=min(wanted.warm_seconds, rule.warm_seconds * factor),
    )


def wanted_rule(config: BenchmarkConfig) -> BlockRule:
    """Return the blocks that a large enough budget gives."""
    return BlockRule(
        requests=config.requests,
        seconds=config.block_seconds,
        warm_iterations=config.warmup.block_iterations,
        warm_seconds=config.warmup.block_seconds,
    )


def _expect(rule: BlockRule, durations_s: Sequence[float]) -> float:
    """Return the seconds of one round: a block of every contender at every batch."""
    return sum(
        max(rule.seconds, rule.requests * duration)
        + max(rule.warm_seconds, rule.warm_iterations * duration)
        for duration in durations_s
    )
