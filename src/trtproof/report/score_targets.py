"""The budget's limits of scores: what may be lost against the reference, and the least there is.

A loss within the limit is met only where the whole 99 % interval of the paired drop says so (non-
inferiority): that no loss was seen on the samples at hand proves nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from trtproof.errors import ConfigError
from trtproof.measure.verdict import Better
from trtproof.report.cells import Facts, unit_of
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, Scores, VariantFindings
from trtproof.report.limits import Target, TargetVerdict, place, settled_by
from trtproof.report.metrics import drop_name
from trtproof.report.tables import score_names, score_title
from trtproof.scoring.drops import Drop, Method
from trtproof.scoring.proportions import MOST_SAMPLES

SAMPLES: Final = "samples like these"


class Settled(Protocol):
    """A figure over samples that says how many more would settle a limit."""

    @property
    def samples_count(self) -> int:
        """Return how many samples it has."""
        ...

    def samples_needed(self, limit: float) -> int | None:
        """Return how many it takes in all."""
        ...


def judge_scores(
    variant: VariantFindings, findings: Findings, facts: Facts
) -> Iterator[TargetVerdict]:
    """Yield the verdicts on all limits of scores for one variant.

    Raises:
        ConfigError: no variant has a score that the budget limits.
    """
    budget = findings.settings.budget
    for metric, most in budget.drop_limits.items():
        _require_known(metric, "score_drops", findings)
        yield _judge_drop(variant, facts, metric, most)
    for metric, limit in budget.scores.items():
        _require_known(metric, "scores", findings)
        yield _judge_floor(variant, facts, metric, limit)


def _require_known(metric: str, key: str, findings: Findings) -> None:
    """Refuse a limit of a metric that no scorer gave, where scorers gave any."""
    known = score_names(findings)
    if known and metric not in known:
        raise ConfigError(
            key=f"budget.{key}.{metric}",
            problem=f"no scorer gave {metric} (there is: {', '.join(known)})",
            repair="correct the name in conf/budget and run `trtproof compose`",
        )


def _judge_drop(variant: VariantFindings, facts: Facts, metric: str, most: float) -> TargetVerdict:
    name = drop_name(metric)
    limit = f"at most {most:g} {unit_of(name)}"
    target = Target(f"{score_title(metric)} drop", variant.name, limit)
    if isinstance(variant.scores, NotMeasured):
        return target.absent(variant.scores.reason)
    drops = variant.scores.drops
    if isinstance(drops, NotMeasured):
        return target.absent(drops.reason)
    if metric not in drops:
        return target.absent(_why_no_score(variant.scores))
    drop, measured = drops[metric], facts.score_cell(variant.name, name).text
    if drop.gate is None:
        return target.judge(measured, "inconclusive", f"no interval: {drop.reason}")
    word = place([drop.gate], most, Better.LOWER)
    why = f"99 % {facts.score_interval(variant.name, name, 'gate')}{_counted(drop)}"
    if word == "inconclusive":
        why += f"; {_settled_by(drop, most)}"
    return target.judge(measured, word, why)


def _counted(drop: Drop) -> str:
    """Return what an exact interval was counted from."""
    if drop.method is not Method.EXACT:
        return f" ({drop.method})"
    return f", {drop.lost_count:,} lost and {drop.gained_count:,} gained of {drop.samples_count:,}"


def _judge_floor(
    variant: VariantFindings, facts: Facts, metric: str, limit: float
) -> TargetVerdict:
    scores, unit = variant.scores, unit_of(metric)
    lower = isinstance(scores, Scores) and metric in scores.lower_is_better
    better = Better.LOWER if lower else Better.HIGHER
    said = f"at {'most' if lower else 'least'} {limit:g} {'%' if unit == 'pct' else unit}"
    target = Target(f"{score_title(metric)} score", variant.name, said)
    if isinstance(scores, NotMeasured):
        return target.absent(scores.reason)
    if metric not in scores.values:
        return target.absent(_why_no_score(scores))
    measured, found = facts.score_cell(variant.name, metric).text, scores.intervals.get(metric)
    if found is None or found.gate is None:
        why = found.reason if found else "the scorer is not to be had here"
        return target.judge(measured, "inconclusive", f"no interval: {why}")
    word = place([found.gate], limit, better)
    why = f"99 % {facts.score_interval(variant.name, metric, 'gate')}"
    if word == "inconclusive":
        why += f"; {_settled_by(found, limit)}"
    return target.judge(measured, word, why)


def _why_no_score(scores: Scores) -> str:
    return "the reference or it has no such score" if scores.labelled else "the data have no labels"


def _settled_by(found: Settled, limit: float) -> str:
    """Return how many more samples would settle a drop's or a score's verdict."""
    needed = found.samples_needed(limit)
    return settled_by(needed, found.samples_count, SAMPLES, MOST_SAMPLES)
