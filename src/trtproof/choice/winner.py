"""The winner of a sweep, from the one session in which the best cells were measured side by side.

A winner is named only where its interval against the second is clear; where it is not, all are
named of which no difference to the best was found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtproof import artifacts
from trtproof.choice.cells import Cell, Value, list_cells
from trtproof.choice.choose import rank
from trtproof.choice.duel import Duel, Session, settle
from trtproof.choice.finals import FinalPlan
from trtproof.choice.question import Question
from trtproof.choice.results import JobResult
from trtproof.choice.verdicts import Judged, judge_cell
from trtproof.compare.revision import fetch_folder, open_revision
from trtproof.measure.samples import read_samples

FILES = ("run.json", "samples.parquet")
NO_DIFFERENCE = "no difference found"
OpenSession = Callable[[JobResult], Session]


@dataclass(frozen=True)
class Winner:
    """What the last session says: its cells with their verdicts there, and who is best.

    `best` is empty where none of them keeps all constraints beyond doubt. `duels` are of the best
    against each of the others that do.
    """

    result: JobResult
    judged: Sequence[Judged]
    best: Sequence[Cell]
    duels: Sequence[Duel]

    @property
    def is_clear(self) -> bool:
        """Say whether one cell won."""
        return len(self.best) == 1

    @property
    def is_indicative(self) -> bool:
        """Say whether the session was too short to decide anything."""
        return any(item.is_indicative for item in self.judged)

    @property
    def verdict(self) -> str:
        """Return the answer in one line."""
        if not self.best:
            return "no winner: none of the finalists kept every constraint in the last session"
        names = [cell.name for cell in self.best]
        said = " or ".join(names) + ("" if self.is_clear else f": {NO_DIFFERENCE}")
        return f"{said} (indicative: a short run)" if self.is_indicative else said


def open_session(result: JobResult) -> Session:
    """Return the recorded session of a job, from DVC's cache.

    Raises:
        InputError: the cache lacks it; the message names the command that brings it.
    """
    with tempfile.TemporaryDirectory(prefix="trtproof-") as temporary:
        revision = open_revision(str(result.job.revision), Path(temporary))
        folder = fetch_folder(revision, artifacts.BENCHMARK, only=FILES)
        run = artifacts.read_json(folder / FILES[0], made_by="benchmark")
        samples = read_samples(
            artifacts.require(folder / FILES[1], made_by="benchmark"), scenario=None
        )
    return Session(run, samples)


def find_winner(
    plan: FinalPlan,
    question: Question,
    result: JobResult,
    open_recorded: OpenSession = open_session,
) -> Winner:
    """Return what the last session of a plan says.

    Raises:
        InputError: its record is not there.
    """
    wanted = {(cell.variant, cell.batch, cell.streams) for cell in plan.finalists}
    judged = [
        judge_cell(cell, question, question.figures)
        for cell in list_cells(result)
        if (cell.variant, cell.batch, cell.streams) in wanted
    ]
    order = [judged[number] for number in rank(judged, question)]
    kept = [item.cell for item in order if item.word == "met"]
    if not kept:
        return Winner(result, judged, (), ())
    duels = []
    if kept[1:]:
        session = open_recorded(result)
        duels = [settle(kept[0], other, question.objective, session) for other in kept[1:]]
    equals = [duel.second for duel in duels if not duel.is_clear]
    return Winner(result, judged, (kept[0], *equals), duels)


def objective_of(judged: Judged) -> float | None:
    """Return the objective's value, None where it was not measured."""
    return judged.objective.value if isinstance(judged.objective, Value) else None
