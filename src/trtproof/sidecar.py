"""engine.json: what lies beside every plan, and the gate that whoever opens one passes.

DVC alone trusts a corrupted read-only cache object and a `dvc commit -f` after a change of
hardware; this does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trtproof import artifacts
from trtproof.errors import PlanCorruptError, PlanForeignError, PlanMissingError
from trtproof.reason import Reason

SIDECAR_FILE = "engine.json"
DRIVER_FACT = "driver_too_old"
LATER_MAJORS = {(10, 8), (11, 10)}
"""Version-compatible plans cross a major only like this: running on, built with (NVIDIA's TensorRT
11.4 support matrix, "Engine Portability")."""

RULES = {"any": "any", "later": "a later version", "from": "versions from "}
Status = Literal["built", "unavailable", "failed", "evaluated_only"]


@dataclass(frozen=True)
class EngineRecord:
    """One variant's engine.json.

    `facts` is hardware.json's engine section of the backend at build time, `key` is inputs.json's
    `code.build.<backend>`: what computed the plan. `files` maps every other file of the folder to
    its SHA-256; `plan` is one of them, None where there is none: a plan whose time would mislead
    is evaluated only. `source` maps the model files that went in to theirs. `settings` is conf's
    `build` section. `details` is what the backend said of the build. `made` holds when and how
    long, and only where something was built: an unavailable variant's record must not change by
    the clock.
    """

    variant: str
    backend: str
    recipe: str
    precision: str
    status: Status
    facts: Mapping[str, Any]
    key: Mapping[str, Any]
    settings: Mapping[str, Any]
    reason: Reason | None = None
    plan: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plan_sha256(self) -> str | None:
        """Return the plan's SHA-256: its identity in every later file."""
        return self.files[self.plan] if self.plan else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, sealed with a digest over itself."""
        body = {
            "schema": 1,
            "variant": self.variant,
            "backend": self.backend,
            "recipe": self.recipe,
            "precision": self.precision,
            "status": self.status,
            "reason": self.reason.to_json() if self.reason else None,
            "facts": dict(self.facts),
            "key": dict(self.key),
            "settings": dict(self.settings),
            "plan": self.plan,
            "files": dict(self.files),
            "source": dict(self.source),
            "details": dict(self.details),
            "made": dict(self.made),
        }
        return body | {"seal": artifacts.sha256_json(body)}


def write_record(folder: Path, record: EngineRecord) -> None:
    """Write the sidecar into a variant's folder."""
    artifacts.write_json(folder / SIDECAR_FILE, record.to_json())


def read_record(folder: Path) -> EngineRecord:
    """Return a variant's record, whatever its status, once its seal is found whole.

    Raises:
        MissingFileError: the variant was never built.
        PlanCorruptError: the sidecar was edited or cut.
    """
    data = artifacts.read_json(folder / SIDECAR_FILE, made_by=_stage(folder))
    seal = data.pop("seal", None)
    if seal != artifacts.sha256_json(data):
        raise PlanCorruptError(
            f"{folder / SIDECAR_FILE} was edited after the build wrote it; "
            f"run `dvc repro -f {_stage(folder)}`"
        )
    data.pop("schema")
    reason = data.pop("reason")
    return EngineRecord(**data, reason=Reason(**reason) if reason else None)


def verify_plan(folder: Path, facts: Mapping[str, Any]) -> EngineRecord:
    """Return the record of a plan that may be opened here.

    First every file must be what the build wrote, then the machine must be the same.
    `facts` is this machine's engine section of the variant's backend.

    Raises:
        PlanMissingError: the record says there is no plan, or its file is gone.
        PlanCorruptError: a file's hash differs from the sidecar's.
        PlanForeignError: built for another machine or version; names every fact that differs.
    """
    record = read_record(folder)
    if record.plan is None:
        why = record.reason.text if record.reason else record.status
        raise PlanMissingError(f"{record.variant} has no plan: {why}")
    for name, digest in record.files.items():
        path = folder / name
        if not path.exists():
            raise PlanMissingError(
                f"{path} does not exist; run `dvc checkout` or `dvc repro -f {_stage(folder)}`"
            )
        if artifacts.sha256_file(path) != digest:
            raise PlanCorruptError(
                f"{path} is not the file that the build wrote: its SHA-256 differs from "
                f"{SIDECAR_FILE}'s; run `dvc repro -f {_stage(folder)}`"
            )
    _require_same_machine(record, facts, folder)
    return record


def _require_same_machine(record: EngineRecord, facts: Mapping[str, Any], folder: Path) -> None:
    problems = (
        [f"it was built for {record.backend}, which this machine does not have"]
        if not facts
        else list(find_differences(record, facts))
    )
    if problems:
        raise PlanForeignError(
            f"the plan in {folder} is not for this machine: {'; '.join(problems)}; run "
            f"`dvc repro -f {_stage(folder)}`"
        )


def find_differences(record: EngineRecord, here: Mapping[str, Any]) -> Iterator[str]:
    """Yield what keeps a plan from this machine, one sentence per fact.

    Facts are equal, or differ as the plan allows: `details.may_differ` maps a fact to "any",
    "later" (the same TensorRT or a later one) or "from X" (at least version X).
    """
    too_old = here.get(DRIVER_FACT)
    if too_old:
        yield (
            f"its driver {too_old['driver']} is too old for CUDA {too_old['cuda']}, which needs "
            f"{too_old['needs']}: install a newer driver"
        )
    allowed = record.details.get("may_differ", {})
    for name in sorted((record.facts.keys() | here.keys()) - {DRIVER_FACT}):
        built_for, found = record.facts.get(name), here.get(name)
        rule = allowed.get(name, "")
        if built_for == found or _allows(rule, built_for, found):
            continue
        built = "without" if built_for is None else "for"
        shown = "" if built_for is None else f" {built_for!r}"
        has = "none" if found is None else repr(found)
        exception = (
            f" (it takes {RULES[rule.partition(' ')[0]]}{rule.partition(' ')[2]})" if rule else ""
        )
        yield f"it was built {built} {name}{shown}, this machine has {has}{exception}"


def _allows(rule: str, built_for: Any, found: Any) -> bool:
    """Say whether a plan's rule lets a fact differ; a fact that is not known is never allowed."""
    if not rule or built_for is None or found is None:
        return False
    word, _, least = rule.partition(" ")
    if word == "any":
        return True
    here = _numbers(found)
    if word == "from":
        return here >= _numbers(least)
    built = _numbers(built_for)
    return here >= built and (here[0], built[0]) in LATER_MAJORS | {(built[0], built[0])}


def _numbers(version: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in str(version).split(".") if part.isdigit()) or (0,)


def _stage(folder: Path) -> str:
    return f"build@{folder.name}"
