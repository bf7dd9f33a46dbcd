"""What a sweep's choice comes to, in words: the recommendation and the command for it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trtproof.choice.cells import Cell
from trtproof.choice.choose import Choice, GroupChoice
from trtproof.choice.finals import FinalPlan
from trtproof.choice.winner import Winner

FINE: Final = 0
INCONCLUSIVE: Final = 3
MISSED: Final = 5


@dataclass(frozen=True)
class GroupAnswer:
    """One group's choice, its last session's plan, and what came of that.

    `plan` is None where no cell may win; `winner` is None where the session has not run, for the
    reason `why_open`.
    """

    choice: GroupChoice
    plan: FinalPlan | None
    winner: Winner | None = None
    why_open: str = ""

    @property
    def recommended(self) -> Sequence[Cell]:
        """Return the cells to take, as the sweep's jobs measured them; of several, any."""
        if self.plan is None or self.winner is None:
            return ()
        best = {(cell.variant, cell.batch, cell.streams) for cell in self.winner.best}
        return [
            cell for cell in self.plan.finalists if (cell.variant, cell.batch, cell.streams) in best
        ]

    @property
    def verdict(self) -> str:
        """Return the answer in one line."""
        if self.plan is None:
            words = {item.word for item in self.choice.judged}
            if "met" not in words and "inconclusive" not in words and "missed" in words:
                return "no winner: every configuration that was measured misses a constraint"
            return "no winner: nothing that the question needs was measured"
        if self.winner is None:
            names = ", ".join(cell.name for cell in self.plan.finalists)
            return f"no winner yet: {self.why_open}; to be measured side by side: {names}"
        return self.winner.verdict


@dataclass(frozen=True)
class Answer:
    """Everything that a sweep says."""

    choice: Choice
    groups: Sequence[GroupAnswer]


def exit_code(answer: Answer) -> int:
    """Return 5 where everything misses a constraint, 3 where nothing is known to keep all, or 0."""
    if all(group.recommended for group in answer.groups) and answer.groups:
        return FINE
    missed = [
        group.plan is None and "missed" in {item.word for item in group.choice.judged}
        for group in answer.groups
    ]
    return MISSED if any(missed) else INCONCLUSIVE


def recommend(group: GroupAnswer) -> list[str]:
    """Return the recommendation, and the commands that bring it, line by line."""
    lines = [f"{group.choice.name}: {group.verdict}"]
    if group.winner is None or not group.recommended:
        return lines
    for cell in group.recommended:
        job = cell.result.job
        streams = f"{cell.streams} stream{'s' if cell.streams > 1 else ''}"
        lines += [
            f"{cell.name}:",
            f"  dvc exp apply {job.experiment}",
            f"  run {cell.variant} at batch {cell.batch} with {streams}",
            f"  settings: {shlex.join(job.overrides) or 'conf/ as it is'}",
        ]
    return lines
