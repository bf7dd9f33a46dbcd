"""The tracked files as they lie now, frozen in a commit, and private clones to run jobs in.

A sweep takes hours. DVC's `exp run --temp` stashes, moves HEAD and resets in the repository that
it is called in: called in the user's own, a kill in that second would leave their changes in a
stash, and an edit between two jobs would go into the later one. So jobs run in clones of a
snapshot, and what comes back to the user's repository are finished experiments.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from trtproof.config import PARAMS_FILE
from trtproof.errors import InputError, PipelineError
from trtproof.working_tree import GENERATED

IDENTITY: Final = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "trtproof"), ("EMAIL", "trtproof@localhost"))
}
"""Who makes the commit of a snapshot: nobody sees it, and git may know no user yet."""

FOREIGN: Final = (
    *("DVC_EXP_BASELINE_REV", "DVC_EXP_NAME", "DVC_ROOT", "DVC_STAGE"),
    *("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"),
)
"""Variables that say where a DVC or git command which started this one is at work."""


@dataclass(frozen=True)
class Snapshot:
    """The repository as it lies: `commit` has the tracked files as they are, on top of `base`.

    `top` is git's folder, `below` the project's place in it, `tracked` the files (relative to
    `top`) that git knows of, `changed` those (relative to the project) that differ from `base`
    without being what a run writes. `sources` is a hash of the project's files, but for those.
    """

    top: Path
    below: PurePosixPath
    base: str
    commit: str
    sources: str
    tracked: frozenset[str]
    changed: tuple[str, ...]


def take_snapshot() -> Snapshot:
    """Freeze the tracked files of this folder's repository without touching it.

    Raises:
        InputError: there is no repository or no commit, or a merge is not finished.
    """
    if not Path("dvc.yaml").is_file() or not Path(".dvc").is_dir():
        raise InputError(f"{Path.cwd()} is no DVC project; run this in the project's own folder")
    top = Path(ask_git("rev-parse", "--show-toplevel", repair="run `git init` and commit"))
    base = ask_git("rev-parse", "--verify", "HEAD", repair="commit once: `git commit`")
    if ask_git("ls-files", "-u", cwd=top):
        raise InputError(f"a merge in {top} is not finished; `git status` names the files")
    with tempfile.TemporaryDirectory(prefix="trtproof-") as folder:
        index = Path(folder) / "index"
        shutil.copy(ask_git("rev-parse", "--path-format=absolute", "--git-path", "index"), index)
        own = {"GIT_INDEX_FILE": str(index)} | IDENTITY
        ask_git("add", "-u", cwd=top, variables=own)
        tree = ask_git("write-tree", cwd=top, variables=own)
        listed = ask_git("ls-files", "-s", "-z", cwd=top, variables=own)
    commit = base
    if tree != ask_git("rev-parse", f"{base}^{{tree}}"):
        message = ("-m", "trtproof: tracked files as a sweep found them")
        commit = ask_git("commit-tree", tree, "-p", base, *message, variables=IDENTITY)
    below = PurePosixPath(Path.cwd().resolve().relative_to(top.resolve()).as_posix())
    entries = _entries(listed)
    return Snapshot(
        top=top,
        below=below,
        base=base,
        commit=commit,
        sources=_hash(entries, below),
        tracked=frozenset(entries),
        changed=_changed(base, commit),
    )


def own_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with these variables, fit for another repository."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN} | dict(
        variables
    )


def ask_git(
    *words: str,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
    repair: str = "see what git says",
) -> str:
    """Return what a git command prints, without the newline at its end.

    Raises:
        InputError: it fails; carries git's own words and the repair.
    """
    done = subprocess.run(
        ["git", *words],
        cwd=cwd,
        env=own_environment(variables or {}),
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="surrogateescape",
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"`git {words[0]}` failed"]
        raise InputError(f"{lines[-1]}; {repair}")
    return done.stdout.removesuffix("\n")


def _entries(listed: str) -> dict[str, str]:
    """Return path -> "mode hash stage" of what `git ls-files -s -z` printed."""
    pairs = (line.partition("\t") for line in listed.split("\0") if line)
    return {path: entry for entry, _, path in pairs}


def is_generated(path: str) -> bool:
    """Say whether a run writes the file, named relative to the project."""
    return path.startswith(GENERATED) or path == str(PARAMS_FILE)


def _hash(entries: Mapping[str, str], below: PurePosixPath) -> str:
    lines = [
        f"{entry} {path}"
        for path, entry in sorted(entries.items())
        if PurePosixPath(path).is_relative_to(below)
        and not is_generated(PurePosixPath(path).relative_to(below).as_posix())
    ]
    text = "\n".join(lines).encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def _changed(base: str, commit: str) -> tuple[str, ...]:
    names = ask_git("diff", "--name-only", "-z", "--relative", base, commit).split("\0")
    return tuple(sorted(name for name in names if name and not is_generated(name)))


def make_clone(snapshot: Snapshot, base: str, place: Path) -> Path:
    """Make a private clone at `place` and return the project's folder in it.

    HEAD is at `base`, the files are the snapshot's, as changes that are not committed. It shares
    DVC's cache, and so its run-cache, with this project. What lay at `place` is removed.

    Raises:
        PipelineError: git or dvc fails; carries their own words.
    """
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    ask_git("clone", "-q", "--local", "--no-checkout", str(snapshot.top), str(place))
    ask_git("checkout", "-q", "--detach", base, cwd=place)
    ask_git("read-tree", "-m", "-u", base, snapshot.commit, cwd=place)
    ask_git("remote", "remove", "origin", cwd=place)
    for key in ("user.name", "user.email"):
        value = _git_setting(key)
        if value:
            ask_git("config", key, value, cwd=place)
    project = place / snapshot.below
    local = Path(".dvc/config.local")
    if local.is_file():
        shutil.copy(local, project / local)
    _ask_dvc("cache", "dir", "--local", _ask_dvc("cache", "dir", cwd=Path.cwd()), cwd=project)
    return project


def _git_setting(key: str) -> str:
    done = subprocess.run(
        ["git", "config", "--get", key], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _ask_dvc(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=cwd,
        env=own_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"`dvc {words[0]}` failed and said nothing"]
        raise PipelineError(lines[-1].removeprefix("ERROR: "))
    return done.stdout.strip()


def experiments(base: str, place: Path | None = None) -> dict[str, str]:
    """Return experiment name -> commit of those that DVC keeps under a commit.

    Where `place` is None, of this repository.
    """
    folder = _reference(base, "")
    found = ask_git("for-each-ref", "--format=%(refname) %(objectname)", folder, cwd=place)
    lines = (line.split() for line in found.splitlines())
    return {name.rpartition("/")[2]: commit for name, commit in lines}


def fetch_experiment(snapshot: Snapshot, base: str, place: Path, name: str) -> None:
    """Bring an experiment from a clone into the user's repository, replacing one of its name.

    Raises:
        InputError: git fails; carries its own words.
    """
    reference = _reference(base, name)
    ask_git(
        *("-c", "gc.auto=0", "fetch", "-q", "--no-tags", "--no-write-fetch-head"),
        *(str(place), f"+{reference}:{reference}"),
        cwd=snapshot.top,
    )


def read_at(place: Path, commit: str, path: str) -> str:
    """Return the text of a file, named relative to git's folder, at a commit of a clone."""
    return ask_git("show", f"{commit}:{path}", cwd=place)


def _reference(base: str, name: str) -> str:
    """Return git's name of an experiment (DVC: repo/experiments/refs.py)."""
    return f"refs/exps/{base[:2]}/{base[2:]}/{name}"
