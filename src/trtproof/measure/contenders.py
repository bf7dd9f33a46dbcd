"""Which variants a session can time, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trtproof import artifacts
from trtproof.backends import BACKENDS
from trtproof.backends.base import RunOptions
from trtproof.backends.host import load_signature, resolve_threads
from trtproof.config import BenchmarkConfig, VariantConfig
from trtproof.data.base import Dataset
from trtproof.errors import ConfigError, HardwareError
from trtproof.hardware import Hardware
from trtproof.measure.link import Contender
from trtproof.measure.schedule import name_contenders
from trtproof.sidecar import EngineRecord, read_record, verify_plan
from trtproof.tensor import Feeds


@dataclass(frozen=True)
class Field:
    """All configured variants: the records of all, and the contenders of those with a plan."""

    records: Mapping[str, EngineRecord]
    contenders: Sequence[Contender] = field(default_factory=tuple)


def line_up(
    variants: Mapping[str, VariantConfig],
    *,
    reference: str,
    hardware: Hardware,
    batches: Sequence[int],
    pythonpath: Sequence[str],
) -> Field:
    """Return the contenders in the first round's order: every plan once, the reference again last.

    Raises:
        PlanError: a plan is missing, changed or of another machine.
        ConfigError: a batch size that a plan was not built for.
        HardwareError: no variant has a plan here.
    """
    records = {name: read_record(artifacts.build(name)) for name in variants}
    entries: dict[str, Contender] = {}
    for name, record in records.items():
        if record.status == "built":
            verify_plan(artifacts.build(name), hardware.engine.get(record.backend, {}))
            _require_batches(artifacts.build(name), record, batches)
            entries[name] = _make_contender(name, record, variants[name], pythonpath)
    if not entries:
        why = "; ".join(f"{name}: {_why_not(record)}" for name, record in records.items())
        raise HardwareError(
            f"no variant can be measured on {hardware.slug} ({why}); "
            "add a variant that can run here, as in `variant=[torch-fp32]`"
        )
    names = name_contenders(list(entries), reference)
    again = names[len(entries) :]
    contenders = [
        *entries.values(),
        *(replace(entries[reference], name=name) for name in again),
    ]
    return Field(records=records, contenders=contenders)


def take_items(dataset: Dataset, config: BenchmarkConfig) -> Feeds:
    """Return the first samples of the split as one batch: those that requests rotate over.

    At least `benchmark.items`, and where the split has them as many as the largest batch.

    Raises:
        ConfigError: the split has fewer than `benchmark.items` samples.
    """
    if len(dataset) < config.items:
        raise ConfigError(
            key="benchmark.items",
            problem=f"{config.items}, but the evaluation split has {len(dataset)} samples",
            repair="lower it or give more samples",
        )
    count = min(max(config.items, *config.batches), len(dataset))
    return next(iter(dataset.batches(count))).feeds


def _make_contender(
    name: str, record: EngineRecord, config: VariantConfig, pythonpath: Sequence[str]
) -> Contender:
    options = RunOptions(
        threads=resolve_threads(config.run.threads),
        cuda_graph=config.run.cuda_graph,
        device=str(record.facts.get("device", "cuda")),
        pythonpath=tuple(pythonpath),
    )
    return Contender(
        name=name,
        variant=name,
        backend=BACKENDS.path(record.backend),
        folder=artifacts.build(name),
        plan=str(record.plan),
        options=options,
    )


def _require_batches(folder: Path, record: EngineRecord, batches: Sequence[int]) -> None:
    """Refuse a batch size outside of every profile of the plan, or other than its fixed one."""
    axis = load_signature(folder).inputs[0].shape[0]
    profiles: Sequence[Mapping[str, Any]] = record.settings["profiles"]
    for batch in batches:
        if isinstance(axis, int):
            fits = batch == axis
        else:
            bounds = [profile[axis] for profile in profiles if axis in profile]
            fits = any(bound["min"] <= batch <= bound["max"] for bound in bounds)
        if not fits:
            raise ConfigError(
                key="benchmark.batches",
                problem=f"{batch} is outside of what {record.variant} was built for ({axis})",
                repair="correct it, or model.axes in conf/, and run `trtproof compose`",
            )


def _why_not(record: EngineRecord) -> str:
    return record.reason.text if record.reason else record.status


def identify_device(hardware: Hardware) -> str:
    """Return the short hash of the device that everything runs on.

    Its kind, and its own identity where the system tells one device of a kind from another.
    """
    identity = {"slug": hardware.slug, "uuid": str(hardware.bench.get("gpu_uuid", ""))}
    return artifacts.sha256_json(identity)[:12]
