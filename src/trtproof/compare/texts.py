"""A comparison as text: for the terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trtproof.compare.result import Comparison, Mode
from trtproof.compare.tables import Titled, make_tables, summary_line
from trtproof.report.cells import Cell, Table
from trtproof.report.markdown import escape

GAP: Final = "  "
HOW: Final = {
    Mode.PAIRED: "both revisions' plans timed in one interleaved session",
    Mode.STORED: "recorded sessions, each variant relative to the reference of its own session",
}


def subject_lines(found: Comparison) -> list[str]:
    """Return what was compared, how, where and when."""
    subject = found.subject
    return [
        f"{subject.base} -> {subject.work}: {HOW[subject.mode]}",
        f"{subject.slug}, profile {subject.profile or 'none'}, {subject.measured}",
    ]


def render_text(found: Comparison) -> str:
    """Return the terminal's text."""
    blocks = ["\n".join(subject_lines(found))]
    for item in make_tables(found):
        blocks.append(f"{item.title}\n{text_table(item.table)}")
        blocks += [reasons] if (reasons := _reasons(item)) else []
    blocks += ["\n".join(f"Note: {note}." for note in found.notes)] if found.notes else []
    blocks.append(f"{summary_line(found)}.")
    return "\n\n".join(blocks)


def render_markdown(found: Comparison) -> str:
    """Return a comment for a pull request."""
    blocks = [
        f"### {escape(summary_line(found))}",
        escape(" · ".join(subject_lines(found))),
    ]
    for item in make_tables(found):
        blocks += [f"**{escape(item.title)}**", markdown_table(item.table)]
    blocks += ["\n".join(f"- {escape(note)}" for note in found.notes)] if found.notes else []
    return "\n\n".join(blocks) + "\n"


def _reasons(item: Titled) -> str:
    """Return why each word was chosen, which would make the table too wide."""
    rows: dict[str, list[str]] = {}
    for row in item.table.rows:
        name = " ".join(cell.text for cell in row[: item.names_count])
        for cell in row:
            if cell.detail:
                rows.setdefault(f"{cell.text}, {cell.detail}", []).append(name)
    return "\n".join(f"{GAP}{reason}: {', '.join(names)}" for reason, names in rows.items())


def text_table(table: Table) -> str:
    """Return a table for the terminal; what stands in small print is left out."""
    heads = [column.title for column in table.columns]
    rows = [[cell.text for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join(
        GAP
        + GAP.join(
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(line, widths, table.columns, strict=True)
        ).rstrip()
        for line in [heads, *rows]
    )


def markdown_table(table: Table) -> str:
    """Return a table as Markdown."""
    rule = ["--:" if column.is_number else ":--" for column in table.columns]
    lines: list[Sequence[str]] = [[escape(column.title) for column in table.columns], rule]
    lines += [[_markdown_cell(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_cell(cell: Cell) -> str:
    text = f"**{escape(cell.text)}**" if cell.tone else escape(cell.text)
    return f"{text}: {escape(cell.detail)}" if cell.detail else text
