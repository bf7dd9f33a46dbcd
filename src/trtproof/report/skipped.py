"""Scenarios that a session has nothing of: its profile leaves them out, or its time was over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trtproof.report.figures import NotMeasured

Note = Mapping[str, Any]
"""One measurement as run.json has it."""


def why_skipped(
    notes: Mapping[str, Sequence[Note]], scenario: str, *, setting: str, profile: str
) -> NotMeasured | None:
    """Return why nothing of a scenario was measured, or None where something was.

    Args:
        notes: `scenarios` of run.json; a scenario's only note has no contender where it was left
            out as a whole.
        scenario: its name there.
        setting: of `benchmark`, which asks for it.
        profile: of the session.
    """
    if scenario not in notes:
        return NotMeasured(f"profile {profile} leaves it out (benchmark.{setting} is null)")
    only = notes[scenario][0] if notes[scenario] else {}
    if "reason" in only and "contender" not in only:
        return NotMeasured(str(only["reason"]))
    return None
