"""What git says of the folder that a command runs in: the commit, what differs from it, and who.

Recorded beside what was measured or built, so that a figure is never taken for its commit's when
the code that made it was another.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Any, Final

GENERATED: Final = ("metrics/", "dvc.lock")
"""What a run itself writes: its changes say nothing about the code."""


def describe_working_tree() -> dict[str, Any]:
    """Return commit, changed tracked files and git's user name; each None where git has none.

    `changed` names, relative to this folder, the tracked files that differ from the commit; None
    (not an empty list) where there is no commit to differ from.
    """
    commit = _ask_git("rev-parse", "HEAD")
    changed = _ask_git("diff", "--name-only", "-z", "--relative", "HEAD")
    return {
        "commit": commit.strip() if commit else None,
        "changed": None if changed is None else _list_changed(changed),
        "user": (_ask_git("config", "user.name") or "").strip() or None,
    }


def _list_changed(names: str) -> list[str]:
    """Return NUL-separated file names without those that a run writes, sorted."""
    return sorted(name for name in names.split("\0") if name and not name.startswith(GENERATED))


def _ask_git(*words: str) -> str | None:
    """Return what a git command printed, None where it fails or there is no git."""
    if shutil.which("git") is None:
        return None
    done = subprocess.run(
        ["git", *words], capture_output=True, check=False, encoding="utf-8", errors="replace"
    )
    return done.stdout if done.returncode == 0 else None
