"""What DVC knows of every stage, read without running one; DVC is imported only when asked.

Uses what has been the same through DVC 3: the layout of dvc.lock, the shape of `dvc status --json`,
and `StageCache.restore(dry=True)`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from trtproof.durations import recorded_seconds
from trtproof.errors import InputError, PipelineError
from trtproof.why import Change, StageState, differences

LOCK_FILE = Path("dvc.lock")


def run_probe() -> None:
    """Run gate and probe, so that the recorded facts are this machine's.

    Raises:
        PipelineError: one of them stopped; carries its own line.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "-q", "probe"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    lines = done.stderr.strip().splitlines() or ["`dvc repro probe` failed and said nothing"]
    own = [line for line in lines if line.startswith("error: ")]
    raise PipelineError((own or lines)[-1].removeprefix("error: ").removeprefix("ERROR: "))


def read_states() -> list[StageState]:
    """Return every stage's state in flow order.

    Raises:
        PipelineError: this is no DVC project, or DVC is busy; carries DVC's own line.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with _quiet_dvc(), Repo() as repo, repo.lock:
            reader = _Reader(lock=read_lock(), cache=Path(repo.cache.local.path))
            stages = [stage for stage in repo.index.stages if stage.cmd]
            return [reader.state(stage, stages) for stage in in_flow_order(stages)]
    except DvcException as error:
        raise PipelineError(" ".join(str(error).split())) from None


def read_lock(path: Path = LOCK_FILE) -> dict[str, Any]:
    """Return stage name -> entry of dvc.lock; {} before the first run.

    Raises:
        InputError: it is broken.
    """
    if not path.exists():
        return {}
    try:
        data = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        return dict((data or {}).get("stages", {}))
    except (yaml.YAMLError, AttributeError, TypeError):
        raise InputError(f"{path} is broken; run `git checkout -- {path}`") from None


def cache_folder() -> Path:
    """Return where DVC's cache of this project keeps its objects.

    Raises:
        PipelineError: this is no DVC project; carries DVC's own line.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with _quiet_dvc(), Repo() as repo:
            return Path(repo.cache.local.path)
    except DvcException as error:
        raise PipelineError(" ".join(str(error).split())) from None


@contextmanager
def _quiet_dvc() -> Iterator[None]:
    """Keep off the answer the lines that DVC prints for every look into the run-cache."""
    logger = logging.getLogger("dvc")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def in_flow_order(stages: Sequence[Any]) -> list[Any]:
    """Return the stages so that each follows those it depends on, else as dvc.yaml lists them."""
    ordered: list[Any] = []
    rest = list(stages)
    while rest:
        ready = [
            stage
            for stage in rest
            if not any(other is not stage and _feeds(other, stage) for other in rest)
        ]
        ordered.append(ready[0])
        rest.remove(ready[0])
    return ordered


def _feeds(maker: Any, stage: Any) -> bool:
    outputs = [_path(out) for out in maker.outs]
    return any(overlaps(_path(dep), output) for dep in stage.deps for output in outputs)


def _path(item: Any) -> str:
    return PurePosixPath(str(item.def_path)).as_posix()


