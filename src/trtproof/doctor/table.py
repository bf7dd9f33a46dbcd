"""The readable answer: one line per step, and below the repair of each that failed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from trtproof.doctor.base import Answer

MARKS: Final = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}
WIDTH: Final = 100


def render_line(answer: Answer) -> str:
    """Return one step's line, with its repair below where it failed."""
    finding = answer.finding
    head = f"{MARKS[finding.status]:<8}{answer.name:<18}"
    text = textwrap.fill(
        " ".join(finding.text.split()),
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
    )
    if not finding.repair:
        return text
    indent = " " * len(head)
    return (
        text
        + "\n"
        + textwrap.fill(
            f"-> {finding.repair}",
            WIDTH,
            initial_indent=indent,
            subsequent_indent=f"{indent}   ",
            break_long_words=False,
        )
    )


def render_summary(answers: Sequence[Answer], file: str) -> str:
    """Return the last lines: how many of each, and which file to send."""
    counts = {
        status: sum(answer.finding.status == status for answer in answers) for status in MARKS
    }
    first = next((answer for answer in answers if answer.finding.status == "failed"), None)
    lines = [f"{counts['ok']} ok, {counts['failed']} failed, {counts['skipped']} skipped."]
    if first is not None:
        lines.append(f"Repair the first that failed, {first.name}, and run it again.")
    lines.append(f"Everything found is in {file}; send that file with a bug report.")
    return "\n".join(lines)
