"""All finished jobs -> per group of comparable cells: verdicts, Pareto front, and the best ones.

Cells of a group share the model, the data, the scorers and the machine; others are not weighed
against each other. Jobs are sessions of their own, so that the ranking here is a pre-selection:
only `trtproof.choice.winner`, which has one session of the best, names a winner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trtproof.choice.cells import Cell, Value, list_cells
from trtproof.choice.figures import MEASURED, Figure, Kind
from trtproof.choice.front import find_dominators, find_front
from trtproof.choice.question import Question
from trtproof.choice.results import JobResult, Results
from trtproof.choice.verdicts import Judged, judge_cell
from trtproof.measure.verdict import Better
from trtproof.sweep.record import JobRecord, Status, SweepRecord

BY_NAME: Final = {figure.name: figure for figure in MEASURED}


@dataclass(frozen=True)
class GroupChoice:
    """One group; numbers are places in `judged`.

    `axes` are the figures that the front is of. `front` and `dominated` (-> by which) are of the
    cells that have all of them. `ranked` are those that miss nothing, by the objective, best first.
    """

    name: str
    question: Question
    axes: Sequence[Figure]
    judged: Sequence[Judged]
    front: Sequence[int]
    dominated: Mapping[int, int]
    ranked: Sequence[int]

    def label(self, number: int) -> str:
        """Return how tables and pictures call a cell."""
        return f"#{number + 1}"


@dataclass(frozen=True)
class Choice:
    """What a sweep says; `unfinished` are the jobs without a result."""

    sweep: str
    question: Question
    groups: Sequence[GroupChoice]
    unfinished: Sequence[JobRecord]


def choose(record: SweepRecord, question: Question, results: Results) -> Choice:
    """Return the choice of all jobs that are done.

    Raises:
        InputError: a job's result is not there or broken.
    """
    done = [results.read(job) for job in record.jobs if job.status is Status.DONE]
    groups: dict[tuple[str, ...], list[JobResult]] = {}
    for result in done:
        groups.setdefault(result.group, []).append(result)
    return Choice(
        sweep=record.name,
        question=question,
        groups=[
            choose_in_group(name, members, question)
            for name, members in zip(_name_groups(list(groups)), groups.values(), strict=True)
        ],
        unfinished=[job for job in record.jobs if job.status is not Status.DONE],
    )


def choose_in_group(name: str, results: Sequence[JobResult], question: Question) -> GroupChoice:
    """Return the choice among the cells of comparable jobs; the same cell counts once."""
    cells: dict[tuple[str, str, int, int], Cell] = {}
    for result in results:
        for cell in list_cells(result):
            cells.setdefault(cell.configuration, cell)
    axes = list(choose_axes(question))
    judged = [judge_cell(cell, question, axes) for cell in cells.values()]
    placed = [number for number, item in enumerate(judged) if item.point is not None]
    places = [item.point or () for item in judged if item.point is not None]
    better = [figure.better for figure in axes]
    return GroupChoice(
        name=name,
        question=question,
        axes=axes,
        judged=judged,
        front=[placed[index] for index in find_front(places, better)],
        dominated={
            placed[index]: placed[by] for index, by in find_dominators(places, better).items()
        },
        ranked=rank(judged, question),
    )


def choose_axes(question: Question) -> Iterator[Figure]:
    """Yield the figures of the front: the objective against every constraint's.

    Without a constraint on another figure the objective stands against the latency's tail, or
    against throughput where it is itself a latency.
    """
    yield from question.figures
    if len(question.figures) == 1:
        is_latency = question.objective.kind is Kind.LATENCY
        yield BY_NAME["throughput_ips" if is_latency else "p99_ms"]


def rank(judged: Sequence[Judged], question: Question) -> list[int]:
    """Return the cells that miss no constraint by the objective, the best first."""
    values = {
        number: item.objective.value
        for number, item in enumerate(judged)
        if isinstance(item.objective, Value) and item.word in {"met", "inconclusive"}
    }
    sign = -1 if question.objective.better is Better.HIGHER else 1
    return sorted(values, key=lambda number: (sign * values[number], number))


def _name_groups(keys: Sequence[tuple[str, ...]]) -> list[str]:
    """Return what people call the groups; two that would be called the same are numbered."""
    names = [f"{model} on {dataset}, {slug}" for model, dataset, slug, _ in keys]
    return [
        name if names.count(name) == 1 else f"{name}, {names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]
