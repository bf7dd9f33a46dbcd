"""Files that the jobs read but git and DVC do not know, found before the first job.

A job runs in a folder that has what git and DVC track and nothing else. A conf file, an adapter or
a data set that only lies in the workspace would be missing there, minutes into the sweep.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from trtproof.config import Params
from trtproof.errors import InputError
from trtproof.inputs import keyed_files
from trtproof.source_keys import PACKAGE
from trtproof.sweep.snapshot import Snapshot

OWN_FILES: Final = ("dvc.yaml", ".dvc/config", ".dvcignore")
OWN_FOLDERS: Final = ("conf", "stages", "imports", "hydra_plugins")
BYTE_CODE: Final = "__pycache__"
SHOWN: Final = 5
PYTHON: Final = ".py"


def own_files() -> list[Path]:
    """Return what every job needs of the project itself."""
    files = [Path(name) for name in OWN_FILES if Path(name).is_file()]
    for name in OWN_FOLDERS:
        files += [path for path in Path(name).rglob("*") if path.is_file()]
    return [path for path in files if BYTE_CODE not in path.parts]


def job_files(params: Params) -> list[Path]:
    """Return what a job reads of the user's files, by its settings.

    Raises:
        MissingFileError: a file or module that the settings name is not there.
        InputError: a reached file is not Python; or a setting leads out of the repository.
    """
    keyed = keyed_files(params.model, params.dataset, params.pythonpath, params.evaluate.scorers)
    files = [path for path in keyed if path.suffix != PYTHON]
    files += [path for path in keyed if path.suffix == PYTHON and _is_copied(path, params)]
    for variant in params.variants.values():
        plugins = variant.build.options.get("plugins", ())
        files += [Path(str(name)) for name in (variant.build.plan, *plugins) if name is not None]
    return files


def _is_copied(module: Path, params: Params) -> bool:
    """Say whether a module is imported from the job's own folder, not from where it is installed.

    That is what lies below a relative folder of `pythonpath`; trtproof itself is imported before.
    """
    place = Path(os.path.normpath(module.absolute()))
    folders = [Path(os.path.normpath(Path(name).absolute())) for name in _relative(params)]
    return any(map(place.is_relative_to, folders)) and not place.is_relative_to(PACKAGE)


def _relative(params: Params) -> list[str]:
    return [name for name in params.pythonpath if not Path(name).is_absolute()]


def require_tracked(snapshot: Snapshot, files: Iterable[Path], folders: Iterable[str]) -> None:
    """Refuse files that would be missing where the jobs run, or other than they lie here.

    Args:
        snapshot: what git has.
        files: as settings name them, relative to the project or absolute.
        folders: relative folders that modules are imported from.

    Raises:
        InputError: names them, and the commands that repair it.
    """
    named = {str(path): _locate(snapshot, path) for path in (*files, *map(Path, folders))}
    outside = [name for name, place in named.items() if place is None and not _is_absolute(name)]
    if outside:
        raise InputError(
            f"{_list(outside)} lies outside of git's folder {snapshot.top} and is named relative "
            "to the project, so that a job would look for it in another place; name it by its "
            "absolute path in conf/"
        )
    wanted = {place: name for name, place in named.items() if place is not None}
    unknown = {place: name for place, name in wanted.items() if place not in snapshot.tracked}
    unknown = {place: name for place, name in unknown.items() if (snapshot.top / place).is_file()}
    if unknown:
        _require_in_dvc(snapshot, unknown)


def _is_absolute(name: str) -> bool:
    """Say whether a setting named an absolute path; what is relative keeps its ".."."""
    return Path(name).is_absolute() and ".." not in Path(name).parts


def _locate(snapshot: Snapshot, path: Path) -> str | None:
    """Return the file's path in git's folder, None where it is outside."""
    place = Path(os.path.normpath(path.absolute()))
    top = Path(os.path.normpath(snapshot.top))
    return place.relative_to(top).as_posix() if place.is_relative_to(top) else None


@dataclass(frozen=True)
class _Output:
    """A file or folder that DVC tracks, and the file that says so; both in git's folder."""

    path: PurePosixPath
    file: str


def _require_in_dvc(snapshot: Snapshot, unknown: dict[str, str]) -> None:
    """Refuse the files that DVC does not track either, or not as they lie here.

    Raises:
        InputError: names them, and the commands that repair it.
    """
    outputs = _read_outputs(snapshot)
    used: set[str] = set()
    for place in list(unknown):
        found = [item for item in outputs if PurePosixPath(place).is_relative_to(item.path)]
        if found:
            used.add(found[0].file)
            del unknown[place]
    if unknown:
        raise InputError(_untracked_text(snapshot, unknown))
    for file in sorted(name for name in used if name.endswith(".dvc")):
        state = _dvc_state(snapshot.top / file)
        if state:
            raise InputError(
                f"what {file} tracks is {state}, so that a job would read something else; run "
                f"`dvc commit {file}` to keep it as it lies here, or `dvc checkout {file}`"
            )


def _untracked_text(snapshot: Snapshot, unknown: dict[str, str]) -> str:
    ignored = {place for place in unknown if _is_ignored(snapshot, place)}
    texts = [
        ("git add", "`git add` is enough, a commit is not needed", set(unknown) - ignored),
        ("dvc add", "git ignores them; or name them by absolute paths in conf/", ignored),
    ]
    repairs = [
        f"run `{command} {' '.join(_near(unknown[place]) for place in sorted(places))}` ({why})"
        for command, why, places in texts
        if places
    ]
    names = [_near(name) for _, name in sorted(unknown.items())]
    return (
        f"{_list(names)}: read by the jobs, but known neither to git nor to DVC, so that it would "
        f"be missing in the folder that a job runs in; {' and '.join(repairs)}"
    )


def _near(name: str) -> str:
    """Return a file's name relative to the project."""
    place = Path(os.path.normpath(Path(name).absolute()))
    return os.path.relpath(place)


def _list(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _is_ignored(snapshot: Snapshot, place: str) -> bool:
    done = subprocess.run(
        ["git", "check-ignore", "-q", place], cwd=snapshot.top, capture_output=True, check=False
    )
    return done.returncode == 0


def _read_outputs(snapshot: Snapshot) -> list[_Output]:
    """Return all that the tracked .dvc and dvc.lock files say DVC has."""
    files = sorted(name for name in snapshot.tracked if name.endswith((".dvc", "dvc.lock")))
    return [
        _Output(PurePosixPath(os.path.normpath(PurePosixPath(file).parent / out["path"])), file)
        for file in files
        for out in _outs(snapshot.top / file)
    ]


def _outs(path: Path) -> list[dict[str, Any]]:
    try:
        data = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # noqa: S506
    except (OSError, yaml.YAMLError):
        return []  # not there any more, or not one of DVC's: it tracks nothing
    entries = [data, *data.get("stages", {}).values()] if isinstance(data, dict) else []
    return [out for entry in entries for out in entry.get("outs", [])]


def _dvc_state(file: Path) -> str | None:
    """Return how what a .dvc file tracks differs from it, None where it does not."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json", file.name],
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise InputError((done.stderr.strip().splitlines() or [f"`dvc status {file}` failed"])[-1])
    for changes in json.loads(done.stdout or "{}").values():
        for change in changes:
            for state in dict(change.get("changed outs", {})).values():
                return str(state)
    return None
