"""The files of a comparison: artifacts/compare/<base>/, outside of DVC's graph.

compare.json, compare.md for a pull request, index.html, and of a session that was run for it
samples.parquet and session.json.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from trtproof import artifacts
from trtproof.compare.page import render_page
from trtproof.compare.paired import Session
from trtproof.compare.result import Comparison, SizeChange
from trtproof.compare.tables import summary_line
from trtproof.compare.texts import render_markdown
from trtproof.measure.samples import write_samples

SCHEMA: Final = 1
JSON: Final = "compare.json"
MARKDOWN: Final = "compare.md"
PAGE: Final = "index.html"


def write_outputs(folder: Path, found: Comparison, session: Session | None) -> None:
    """Replace the folder of a comparison."""
    with artifacts.replace_folder(folder) as temporary:
        artifacts.write_json(temporary / JSON, to_json(found))
        artifacts.write_text(temporary / MARKDOWN, render_markdown(found))
        artifacts.write_text(temporary / PAGE, render_page(found))
        if session is not None:
            write_samples(temporary / "samples.parquet", session.samples)
            artifacts.write_json(temporary / "session.json", _describe(session))


def to_json(found: Comparison) -> dict[str, Any]:
    """Return plain data."""
    return {
        "schema": SCHEMA,
        "summary": summary_line(found),
        "comparable": found.is_comparable,
        "regressions_count": len(found.regressions),
        "undecided_count": len(found.undecided),
        **asdict(found),
        "sizes": [_size(item) for item in found.sizes],
    }


def _size(item: SizeChange) -> dict[str, Any]:
    return asdict(item) | {"change": item.change, "word": item.word}


def _describe(session: Session) -> dict[str, Any]:
    """Return what the session was, beside its samples."""
    names = [contender.name for contender in session.lineup.contenders]
    record = session.record
    return {
        "schema": SCHEMA,
        "contenders": names,
        "control": session.lineup.control,
        "plans": {
            pair.variant: {
                "base": pair.base.record.plan_sha256,
                "work": pair.work.record.plan_sha256,
            }
            for pair in session.lineup.pairs
        },
        "workers": record.workers,
        "rounds": [item.to_json(names) for item in record.rounds],
        "left_out": list(session.selection.left_out),
        "answer_errors": record.answer_errors,
        "steps": record.steps,
    }
