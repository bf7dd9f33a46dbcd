"""Whether the budget's limits are of something that there is. The gate stage asks."""

from __future__ import annotations

from collections.abc import Iterator

from trtproof.config import Params
from trtproof.model_check import wrong
from trtproof.scoring import SCORERS


def check_budget(params: Params) -> None:
    """Refuse limits of a metric that no scorer gives, and two limits of one drop.

    What a scorer of the user's own gives is known once it has scored: the report refuses then.

    Raises:
        ConfigError: the first such limit.
    """
    budget = params.budget
    if budget.top1_drop_pp is not None and "top1_pct" in budget.score_drops:
        raise wrong(
            key="budget.score_drops.top1_pct",
            problem="there is a limit in budget.top1_drop_pp too",
            repair="set one of the two to null",
        )
    registered = [name for name in params.evaluate.scorers if name in SCORERS.entries]
    if len(registered) < len(params.evaluate.scorers):
        return
    known = [metric for name in registered for metric in SCORERS.load(name).metrics]
    for key, metric in named_metrics(params):
        if metric not in known:
            raise wrong(
                key=key,
                problem=f"no scorer in evaluate.scorers gives {metric} (there is: "
                f"{', '.join(known)})",
                repair="correct the name, or add the scorer that gives it",
            )


def named_metrics(params: Params) -> Iterator[tuple[str, str]]:
    """Yield every metric that the budget limits, with its key."""
    budget = params.budget
    if budget.top1_drop_pp is not None:
        yield "budget.top1_drop_pp", "top1_pct"
    for name, limits in (("score_drops", budget.score_drops), ("scores", budget.scores)):
        for metric in limits:
            yield f"budget.{name}.{metric}", metric
