"""engine.json: what lies beside every plan, and the gate that whoever opens one passes.

DVC alone trusts a corrupted read-only cache object and a `dvc commit -f` after a change of
hardware; this does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trtproof import artifacts
from trtproof.errors import PlanCorruptError, PlanForeignError, PlanMissingError
from trtproof.reason import Reason

SIDECAR_FILE = "engine.json"
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
        PlanForeignError: built for another machine or version; names the first differing fact.
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
    for name in sorted(record.facts.keys() | facts.keys()):
        built_for, here = record.facts.get(name), facts.get(name)
        if built_for != here:
            raise PlanForeignError(
                f"the plan in {folder} was built for {name} {built_for!r}, this machine has "
                f"{here!r}; run `dvc repro -f {_stage(folder)}`"
            )


def _stage(folder: Path) -> str:
    return f"build@{folder.name}"
