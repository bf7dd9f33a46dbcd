"""`trtproof doctor`: its arguments, the file it leaves and what it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trtproof import __version__, artifacts
from trtproof.doctor.base import Answer, Step
from trtproof.doctor.runner import run_steps
from trtproof.doctor.steps import STEPS
from trtproof.doctor.table import render_line, render_summary
from trtproof.errors import UnknownNameError

DESCRIPTION: Final = (
    "Ask this machine step by step, each in a process of its own, what works and what does not, in "
    "three minutes at most. Exit code 1 where a step failed."
)
OUT: Final = "trtproof-doctor.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--out", type=Path, default=Path(OUT), help=f"the JSON file ({OUT})")
    parser.add_argument(
        "--only", nargs="+", metavar="STEP", default=[], help="ask these steps and what they need"
    )


def run(parsed: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Ask, show every answer as it comes, write the file; return 1 where a step failed.

    Raises:
        UnknownNameError: there is no such step.
    """
    answers: list[Answer] = []
    for answer in run_steps(choose(parsed.only)):
        answers.append(answer)
        show(render_line(answer))
    record = {
        "schema": 1,
        "trtproof": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": [answer.to_json() for answer in answers],
    }
    artifacts.write_json(parsed.out, record)
    show("\n" + render_summary(answers, str(parsed.out)))
    return int(any(answer.finding.status == "failed" for answer in answers))


def choose(names: Sequence[str]) -> list[Step]:
    """Return the named steps and all that they need, in order; all steps without names.

    Raises:
        UnknownNameError: there is no such step.
    """
    steps = {step.name: step for step in STEPS}
    wanted = list(names) or list(steps)
    for name in wanted:  # grows while it is read: what a step needs is wanted too
        if name not in steps:
            raise UnknownNameError(kind="step", name=name, known=steps)
        before = (*steps[name].needs, *steps[name].after)
        wanted += [earlier for earlier in before if earlier not in wanted]
    return [step for step in STEPS if step.name in wanted]
