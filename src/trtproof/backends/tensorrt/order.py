"""What a build process is told and what it answers; both are JSON files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from trtproof.backends.tensorrt.shapes import Shapes

ORDER_FILE: Final = "order.json"
ANSWER_FILE: Final = "answer.json"
PLAN_FILE: Final = "engine.plan"
LOG_FILE: Final = "build.log"
INSPECTOR_FILE: Final = "inspector.txt"
CACHE_IN: Final = "timing_cache.in"
CACHE_OUT: Final = "timing_cache.out"

Outcome = Literal["built", "failed", "error"]


@dataclass(frozen=True)
class BuildOrder:
    """One build: settings as plain data, so that the process needs TensorRT and nothing else.

    `profiles` holds input name -> shapes at min, opt and max; `facts` are those of the machine that
    the plan is for. The timings of an earlier build lie in the order's folder (CACHE_IN).
    """

    title: str
    model: str
    tf32: bool
    workspace_mib: int
    profiles: Sequence[Shapes]
    options: dict[str, Any]
    plugins: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the order into a folder."""
        (folder / ORDER_FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_order(folder: Path) -> BuildOrder:
    """Return the order that lies in a folder."""
    return BuildOrder(**json.loads((folder / ORDER_FILE).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Answer:
    """What became of a build: "failed" is recorded, "error" may go better another time.

    `facts` is for the sidecar's details; `code`, `text` and `repair` say what was wrong.
    """

    outcome: Outcome
    facts: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    text: str = ""
    repair: str = ""

    def write(self, folder: Path) -> None:
        """Write the answer whole or not at all."""
        temporary = folder / f"{ANSWER_FILE}.part"
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(folder / ANSWER_FILE)


def read_answer(folder: Path) -> Answer | None:
    """Return the answer that lies in a folder; None where the process died before it wrote one."""
    path = folder / ANSWER_FILE
    return Answer(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
