"""The `trtproof` command.

Exit codes: 0 fine, 1 error, 2 usage, 3 inconclusive, 4 not comparable, 5 regression or budget
missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trtproof import __version__
from trtproof.errors import PipelineError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error that the user can repair is one line."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
    except PipelineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trtproof",
        description="Turn a PyTorch model into measured, evaluated inference engines.",
    )
    parser.add_argument("--version", action="version", version=f"trtproof {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compose = commands.add_parser(
        "compose",
        help="write params.yaml from conf/",
        description="Compose conf/, check that the settings fit together, write params.yaml.",
    )
    compose.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if params.yaml is stale"
    )
    compose.set_defaults(command=_compose)
    why = commands.add_parser(
        "why",
        help="say what `dvc repro` will run, and because of which change",
        description="Run the probe, then say per stage what `dvc repro` will do and why.",
    )
    why.set_defaults(command=_why)
    report = commands.add_parser(
        "report",
        help="write a report of what is there, while something is missing",
        description="Write a report of whatever the stages have left so far into a folder of its "
        "own; every part that is missing says why. The complete report is `dvc repro`'s.",
    )
    report.add_argument(
        "--partial", action="store_true", required=True, help="show what is there, say what is not"
    )
    report.add_argument(
        "--out", type=Path, default=None, help="the folder (default: artifacts/report-partial)"
    )
    report.set_defaults(command=_report)
    return parser


def _compose(parsed: argparse.Namespace) -> int:
    from trtproof.compose import compose, require_composed, write_params
    from trtproof.config import PARAMS_FILE, parse_params
    from trtproof.settings_check import check_settings

    text = compose()
    if parsed.check:
        require_composed()
    check_settings(parse_params(text))
    changed = not parsed.check and write_params(text)
    print(f"{PARAMS_FILE}: {'written' if changed else 'unchanged'}")
    return 0


def _report(parsed: argparse.Namespace) -> int:
    from trtproof.report.partial import FOLDER, write_partial_report

    print(write_partial_report(parsed.out or FOLDER))
    return 0


def _why(_: argparse.Namespace) -> int:
    from trtproof.dvc_state import read_states, run_probe
    from trtproof.why import forecast, render

    run_probe()
    print(render(forecast(read_states())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
