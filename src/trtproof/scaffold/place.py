"""Where a project lies: its folder, the git repository around it, and the user's own packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trtproof.errors import InputError


@dataclass(frozen=True)
class Place:
    """A project's folder, which may not exist yet, and the working tree of git that it is in."""

    root: Path
    repository: Path | None
    """None where there is none yet: then one is made at `root`."""

    @property
    def packages(self) -> list[Path]:
        """Return the folders that the user's own packages may be imported from, nearest first."""
        top = self.repository or self.root
        wanted = (Path.cwd(), self.root, top, top / "src")
        return list(dict.fromkeys(folder for folder in wanted if folder.is_dir()))

    def relative(self, path: Path) -> str:
        """Return a path as the project's settings state it: absolute outside of the repository."""
        place = Path(os.path.abspath(path))  # noqa: PTH100 - a link of the user's stays a link
        if place.is_relative_to(self.repository or self.root):
            return Path(os.path.relpath(place, self.root)).as_posix()
        return str(place)

    def folder_of(self, module: str) -> str | None:
        """Return the entry of `pythonpath` that a module's package lies in; None: none here."""
        words = module.split(".")
        for folder in self.packages:
            file = folder.joinpath(*words)
            if file.with_suffix(".py").is_file() or (file / "__init__.py").is_file():
                return self.relative(folder)
        return None


def find_place(folder: Path) -> Place:
    """Return where a project in this folder would lie.

    Raises:
        InputError: git is not installed, or the path is a file.
    """
    root = folder.absolute().resolve()
    if root.exists() and not root.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    if shutil.which("git") is None:
        text = "git is not installed, and every project is in a git repository; install it"
        raise InputError(text)
    existing = next(place for place in _upwards(root) if place.is_dir())
    done = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"],
        cwd=existing,
        capture_output=True,
        text=True,
        check=False,
    )
    top = Path(done.stdout.strip()).resolve() if done.returncode == 0 else None
    return Place(root=root, repository=top)


def _upwards(path: Path) -> Iterator[Path]:
    yield path
    yield from path.parents
