"""Which variants a session can time, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trtproof import artifacts
from trtproof.backends import BACKENDS
from trtproof.backends.base import RunOptions
from trtproof.backends.host import load_signature
from trtproof.benchmark_config import BenchmarkConfig
from trtproof.config import RunConfig, VariantConfig
from trtproof.cores import usable_cores
from trtproof.data.base import Batch, Dataset
from trtproof.data.same_shape import take_same_shape
from trtproof.errors import ConfigError, HardwareError
from trtproof.hardware import Hardware
from trtproof.measure.link import Contender
from trtproof.measure.schedule import AGAIN, name_contenders
from trtproof.sidecar import EngineRecord, read_record, verify_plan


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
    config: BenchmarkConfig,
    pythonpath: Sequence[str],
) -> Field:
    """Return the contenders in the first round's order: every plan once, then the second runs.

    Raises:
        PlanError: a plan is missing, changed or of another machine.
        ConfigError: a batch size that a plan was not built for, or a core that is not here.
        HardwareError: no variant has a plan here.
    """
    records = {name: read_record(artifacts.build(name)) for name in variants}
    entries = {
        name: enter_plan(
            artifacts.build(name),
            variants[name].run,
            hardware=hardware,
            config=config,
            pythonpath=pythonpath,
        )
        for name, record in records.items()
        if record.status == "built"
    }
    if not entries:
        why = "; ".join(f"{name}: {_why_not(record)}" for name, record in records.items())
        raise HardwareError(
            f"no variant can be measured on {hardware.slug} ({why}); "
            "add a variant that can run here, as in `variant=[torch-fp32]`"
        )
    controls = [name for name, variant in variants.items() if variant.control]
    names = name_contenders(list(entries), reference, controls)
    again = [
        replace(entries[name.removesuffix(AGAIN)], name=name) for name in names[len(entries) :]
    ]
    return Field(records=records, contenders=[*entries.values(), *again])


def enter_plan(
    folder: Path,
    run: RunConfig,
    *,
    hardware: Hardware,
    config: BenchmarkConfig,
    pythonpath: Sequence[str],
) -> Contender:
    """Return a variant's folder as a contender, once its plan may be opened here.

    Raises:
        PlanError: the plan is missing, changed or of another machine.
        ConfigError: a batch size that it was not built for, or a core that is not here.
    """
    cores = _choose_cores(config)
    record = read_record(folder)
    verify_plan(folder, hardware.engine.get(record.backend, {}))
    return Contender(
        name=record.variant,
        variant=record.variant,
        backend=BACKENDS.path(record.backend),
        folder=folder,
        plan=str(record.plan),
        options=_make_options(record, run, cores, pythonpath),
        least_batch=_require_batches(folder, record, config.all_batches),
    )


def take_items(dataset: Dataset, config: BenchmarkConfig) -> Batch:
    """Return samples of one shape as one batch: those that requests rotate over.

    They are the split's first, or where its samples differ in shape, the first of the shape that
    most have. At least `benchmark.items`, and where there are so many, as many as the largest
    batch.

    Raises:
        ConfigError: the split has fewer than `benchmark.items` such samples.
    """
    if len(dataset) < config.items:
        raise ConfigError(
            key="benchmark.items",
            problem=f"{config.items}, but the evaluation split has {len(dataset)} samples",
            repair="lower it or give more samples",
        )
    count = min(max(config.items, *config.all_batches), len(dataset))
    items = take_same_shape(dataset, count)
    if len(items.indices) < config.items:
        shapes = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in items.feeds.items())
        raise ConfigError(
            key="benchmark.items",
            problem=f"{config.items}, but no more than {len(items.indices)} samples of the "
            f"evaluation split have one shape ({shapes})",
            repair="lower it, or pad the samples (`dataset.collate`)",
        )
    return items


def _make_options(
    record: EngineRecord, run: RunConfig, cores: Sequence[int], pythonpath: Sequence[str]
) -> RunOptions:
    return RunOptions(
        threads=run.threads or len(cores),
        cuda_graph=run.cuda_graph,
        device=str(record.facts.get("device", "cuda")),
        pythonpath=tuple(pythonpath),
        context_memory=run.context_memory,
        weight_streaming_mib=run.weight_streaming_mib,
    )


def _choose_cores(config: BenchmarkConfig) -> Sequence[int]:
    """Return the cores that workers will use."""
    usable = usable_cores()
    for core in config.cpu_affinity or ():
        if core not in usable:
            raise ConfigError(
                key="benchmark.cpu_affinity",
                problem=f"core {core} may not be used here (usable: {usable})",
                repair="correct it, or set it to null",
            )
    return sorted(set(config.cpu_affinity)) if config.cpu_affinity else usable


def _require_batches(folder: Path, record: EngineRecord, batches: Sequence[int]) -> int:
    """Refuse a batch size outside of every profile of the plan, or other than its fixed one.

    Returns the smallest batch that the plan takes.
    """
    axis = load_signature(folder).inputs[0].shape[0]
    profiles: Sequence[Mapping[str, Any]] = record.settings["profiles"]
    if isinstance(axis, int):
        bounds = [(axis, axis)]
    else:
        found = [profile[axis] for profile in profiles if axis in profile]
        bounds = [(bound["min"], bound["max"]) for bound in found]
    for batch in batches:
        if not any(low <= batch <= high for low, high in bounds):
            raise ConfigError(
                key="benchmark.batches",
                problem=f"{batch} is outside of what {record.variant} was built for ({axis})",
                repair="correct it, or model.axes in conf/, and run `trtproof compose`",
            )
    return min(low for low, _ in bounds)


def _why_not(record: EngineRecord) -> str:
    return record.reason.text if record.reason else record.status


def identify_device(hardware: Hardware) -> str:
    """Return the short hash of the device that everything runs on.

    Its kind, and its own identity where the system tells one device of a kind from another.
    """
    identity = {"slug": hardware.slug, "uuid": str(hardware.bench.get("gpu_uuid", ""))}
    return artifacts.sha256_json(identity)[:12]
