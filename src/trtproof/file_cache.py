"""What was computed from a file, remembered until the file changes: the probe runs every time.

A file counts as unchanged while its size, times and inode are. Like git's index, an entry whose
file was written about when the cache was is not trusted: a second edit within the clock's
granularity would leave the same times.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trtproof import artifacts

FOLDER = Path(".dvc/tmp/trtproof")
"""Relative to the project; nothing in it is needed, everything in it is only quicker."""

RACY_NS = 2_000_000_000
"""Coarsest time stamp of a file system in use (FAT: two seconds)."""


class FileCache:
    """Values by file; `kind` names what they are, `version` whatever else they depend on."""

    def __init__(self, project: Path, kind: str, version: str = "") -> None:
        self._path = project / FOLDER / f"{kind}.json"
        self._version = version
        self._enabled = (project / ".dvc").is_dir()
        self._kept: dict[str, list[Any]] = self._load() if self._enabled else {}
        self._used: dict[str, list[Any]] = {}
        self._changed = False

    def value(self, path: Path, compute: Callable[[Path], Any]) -> Any:
        """Return `compute(path)`, a JSON value, or what it returned for the same file before.

        Raises:
            FileNotFoundError: there is no such file.
        """
        name = str(path)
        if name in self._used:
            return self._used[name][1]
        stamp = _stamp(path)
        entry = self._kept.get(name)
        if entry is None or entry[0] != stamp:
            entry = [stamp, compute(path)]
            self._changed = True
        self._used[name] = entry
        return entry[1]

    def save(self) -> None:
        """Write the entries used since the cache was opened, if any of them is new."""
        if not self._enabled or not (self._changed or len(self._used) != len(self._kept)):
            return
        data = {"version": self._version, "entries": self._used}
        artifacts.write_text(self._path, json.dumps(data, separators=(",", ":")))

    def _load(self) -> dict[str, list[Any]]:
        """Return the trusted entries; a missing, foreign or broken cache is an empty one."""
        try:
            written_ns = self._path.stat().st_mtime_ns
            data = json.loads(self._path.read_bytes())
            if data["version"] != self._version:
                return {}
            return {
                name: [stamp, value]
                for name, (stamp, value) in data["entries"].items()
                if max(stamp[1], stamp[2]) < written_ns - RACY_NS
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            return {}


def _stamp(path: Path) -> list[int]:
    """Return size, modification and change time in nanoseconds, and inode."""
    found = os.stat(path)  # noqa: PTH116 - twice as quick, and called for every keyed file
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
