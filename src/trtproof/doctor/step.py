"""`python -m trtproof.doctor.step FUNCTION ARGUMENT ANSWER`: ask one question, write the answer."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from trtproof.doctor.base import Finding, failed
from trtproof.errors import PipelineError
from trtproof.registry import load_object
from trtproof.stage import die_with_parent

WHAT_FAILED = "see its output in the JSON file"


def ask(function: str, argument: str) -> Finding:
    """Return what a step finds; an error of ours is what it found, with the repair in its text."""
    try:
        question = load_object(function)
        finding: Finding = question(argument) if argument else question()
    except PipelineError as error:
        text, _, repair = str(error).rpartition("; ")
        return failed(text or str(error), repair if text else WHAT_FAILED)
    return finding


def main(function: str, argument: str, answer: Path) -> None:
    """Write the finding whole or not at all, then end without waiting for libraries to tear down.

    Any other exception is left alone: its traceback is the output, its absence of an answer the
    finding.
    """
    die_with_parent()
    finding = ask(function, argument)
    temporary = answer.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(finding), default=str), encoding="utf-8")
    temporary.replace(answer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
