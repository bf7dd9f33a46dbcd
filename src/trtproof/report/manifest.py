"""manifest.json: the SHA-256 of everything that the report shows, and of the report itself.

No time and no place: the same inputs give the same manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from trtproof import artifacts

MANIFEST: Final = "manifest.json"


def make_manifest(read: Iterable[Path], written: Mapping[Path, Path]) -> dict[str, Any]:
    """Return path -> SHA-256 of the files that were read, and of those that were written.

    `written` maps the final path of an output to where it lies now.
    """
    return {
        "schema": 1,
        "read": {path.as_posix(): artifacts.sha256_file(path) for path in read},
        "written": {final.as_posix(): artifacts.sha256_file(now) for final, now in written.items()},
    }
