"""Results of what is no longer configured, removed before anything hashes them.

DVC hashes a folder with all that lies in it: a left-over engine would be benchmarked. Only the
stage that always runs may remove it, for a stage restored from the run-cache removes nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from trtproof import artifacts
from trtproof.progress import note


def remove_leftovers(
    recipes: Collection[str], variants: Collection[str], studied: Collection[str] = ()
) -> list[Path]:
    """Remove what belongs to other recipes and variants, and what killed stages left; return it.

    `studied` are the recipes whose sensitivity is configured.
    """
    configured = {
        "convert": recipes,
        "audit": recipes,
        "sensitivity": studied,
        "build": variants,
        "evaluate": variants,
    }
    removed = [
        path
        for step, names in configured.items()
        for path in _entries(artifacts.ROOT / step)
        if path.name not in names
    ]
    removed += [
        path
        for path in _entries(artifacts.variant_metrics("x").parent)
        if path.suffix == ".json" and path.stem not in variants
    ]
    abandoned = [path for path in _entries(artifacts.TEMPORARY) if not _is_running(path.name)]
    for path in (*removed, *abandoned):
        _remove(path)
    for path in removed:
        note(f"removed {path}, which is no longer configured")
    return [*removed, *abandoned]


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_running(name: str) -> bool:
    """Say whether the process at the end of a temporary's name ("build-x-1234") lives."""
    number = name.rpartition("-")[2]
    if not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it lives, and is another user's
    return True