def overlaps(one: str, other: str) -> bool:
    """Say whether two paths are the same, or one lies below the other."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


@dataclass(frozen=True)
class _Reader:
    """Turns DVC's stages into states."""

    lock: Mapping[str, Any]
    cache: Path

    def state(self, stage: Any, stages: Sequence[Any]) -> StageState:
        """Return one stage's state."""
        entry = self.lock.get(stage.addressing)
        status = stage.status().get(stage.addressing, [])
        deps = merged(status, "changed deps")
        lost = merged(status, "changed outs")
        inputs = self._inputs(stage, stages)
        changed = [path for path in inputs if path in deps and entry is not None]
        own = self._own_changes(stage, entry, deps, inputs)
        if "changed command" in status and entry is not None:
            own.append(Change("its command", entry.get("cmd"), stage.cmd))
        return StageState(
            name=stage.addressing,
            inputs=inputs,
            own=own,
            changed_inputs=changed,
            locked_inputs=[path for path in inputs if self._as_locked(path, entry, inputs[path])],
            lost_outputs=sorted(lost),
            outputs_cached=entry is not None and bool(stage.outs_cached()),
            always=bool(stage.always_changed),
            seconds=recorded_seconds(stage.addressing),
            size_bytes=total_size(entry),
            restorable=bool(deps or own) and is_restorable(stage),
        )

    def _inputs(self, stage: Any, stages: Sequence[Any]) -> dict[str, list[str]]:
        """Return path -> makers of every dependency that is a file or folder."""
        paths = [_path(dep) for dep in stage.deps if not hasattr(dep, "params")]
        return {
            path: [
                other.addressing
                for other in stages
                if other is not stage and any(overlaps(path, _path(out)) for out in other.outs)
            ]
            for path in paths
        }

    def _own_changes(
        self,
        stage: Any,
        entry: Mapping[str, Any] | None,
        deps: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> list[Change]:
        """Return the settings and facts that differ from the lock, down to the field."""
        if entry is None:
            return [Change("it never ran here")]
        changes = []
        current = {_path(dep): dep.read_params() for dep in stage.deps if hasattr(dep, "params")}
        for path, keys in deps.items():
            if path in inputs:
                continue
            old = entry.get("params", {}).get(path, {})
            for key in keys if isinstance(keys, Mapping) else ():
                new = current.get(path, {}).get(key)
                changes += differences(f"{path} {key}", old.get(key), new)
        return changes

    def _as_locked(self, path: str, entry: Mapping[str, Any] | None, makers: Iterable[str]) -> bool:
        """Say whether a stage last read an artifact as its makers' entries of dvc.lock have it."""
        read = [dep for dep in (entry or {}).get("deps", []) if dep["path"] == path]
        outs = [
            out
            for maker in makers
            for out in self.lock.get(maker, {}).get("outs", [])
            if overlaps(path, out["path"])
        ]
        if not read or not outs:
            return False
        if len(outs) == 1 and outs[0]["path"] == path:
            return bool(outs[0].get("md5") == read[0].get("md5"))
        return bool(folder_md5(path, outs, self.cache) == read[0].get("md5"))


def merged(status: Iterable[Any], kind: str) -> dict[str, Any]:
    """Return the entries of one kind from a stage's list in `dvc status --json`."""
    found: dict[str, Any] = {}
    for item in status:
        if isinstance(item, Mapping):
            found |= item.get(kind, {})
    return found


def total_size(entry: Mapping[str, Any] | None) -> int | None:
    """Return the bytes of a stage's outputs when it last ran; None where dvc.lock has no sizes."""
    sizes = [out.get("size") for out in (entry or {}).get("outs", [])]
    known = [size for size in sizes if isinstance(size, int)]
    return sum(known) if known else None


def is_restorable(stage: Any) -> bool:
    """Say whether DVC's run-cache has the result for what lies there now.

    Forgets, in this process's copy, what the stage's outputs were: else DVC takes them from
    dvc.lock.
    """
    from dvc.exceptions import DvcException
    from dvc_data.hashfile.hash_info import HashInfo

    try:
        stage.save_deps()
        for out in stage.outs:
            out.hash_info = HashInfo()
        stage.repo.stage_cache.restore(stage, dry=True)
    except (DvcException, FileNotFoundError):
        return False
    return True


def folder_md5(folder: str, outs: Iterable[Mapping[str, Any]], cache: Path) -> str | None:
    """Return the hash that DVC gives a folder made of several outputs; None if the cache lacks one.

    A folder's object is a JSON list of its files (dvc-data: hashfile/tree.py).
    """
    files: list[dict[str, str]] = []
    for out in outs:
        md5 = str(out.get("md5", ""))
        below = PurePosixPath(out["path"]).relative_to(folder)
        if not md5.endswith(".dir"):
            files.append({"md5": md5, "relpath": below.as_posix()})
            continue
        try:
            listed = json.loads((cache / md5[:2] / md5[2:]).read_bytes())
        except (OSError, ValueError):
            return None
        files += [
            {"md5": item["md5"], "relpath": (below / item["relpath"]).as_posix()} for item in listed
        ]
    files.sort(key=lambda item: item["relpath"].split("/"))
    text = json.dumps(files, sort_keys=True).encode()
    return f"{hashlib.md5(text, usedforsecurity=False).hexdigest()}.dir"
