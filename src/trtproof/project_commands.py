"""The commands about a project as a whole: make one, compare it with this version, clean it up."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

INIT: Final = (
    "Make a project in DIR: pipeline, settings and an adapter of your model. Asks nothing and "
    "overwrites nothing; on an error nothing is left behind."
)
UPGRADE: Final = (
    "Show, as a unified diff, how the project's dvc.yaml, stages/ and conf/ differ from the "
    "installed version's. Exits with 1 where they do. Settings that you changed and this version "
    "did not are yours, and no difference."
)
GC: Final = (
    "Show what DVC's cache keeps that no commit, no experiment and not the workspace uses, what "
    "our own caches keep, and how much disk it takes; remove it with --yes."
)


def add_project_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Add `init`, `upgrade` and `gc`."""
    _add_init(
        commands.add_parser("init", help="make a project for your own model", description=INIT)
    )
    upgrade = commands.add_parser(
        "upgrade",
        help="show how a project differs from the installed version",
        description=UPGRADE,
    )
    upgrade.add_argument(
        "--apply", action="store_true", help="take over the files that were not edited here"
    )
    upgrade.set_defaults(command=_upgrade)
    _add_gc(
        commands.add_parser(
            "gc", help="show, and with --yes remove, what nothing uses", description=GC
        )
    )


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="the project's folder, also new")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from",
        dest="factory",
        metavar="MODULE:FACTORY",
        help="a function or class of yours that returns the nn.Module",
    )
    source.add_argument("--onnx", type=Path, metavar="FILE", help="a float32 ONNX file")
    parser.set_defaults(command=_init)


def _add_gc(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry", action="store_true", help="only show (what it does without --yes)")
    what.add_argument("--yes", action="store_true", help="remove what is shown")
    parser.add_argument(
        "--projects",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="other projects on the same cache: what they use stays",
    )
    parser.set_defaults(command=_gc)


def _init(parsed: argparse.Namespace) -> int:
    from trtproof.scaffold.command import make_project

    return _say(make_project(parsed.folder, factory=parsed.factory, onnx=parsed.onnx), 0)


def _upgrade(parsed: argparse.Namespace) -> int:
    from trtproof.scaffold.upgrade import run

    return _say(*run(Path.cwd(), apply=bool(parsed.apply)))


def _gc(parsed: argparse.Namespace) -> int:
    from trtproof.disk import Removal, collect

    return _say(collect(parsed.projects, Removal.YES if parsed.yes else Removal.DRY), 0)


def _say(text: str, code: int) -> int:
    sys.stdout.write(f"{text}\n")
    return code
