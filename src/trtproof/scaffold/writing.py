"""Files written into a folder of the user's: all of them or none, and never over another one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from typing import Final

from trtproof.errors import InputError

NAMED_AT_MOST: Final = 6


def require_free(root: Path, paths: Sequence[str]) -> None:
    """Refuse to write where something is already.

    Raises:
        InputError: names the files; nothing was written.
    """
    taken = [path for path in paths if _is_taken(root, path)]
    if not taken:
        return
    more = f" and {len(taken) - NAMED_AT_MOST} more" if len(taken) > NAMED_AT_MOST else ""
    raise InputError(
        f"{root} already has {', '.join(taken[:NAMED_AT_MOST])}{more}, and init never overwrites; "
        f"name an empty folder, as in `trtproof init {Path(os.path.relpath(root)) / 'inference'}`"
    )


def _is_taken(root: Path, path: str) -> bool:
    """Say whether a file is there, or a file stands where one of its folders must be."""
    place = root / path
    parents = [parent for parent in place.parents if parent != root and root in parent.parents]
    return os.path.lexists(place) or any(
        os.path.lexists(parent) and not parent.is_dir() for parent in parents
    )


def write_all(
    root: Path,
    files: Mapping[str, bytes],
    *,
    appended: Mapping[str, str],
    new_repository: bool,
) -> None:
    """Write new files, append text to files that may exist, make a git repository if there is none.

    Raises:
        InputError: something could not be written; all is as it was before.
    """
    try:
        with ExitStack() as undo:
            _make_folder(root, undo)
            if new_repository:
                undo.callback(rmtree, root / ".git", ignore_errors=True)
                _start_repository(root)
            for path, content in files.items():
                _write_new(root / path, content, undo)
            for path, text in appended.items():
                _append(root / path, text, undo)
            undo.pop_all()
    except OSError as error:
        raise InputError(
            f"{error.filename or root} cannot be written ({error.strerror or error}); "
            "nothing was left behind: name a folder that you may write to"
        ) from None


def _make_folder(folder: Path, undo: ExitStack) -> None:
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir()
        undo.callback(place.rmdir)


def _start_repository(root: Path) -> None:
    done = subprocess.run(
        ["git", "init", "-q", str(root)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise InputError(f"`git init {root}` failed: {done.stderr.strip()}; make the repository")


def _write_new(path: Path, content: bytes, undo: ExitStack) -> None:
    _make_folder(path.parent, undo)
    with path.open("xb") as file:
        undo.callback(path.unlink)
        file.write(content)


def _append(path: Path, text: str, undo: ExitStack) -> None:
    if not path.exists():
        _write_new(path, text.encode(), undo)
        return
    before = path.read_bytes()
    undo.callback(path.write_bytes, before)
    end = b"" if before.endswith(b"\n") or not before else b"\n"
    path.write_bytes(before + end + text.encode())
