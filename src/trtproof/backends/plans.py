"""Build one variant's plan into its folder, or record why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import msgspec

from trtproof import artifacts
from trtproof.backends import BACKENDS
from trtproof.backends.base import Backend, BuildSpec, CompileRecord
from trtproof.backends.host import SIGNATURE_FILE
from trtproof.backends.reasons import needs_gpu
from trtproof.config import BuildConfig
from trtproof.errors import BackendError, BuildFailedError, MissingFileError, PlanCorruptError
from trtproof.models.base import load_files
from trtproof.reason import Reason
from trtproof.sidecar import EngineRecord
from trtproof.working_tree import describe_working_tree

LAYERS_FILE: Final = "layers.json"
LOG_FILE: Final = "build.log"
CONVERT_RECORD: Final = "record.json"
EXPORT_RECORD: Final = "export.json"
UNCONVERTED_EXECUTOR: Final = "onnxruntime"
UNCONVERTED: Final = "fp32"
"""What a model that no precision pass converted computes in."""


@dataclass(frozen=True)
class BuildRequest:
    """What a plan is made from: settings, model, machine, and the key of what computes it.

    `facts` is hardware.json's engine section of the backend, `slug` the device's name, `key`
    inputs.json's `code.build.<backend>`, `plan_key` its `plans.<variant>`: the SHA-256 of a plan
    made elsewhere.
    """

    variant: str
    backend: str
    recipe: str
    source: Path
    settings: BuildConfig
    facts: Mapping[str, Any]
    slug: str
    key: Mapping[str, Any]
    pythonpath: Sequence[str] = ()
    plan_key: Mapping[str, Any] = field(default_factory=dict)


def build_plan(request: BuildRequest, out: Path) -> EngineRecord:
    """Write the plan and everything that makes the folder self-contained; return its record.

    A backend that cannot run here, and a build that fails for a reason that the next try meets
    again, are outcomes: the record says which and why, and holds nothing that varies. A plan whose
    time would mislead here is made all the same, to be evaluated only.

    Raises:
        MissingFileError, InputError: the model to build from is not there or broken.
        ConfigError: a build option that the backend does not have.
        BackendError: the build may succeed another time (out of memory).
    """
    backend = BACKENDS.load(request.backend)
    blank = _blank_record(request, backend)
    if blank.reason is not None:
        return blank
    source = artifacts.require(request.source, made_by=_made_by(request.source))
    record = replace(blank, source=artifacts.sha256_folder(source))
    started = perf_counter()
    try:
        compiled = backend.compile(load_files(source), _make_spec(request, blank.precision), out)
    except BuildFailedError as error:
        return _record_failure(record, error, out)
    except MemoryError as error:
        raise BackendError(f"building {request.variant} ran out of memory") from error
    _complete_folder(out, source, compiled)
    seconds = perf_counter() - started
    return replace(
        record,
        status="evaluated_only" if compiled.untimed else "built",
        reason=compiled.untimed,
        precision=compiled.precision or record.precision,
        plan=compiled.plan,
        files=artifacts.sha256_folder(out),
        details=dict(compiled.facts),
        made=_describe_making(request, seconds),
    )


def _describe_making(request: BuildRequest, seconds: float) -> dict[str, Any]:
    """Return when, how long, where and from which state of the working tree a plan was built."""
    tree = describe_working_tree()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "slug": request.slug,
        "commit": tree["commit"],
        "changed": tree["changed"],
    }


def _blank_record(request: BuildRequest, backend: Backend) -> EngineRecord:
    """Return the record of a variant that is not built, with the backend's reason if it has one."""
    precision = read_precision(request.source)
    return EngineRecord(
        variant=request.variant,
        backend=request.backend,
        recipe=request.recipe,
        precision=precision,
        status="unavailable",
        facts=request.facts,
        key=request.key,
        settings=msgspec.to_builtins(request.settings),
        reason=backend.unavailable(request.facts, precision) or _refuse_device(request),
    )


def _refuse_device(request: BuildRequest) -> Reason | None:
    """Return why a variant for a GPU is not built here, or None."""
    on_cpu = request.facts.get("device") == "cpu"
    return needs_gpu() if on_cpu and request.settings.device == "cuda" else None


def read_precision(source: Path) -> str:
    """Return what the model in this folder computes in, as its precision pass stated it."""
    record = source / CONVERT_RECORD
    if not record.exists():
        return UNCONVERTED
    return str(artifacts.read_json(record, made_by=_made_by(source))["precision"])


def read_executor(source: Path) -> str:
    """Return how the model in this folder is computed truthfully without its target."""
    record = source / CONVERT_RECORD
    if not record.exists():
        return UNCONVERTED_EXECUTOR
    stated = artifacts.read_json(record, made_by=_made_by(source))
    return str(stated.get("executor", UNCONVERTED_EXECUTOR))


def _make_spec(request: BuildRequest, precision: str) -> BuildSpec:
    settings = request.settings
    return BuildSpec(
        precision=precision,
        tf32=settings.tf32,
        workspace_mib=settings.workspace_mib,
        profiles=[
            {name: (axis.min, axis.opt, axis.max) for name, axis in profile.items()}
            for profile in settings.profiles
        ],
        options=settings.options,
        facts=request.facts,
        model_config=_read_model_config(request.source),
        pythonpath=request.pythonpath,
        plan=_require_keyed_plan(request),
        executor=read_executor(request.source),
    )


def _require_keyed_plan(request: BuildRequest) -> Path | None:
    """Return the plan made elsewhere, if there is one and it is the one that was keyed.

    Raises:
        MissingFileError: it is not there.
        PlanCorruptError: it is another file than the probe hashed.
    """
    if request.settings.plan is None:
        return None
    path = Path(request.settings.plan)
    if not path.is_file():
        raise MissingFileError(path, repair=f"put back what variants.{request.variant} names")
    if artifacts.sha256_file(path) != request.plan_key.get("sha256"):
        raise PlanCorruptError(f"{path} is not the file that the probe hashed; run `dvc repro`")
    return path


def _read_model_config(source: Path) -> dict[str, Any]:
    """Return conf/model as export stored it, for the reference; nothing for a converted model.

    It comes from the artifact and not from params.yaml: the plan must be of the exported model.
    """
    record = source / EXPORT_RECORD
    if not record.exists():
        return {}
    return dict(artifacts.read_json(record, made_by="export").get("config", {}))


def _record_failure(record: EngineRecord, error: BuildFailedError, out: Path) -> EngineRecord:
    """Return the record of a build that failed; what it had written is removed, its cause kept."""
    for path in out.iterdir():
        path.unlink()
    artifacts.write_text(out / LOG_FILE, f"{error}\n{error.log}")
    reason = Reason(code=error.code, text=error.text, repair=error.repair)
    files = artifacts.sha256_folder(out)
    return replace(record, status="failed", reason=reason, files=files)


def _complete_folder(out: Path, source: Path, compiled: CompileRecord) -> None:
    """Write what every variant's folder has beside its plan."""
    artifacts.require(out / compiled.plan, made_by=f"build@{out.name}")
    shutil.copyfile(source / SIGNATURE_FILE, out / SIGNATURE_FILE)
    layers = {"schema": 1, "layers": list(compiled.layers)}
    artifacts.write_json(out / LAYERS_FILE, layers)
    artifacts.write_text(out / LOG_FILE, compiled.log)


def _made_by(source: Path) -> str:
    """Return the stage that makes a source folder: `export`, or `convert@RECIPE`."""
    step, *item = source.parts[1:] or (source.name,)
    return "@".join([step, *item])
