"""The files of a choice, beside sweep.json: choice.json, choice.md, and a picture in two themes.

The pictures are front-light.svg and front-dark.svg, numbered where there are several groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from trtproof import artifacts
from trtproof.choice import tables
from trtproof.choice.answer import Answer, GroupAnswer, recommend
from trtproof.choice.cells import Cell
from trtproof.choice.chart import draw_files
from trtproof.choice.choose import GroupChoice
from trtproof.choice.verdicts import CellVerdict, Judged
from trtproof.choice.winner import Winner, objective_of
from trtproof.compare.texts import markdown_table, text_table
from trtproof.report.cells import Table
from trtproof.report.markdown import escape
from trtproof.sweep.record import folder

SCHEMA: Final = 1
JSON: Final = "choice.json"
MARKDOWN: Final = "choice.md"
SESSIONS: Final = (
    "Jobs are sessions of their own: across them only the order of magnitude counts. The winner is "
    "named from one session of the best."
)


def write_outputs(answer: Answer) -> Path:
    """Write all files of a choice and return their folder."""
    place = folder(answer.choice.sweep)
    for name, text in render_files(answer).items():
        artifacts.write_text(place / name, text)
    artifacts.write_json(place / JSON, to_json(answer))
    return place


def render_files(answer: Answer) -> dict[str, str]:
    """Return file name -> text of the Markdown and the pictures."""
    files = {MARKDOWN: render_markdown(answer)}
    for number, group in enumerate(answer.groups):
        for shade, svg in draw_files(group.choice).items():
            files[picture_name(number, shade)] = svg
    return files


def picture_name(number: int, shade: str) -> str:
    """Return the file name of a group's picture."""
    return f"front{f'-{number + 1}' if number else ''}-{shade}.svg"


def render_text(answer: Answer) -> str:
    """Return the terminal's text."""
    blocks = [f"Sweep {answer.choice.sweep}: {answer.choice.question}"]
    for group in answer.groups:
        for title, table in _tables(group):
            blocks.append(f"{title}\n{text_table(table)}")
        blocks += [reasons] if (reasons := _reasons(group.choice)) else []
    if answer.choice.unfinished:
        blocks.append(f"No result\n{text_table(tables.unfinished_table(answer.choice.unfinished))}")
    blocks.append(SESSIONS)
    blocks += ["\n".join(recommend(group)) for group in answer.groups]
    return "\n\n".join(blocks)


def _reasons(choice: GroupChoice) -> str:
    """Return why verdicts are not met, which would make the table too wide."""
    rows: dict[str, list[str]] = {}
    for number, item in enumerate(choice.judged):
        for verdict in item.verdicts:
            if verdict.word != "met":
                said = tables.verdict_cell(verdict)
                reason = f"{verdict.constraint} {said.text}, {said.detail}"
                rows.setdefault(reason, []).append(choice.label(number))
    return "\n".join(f"  {reason}: {', '.join(labels)}" for reason, labels in rows.items())


def render_markdown(answer: Answer) -> str:
    """Return a page for a repository or a pull request."""
    blocks = [f"# {escape(f'Sweep {answer.choice.sweep}: {answer.choice.question}')}"]
    for number, group in enumerate(answer.groups):
        first, *others = recommend(group)
        blocks.append(f"## {escape(first)}")
        if others:
            blocks.append("\n".join(["```", *others, "```"]))
        light, dark = (picture_name(number, shade) for shade in ("light", "dark"))
        blocks.append(
            f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
            f'<img alt="Pareto front" src="{light}"></picture>'
        )
        for title, table in _tables(group):
            blocks += [f"**{escape(title)}**", markdown_table(table)]
    if answer.choice.unfinished:
        blocks += [
            "**No result**",
            markdown_table(tables.unfinished_table(answer.choice.unfinished)),
        ]
    return "\n\n".join([*blocks, SESSIONS]) + "\n"


def _tables(group: GroupAnswer) -> Iterator[tuple[str, Table]]:
    yield group.choice.name, tables.cell_table(group.choice)
    if group.plan is not None and group.plan.left_out:
        yield "Left out of the last session", tables.left_out_table(group.plan)
    if group.winner is not None:
        job = group.winner.result.job
        yield f"The best in one session ({job.experiment})", tables.winner_table(group.winner)


def to_json(answer: Answer) -> dict[str, Any]:
    """Return plain data."""
    return {
        "schema": SCHEMA,
        "sweep": answer.choice.sweep,
        "objective": answer.choice.question.objective.name,
        "constraints": [str(item) for item in answer.choice.question.constraints],
        "groups": [_group(group) for group in answer.groups],
        "unfinished": [
            {"job": job.number, "status": job.status, "reason": job.reason}
            for job in answer.choice.unfinished
        ],
    }


def _group(group: GroupAnswer) -> dict[str, Any]:
    choice, plan = group.choice, group.plan
    return {
        "name": choice.name,
        "verdict": group.verdict,
        "axes": [figure.name for figure in choice.axes],
        "cells": [
            _judged(item)
            | {
                "number": number + 1,
                "on_front": number in choice.front,
                "dominated_by": _number(choice.dominated.get(number)),
            }
            for number, item in enumerate(choice.judged)
        ],
        "finalists": [_cell(cell) for cell in plan.finalists] if plan else [],
        "left_out": [_cell(cell) | {"reason": why} for cell, why in plan.left_out] if plan else [],
        "last_session": _winner(group.winner) if group.winner else None,
        "recommended": [
            _cell(cell)
            | {"experiment": cell.result.job.experiment, "overrides": cell.result.job.overrides}
            for cell in group.recommended
        ],
    }


def _number(place: int | None) -> int | None:
    return None if place is None else place + 1


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "variant": cell.variant,
        "batch": cell.batch,
        "streams": cell.streams,
        "job": cell.result.job.number,
    }


def _judged(item: Judged) -> dict[str, Any]:
    return _cell(item.cell) | {
        "word": item.word,
        "objective": objective_of(item),
        "verdicts": [_verdict(verdict) for verdict in item.verdicts],
        "indicative": item.is_indicative,
    }


def _verdict(verdict: CellVerdict) -> dict[str, Any]:
    low, high = verdict.ends or (None, None)
    return {
        "constraint": str(verdict.constraint),
        "word": verdict.word,
        "value": verdict.value,
        "low": low,
        "high": high,
        "why": verdict.why,
    }


def _winner(winner: Winner) -> dict[str, Any]:
    return {
        "experiment": winner.result.job.experiment,
        "clear": winner.is_clear,
        "indicative": winner.is_indicative,
        "best": [_cell(cell) for cell in winner.best],
        "cells": [_judged(item) for item in winner.judged],
        "duels": [
            {
                "first": _cell(duel.first),
                "second": _cell(duel.second),
                "word": duel.word,
                "ratio": duel.ratio,
                "interval": list(duel.bounds) if duel.bounds else None,
                "reason": duel.reason,
            }
            for duel in winner.duels
        ],
    }
