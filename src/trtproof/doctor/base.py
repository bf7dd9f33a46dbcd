"""What a step is and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Status = Literal["ok", "failed", "skipped"]

REPORT_IT: Final = "send the JSON file with a bug report"


@dataclass(frozen=True)
class Finding:
    """One step's answer: `repair` says what to do where it failed; `facts` go into the file."""

    status: Status
    text: str
    repair: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def ok(text: str, **facts: Any) -> Finding:
    """Return that it works."""
    return Finding("ok", text, facts=facts)


def failed(text: str, repair: str, **facts: Any) -> Finding:
    """Return that it does not, and what repairs it."""
    return Finding("failed", text, repair, facts)


def skipped(text: str, **facts: Any) -> Finding:
    """Return why it cannot be asked here."""
    return Finding("skipped", text, facts=facts)


@dataclass(frozen=True)
class Step:
    """One question.

    `function` is "module:function" that takes `argument`, where there is one, and returns a
    `Finding`. It is skipped where a step in `needs` is not ok, or one in `after` was skipped: then
    the question makes no sense.
    """

    name: str
    title: str
    function: str
    needs: Sequence[str] = ()
    after: Sequence[str] = ()
    argument: str = ""
    limit_s: float = 20.0


@dataclass(frozen=True)
class Answer:
    """A step's finding with the time it took and the end of what it printed."""

    name: str
    title: str
    finding: Finding
    seconds: float
    output: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the file that is sent back."""
        return {
            "name": self.name,
            "title": self.title,
            **asdict(self.finding),
            "seconds": round(self.seconds, 2),
            "output": self.output,
        }
