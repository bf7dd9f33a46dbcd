"""A revision's results: what git and DVC's cache hold of a commit, laid out as a project folder.

Nothing is built and nothing in the workspace is touched. What the cache lacks is an error whose
message says which command brings it.
"""

from __future__ import annotations

import io
import json
import posixpath
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from trtproof import artifacts
from trtproof.config import PARAMS_FILE
from trtproof.dvc_state import LOCK_FILE, cache_folder, read_lock
from trtproof.errors import InputError

TRACKED: Final = (LOCK_FILE, PARAMS_FILE, artifacts.HARDWARE, artifacts.INPUTS)
"""Small files that are read from git; of these dvc.lock alone must be there."""

SHORT: Final = 12
"""Characters of a commit that name it."""


@dataclass(frozen=True)
class Revision:
    """One side of a comparison; `root` is a folder laid out as the project.

    `name` is what the user called it, `commit` the full hash, empty for the workspace. `cache` is
    where DVC keeps objects, `lock` maps the path of every output to its entry in dvc.lock; both
    are of a commit.
    """

    name: str
    commit: str
    root: Path
    cache: Path = Path()
    lock: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return how people tell it from the other side."""
        if not self.commit:
            return self.name
        short = self.commit[:SHORT]
        return short if self.commit.startswith(self.name) else f"{self.name} ({short})"


def resolve_commit(name: str) -> str:
    """Return the full hash of a revision.

    Raises:
        InputError: git knows no such commit here.
    """
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    commit = done.stdout.decode().strip()
    if done.returncode != 0 or not commit:
        raise InputError(
            f"git knows no revision {name!r} here; `git log --oneline` lists commits, "
            "`git fetch` brings those of others"
        )
    return commit


def open_workspace() -> Revision:
    """Return what lies in the project's own folder."""
    return Revision(name="workspace", commit="", root=Path())


def open_revision(name: str, folder: Path) -> Revision:
    """Return a commit's results; its small tracked files are written into `folder`.

    Raises:
        InputError: there is no such revision, or it has no dvc.lock.
    """
    commit = resolve_commit(name)
    for path in TRACKED:
        done = _git("show", f"{commit}:./{path.as_posix()}")
        if done.returncode == 0:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(done.stdout)
    if not (folder / LOCK_FILE).exists():
        raise InputError(
            f"{name} ({commit[:SHORT]}) has no {LOCK_FILE}: nothing was built when it was "
            f"committed; name a revision with --base, or commit {LOCK_FILE} after `dvc repro`"
        )
    outs = (
        out for entry in read_lock(folder / LOCK_FILE).values() for out in entry.get("outs", ())
    )
    lock = {str(out["path"]): out for out in outs}
    return Revision(name, commit, folder, cache_folder(), lock)


def fetch_folder(revision: Revision, path: Path, only: tuple[str, ...] = ()) -> Path:
    """Copy an output folder of a revision out of DVC's cache and return where it lies.

    With `only`, the files of these names that the folder has, and no others.

    Raises:
        InputError: the revision never made it, or DVC's cache lacks it.
    """
    place = revision.root / path
    entry = revision.lock.get(path.as_posix())
    if entry is None:
        raise InputError(f"{path} was never made at {revision.title}")
    listing = _object(revision.cache, str(entry["md5"]))
    if not listing.is_file():
        raise _not_cached(revision, path)
    for item in json.loads(listing.read_bytes()):
        if only and item["relpath"] not in only:
            continue
        source, target = (
            _object(revision.cache, item["md5"]),
            place / PurePosixPath(item["relpath"]),
        )
        if not source.is_file():
            raise _not_cached(revision, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return place


def fetch_sources(revision: Revision, pythonpath: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders of the user's own packages as they were at a revision.

    They are read from git; an absolute folder is not the project's, and the same at all revisions.

    Raises:
        InputError: git has no such folder at the revision.
    """
    prefix, top = (
        _git("rev-parse", what).stdout.decode().strip()
        for what in ("--show-prefix", "--show-toplevel")
    )
    places = []
    for number, folder in enumerate(pythonpath):
        if Path(folder).is_absolute():
            places.append(folder)
            continue
        inside = posixpath.normpath(posixpath.join(prefix, folder))
        tree = revision.commit if inside == "." else f"{revision.commit}:{inside}"
        done = _git("-C", top, "archive", "--format=tar", tree)
        if done.returncode != 0:
            raise InputError(
                f"pythonpath {folder!r} is not in git at {revision.title}; commit your package, or "
                "install it"
            )
        place = revision.root / "pythonpath" / str(number)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(place, filter="data")
        places.append(str(place.absolute()))
    return tuple(places)


def _not_cached(revision: Revision, path: Path) -> InputError:
    stage = "@".join(path.parts[1:])
    return InputError(
        f"{path} of {revision.title} is not in DVC's cache; run `dvc fetch --all-commits` if a "
        f"remote has it, else `git checkout {revision.commit[:SHORT]} && dvc repro {stage}` and "
        "come back"
    )


def _object(cache: Path, digest: str) -> Path:
    return cache / digest[:2] / digest[2:]


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], capture_output=True, check=False)
