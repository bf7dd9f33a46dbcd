"""The files of a project that come with trtproof: in a wheel beside this module, else the clone's.

There is one source, the top level of trtproof's own repository; pyproject.toml lists what a wheel
takes from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trtproof import __version__, artifacts
from trtproof.errors import InputError, MissingFileError

PACKAGED: Final = Path(__file__).parent / "project"
CLONE: Final = Path(__file__).parents[3]
PATTERNS: Final = (
    ".dvc/.gitignore",
    ".dvc/config",
    ".dvc/plots/*.json",
    ".dvcignore",
    "conf/**/*.yaml",
    "dvc.yaml",
    "imports/.gitkeep",
    "stages/*.py",
)
OWN_ONLY: Final = frozenset({"conf/model/digits_resnet.yaml"})
"""Left out of projects: its weights lie in trtproof's repository."""

CONFIG: Final = "conf/config.yaml"
"""Shipped with the example's choices; a project's has its own."""

RECORD: Final = Path(".trtproof.json")
"""What a project took over, so that an upgrade knows what its user has changed since."""


def shipped_files() -> dict[str, bytes]:
    """Return path in a project -> content, sorted by path.

    Raises:
        MissingFileError: this installation lacks them.
    """
    root = PACKAGED if PACKAGED.is_dir() else CLONE
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for pattern in PATTERNS
        for path in root.glob(pattern)
    }
    if "dvc.yaml" not in found:
        raise MissingFileError(
            root / "dvc.yaml", repair="install trtproof from its wheel, or from a whole clone of it"
        )
    return {path: found[path] for path in sorted(found.keys() - OWN_ONLY)}


def digest(content: bytes) -> str:
    """Return the 16 hex digits that the record holds of a file."""
    return hashlib.sha256(content).hexdigest()[:16]


def make_record(digests: Mapping[str, str]) -> str:
    """Return the text of the record: path -> digest of the shipped files that a project took."""
    return artifacts.to_json({"schema": 1, "version": __version__, "files": dict(digests)})


def read_record(project: Path) -> dict[str, str]:
    """Return path -> digest of what the project took over when it was made or last upgraded.

    Raises:
        InputError: the folder is no project of `trtproof init`, or the record is broken.
    """
    path = project / RECORD
    if not path.is_file():
        raise InputError(f"{path} does not exist; run this in a folder that `trtproof init` made")
    data = artifacts.read_json(path, made_by="gate")
    files = data.get("files")
    if not isinstance(files, dict):
        raise InputError(f"{path} is broken; run `git checkout -- {RECORD}`")
    return {str(name): str(value) for name, value in files.items()}
