"""`trtproof gc`: what no commit, experiment or the workspace needs, shown first, then removed.

DVC decides what of its cache goes (`dvc gc` over all commits and experiments); the run-cache tells
which results the objects were.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Final

import yaml

from trtproof import durations
from trtproof.backends.tensorrt.timing_cache import default_folder
from trtproof.config import PARAMS_FILE, load_params
from trtproof.dvc_state import cache_folder
from trtproof.errors import PipelineError
from trtproof.file_cache import FOLDER

KEEP: Final = ("--workspace", "--all-commits", "--all-experiments")
REMOVING: Final = re.compile(r"^Removing (.+)$", re.MULTILINE)
TIMING_DAYS: Final = 90
BYTES_PER_MB: Final = 1e6
OTHER: Final = "other objects"


@dataclass(frozen=True)
class Garbage:
    """One kind of what may go: files, and what removing them costs."""

    name: str
    files: Sequence[Path]
    cost: str

    @property
    def size_bytes(self) -> int:
        """Return the bytes of the files that are there."""
        return sum(path.stat().st_size for path in self.files if path.is_file())


class Removal(Enum):
    """Whether what is shown also goes."""

    DRY = "dry"
    YES = "yes"


def collect(projects: Sequence[Path], removal: Removal) -> str:
    """Return what goes, or what went; `projects` are others on the same cache.

    Raises:
        PipelineError: this is no DVC project, its cache is shared and no other project is named,
            or DVC stopped.
    """
    _require_own_cache(projects)
    objects = [Path(path) for path in REMOVING.findall(_run_dvc(projects, "--dry"))]
    found = [*name_objects(objects, cache_folder()), *own_caches()]
    text = render(found, removed=removal is Removal.YES)  # while the files have their sizes
    if removal is Removal.YES:
        _run_dvc(projects)
        for path in (path for item in own_caches() for path in item.files):
            path.unlink(missing_ok=True)
    return text


def render(found: Sequence[Garbage], *, removed: bool) -> str:
    """Return a line per kind, the largest first, and the sum."""
    kinds = sorted((item for item in found if item.files), key=lambda item: -item.size_bytes)
    if not kinds:
        return "nothing to remove"
    width = max(len(item.name) for item in kinds)
    sizes = {item.name: item.size_bytes for item in kinds}
    lines = [
        f"{item.name:{width}}  {len(item.files):6} files {_megabytes(sizes[item.name]):>12}"
        f"  {item.cost}"
        for item in kinds
    ]
    end = "removed" if removed else "nothing was removed; `trtproof gc --yes` removes it"
    return "\n".join([*lines, "", f"{_megabytes(sum(sizes.values()))}: {end}"])


def _require_own_cache(projects: Sequence[Path]) -> None:
    """Refuse a cache that other projects may use, unless they are named."""
    folder = cache_folder().resolve()
    if folder.is_relative_to(Path(".dvc").resolve()) or projects:
        return
    raise PipelineError(
        f"the cache {folder} lies outside of this project, so others may use it; name them: "
        "`trtproof gc --projects DIR ...` (if there is no other, name this one)"
    )


def _run_dvc(projects: Sequence[Path], *more: str) -> str:
    """Return what `dvc gc` printed.

    Raises:
        PipelineError: it failed; carries DVC's own line.
    """
    others = ["--projects", *map(str, projects)] if projects else []
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "gc", *KEEP, "--force", *more, *others],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["`dvc gc` failed and said nothing"]
        own = [line for line in lines if line.startswith("ERROR: ")]
        raise PipelineError((own or lines)[-1].removeprefix("ERROR: "))
    return done.stdout


def name_objects(objects: Sequence[Path], cache: Path) -> list[Garbage]:
    """Return the objects by the result that they were, as the run-cache knows it."""
    by_md5 = {f"{path.parent.name}{path.name}": path for path in objects}
    names: dict[str, str] = {}
    for out in _recorded_outs(cache):
        md5, name = str(out.get("md5", "")), str(out.get("path", OTHER))
        if md5 in by_md5:
            for member in (md5, *_members(by_md5[md5])):
                names.setdefault(member, name)
    kinds: dict[str, list[Path]] = {}
    for md5, path in by_md5.items():
        kinds.setdefault(names.get(md5, OTHER), []).append(path)
    cost = "of earlier runs that were not committed"
    return [Garbage(name, paths, cost) for name, paths in kinds.items()]


def _recorded_outs(cache: Path) -> Iterable[Mapping[str, Any]]:
    """Yield the outputs of every run in the run-cache; a broken entry has none."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted((cache.parent.parent / "runs").glob("*/*/*")):
        try:
            data = yaml.load(path.read_bytes(), loader)  # noqa: S506 - both are safe loaders
            yield from data.get("outs", [])
        except (OSError, yaml.YAMLError, AttributeError):
            continue


def _members(path: Path) -> list[str]:
    """Return the md5 of every file in a folder's object."""
    if path.suffix != ".dir":
        return []
    try:
        return [str(item["md5"]) for item in json.loads(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def own_caches() -> list[Garbage]:
    """Return what trtproof keeps to be quicker: notes of the probe, and old kernel timings."""
    notes = [path for path in FOLDER.rglob("*") if path.is_file()]
    kept = {path for path in notes if path.parent.name == durations.SUBFOLDER}
    oldest = (datetime.now(UTC) - timedelta(days=TIMING_DAYS)).timestamp()
    timings = [
        path
        for folder in _timing_folders()
        for path in sorted(folder.glob("*.timing"))
        if path.stat().st_mtime < oldest
    ]
    return [
        Garbage("notes of the probe", [path for path in notes if path not in kept], "made again"),
        Garbage(
            "kernel timings",
            timings,
            f"of TensorRT, not used for {TIMING_DAYS} days; the next such build takes longer",
        ),
    ]


def _timing_folders() -> list[Path]:
    """Return where TensorRT's kernel timings are kept: the user's cache folder, and conf's own."""
    found = {default_folder()}
    if PARAMS_FILE.exists():
        for variant in load_params().variants.values():
            stated = variant.build.options.get("timing_cache_dir")
            found |= {Path(str(stated))} if stated else set()
    return sorted(found)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / BYTES_PER_MB:.1f} MB"
