"""Run a plan over the evaluation split: predictions, scores, and outputs to compare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from trtproof import artifacts, inputs, progress, stage
from trtproof.backends import BACKENDS
from trtproof.backends.base import Engine, Runner, RunOptions, run_once
from trtproof.backends.host import load_signature, resolve_threads
from trtproof.config import DatasetConfig, EvaluateConfig, ModelConfig, RunConfig, load_section
from trtproof.data.base import Batch, Dataset, Label
from trtproof.errors import ConfigError, InputError
from trtproof.scoring import load_scorer
from trtproof.scoring.base import Prediction, Scorer
from trtproof.scoring.kept import pack_outputs
from trtproof.scoring.plan_fit import require_fit
from trtproof.scoring.values import pack_labels
from trtproof.sidecar import EngineRecord
from trtproof.tensor import Feeds, Signature, batch_size

SCORES_FILE: Final = "scores.json"
PREDICTIONS_FILE: Final = "predictions.json"
OUTPUTS_FILE: Final = "outputs.npz"
NO_LABELS: Final = {
    "code": "no_labels",
    "text": "the evaluation split has no labels",
    "repair": "give the dataset labels",
}


@dataclass
class Evaluation:
    """What a pass over the split collected; `kept` holds the outputs of the first samples.

    A scorer in `refused` has no predictions: without labels they would only be compared, so that
    what it says of the outputs is a reason and no error.
    """

    predictions: dict[str, list[Prediction]]
    indices: list[int] = field(default_factory=list)
    labels: list[Label] | None = field(default_factory=list)
    kept: list[Feeds] = field(default_factory=list)
    not_finite: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenablePlan:
    """A plan whose folder has been verified, and how it is run."""

    folder: Path
    record: EngineRecord
    run: RunConfig
    pythonpath: Sequence[str] = ()

    @property
    def options(self) -> RunOptions:
        """Return the options to open it with."""
        return RunOptions(
            threads=resolve_threads(self.run.threads),
            cuda_graph=self.run.cuda_graph,
            device=str(self.record.facts.get("device", "cuda")),
            pythonpath=tuple(self.pythonpath),
            context_memory=self.run.context_memory,
            weight_streaming_mib=self.run.weight_streaming_mib,
        )


@dataclass(frozen=True)
class BatchBounds:
    """The extents of axis 0 that a plan takes; equal ones for a fixed batch."""

    least: int
    most: int

    def fit(self, wanted: int) -> int:
        """Return the extent nearest to the wanted one."""
        return min(max(wanted, self.least), self.most)


def guard_inputs(pythonpath: Sequence[str], scorers: Sequence[str]) -> None:
    """From now on stop this process when it reads a file of the user that is in no key.

    A file that a scorer reads is keyed through `dataset.files`.

    Raises:
        MissingFileError, InputError: a keyed file is not there.
    """
    model = load_section(ModelConfig, "model")
    dataset = load_section(DatasetConfig, "dataset")
    allowed = inputs.keyed_files(model, dataset, pythonpath, scorers)
    stage.guard_opens(allowed, setting="dataset.files", pythonpath=pythonpath)


def load_scorers(names: Sequence[str]) -> dict[str, Scorer]:
    """Return the scorers by name.

    Raises:
        UnknownNameError, ImportPathError: there is no such one.
    """
    return {name: load_scorer(name) for name in names}


def evaluate_plan(
    plan: OpenablePlan, dataset: Dataset, scorers: Mapping[str, Scorer], config: EvaluateConfig
) -> Evaluation:
    """Return predictions and outputs of every sample, in the split's order.

    Batches hold `evaluate.batch` samples, or as many as the plan takes.

    Raises:
        InputError: the split is empty, or a scorer cannot read the outputs of labelled samples.
        BackendError: the plan cannot be opened or run.
    """
    if not len(dataset):
        problem = "the evaluation split has no samples; correct `dataset.evaluation`"
        raise InputError(problem)
    record, signature = plan.record, load_signature(plan.folder)
    bounds = find_bounds(signature, record)
    size = bounds.fit(config.batch)
    result = Evaluation(predictions={name: [] for name in scorers})
    backend = BACKENDS.load(record.backend)
    opened = backend.open(plan.folder, str(record.plan), plan.options)
    with opened as engine, _runner(engine) as runner:
        batches = dataset.batches(size)
        total = math.ceil(len(dataset) / size)
        for batch in progress.track(batches, title=f"evaluating {record.variant}", total=total):
            require_fit(batch, signature, record.settings["profiles"])
            outputs = _answer(runner, batch.feeds, least=bounds.least)
            _collect(result, batch, outputs, scorers, keep=config.keep_outputs)
    return result


def find_bounds(signature: Signature, record: EngineRecord) -> BatchBounds:
    """Return the batch extents of a plan's first profile that bounds them.

    Raises:
        ConfigError: no profile bounds the batch axis.
    """
    axis = signature.inputs[0].shape[0]
    if isinstance(axis, int):
        return BatchBounds(axis, axis)
    for profile in record.settings["profiles"]:
        if axis in profile:
            return BatchBounds(profile[axis]["min"], profile[axis]["max"])
    raise ConfigError(
        key=f"variants.{record.variant}.build.profiles",
        problem=f"no profile bounds the batch axis {axis!r}",
        repair="give its min, opt and max",
    )


@contextmanager
def _runner(engine: Engine) -> Iterator[Runner]:
    """Hold a runner, which is closed before its engine goes."""
    runner = engine.runner(0)
    try:
        yield runner
    finally:
        runner.close()


def _answer(runner: Runner, feeds: Feeds, *, least: int) -> Feeds:
    """Return the outputs of one batch; one smaller than the plan takes is filled up and cut."""
    count = batch_size(feeds)
    if count < least:
        positions = np.arange(least) % count
        feeds = {name: np.take(array, positions, axis=0) for name, array in feeds.items()}
    outputs = run_once(runner, feeds)
    return {name: array[:count] for name, array in outputs.items()}


def _collect(
    result: Evaluation,
    batch: Batch,
    outputs: Feeds,
    scorers: Mapping[str, Scorer],
    *,
    keep: int,
) -> None:
    left = keep - len(result.indices)
    if left > 0:
        result.kept.append({name: array[:left] for name, array in outputs.items()})
    result.indices += [int(index) for index in batch.indices]
    if batch.labels is None:
        result.labels = None
    elif result.labels is not None:
        result.labels += pack_labels(batch.labels)
    for name, array in outputs.items():
        counts = result.not_finite.setdefault(name, {"nan_count": 0, "inf_count": 0})
        counts["nan_count"] += int(np.count_nonzero(np.isnan(array)))
        counts["inf_count"] += int(np.count_nonzero(np.isinf(array)))
    for name, scorer in scorers.items():
        if name not in result.refused:
            _predict(result, batch, outputs, name=name, scorer=scorer)


def _predict(
    result: Evaluation, batch: Batch, outputs: Feeds, *, name: str, scorer: Scorer
) -> None:
    """Add one scorer's predictions.

    Raises:
        InputError: the scorer cannot read the outputs, and there are labels to score with.
    """
    try:
        result.predictions[name] += scorer.predictions(outputs, batch)
    except InputError as error:
        if batch.labels is not None:
            raise
        text, _, repair = str(error).partition("; ")
        repair = repair or f"take {name} out of `evaluate.scorers`"
        result.refused[name] = {"code": "scorer_refused", "text": text, "repair": repair}
        result.predictions[name] = []
        progress.note(f"scorer {name} is skipped: {error}")


def score(result: Evaluation, scorers: Mapping[str, Scorer]) -> dict[str, dict[str, float]]:
    """Return scorer -> metric -> value; none where the split has no labels.

    Raises:
        InputError: a scorer gave a value that is not a finite number.
    """
    labels = result.labels
    if labels is None:
        return {}
    scores: dict[str, dict[str, float]] = {}
    for name, scorer in scorers.items():
        scores[name] = dict(scorer.score(result.predictions[name], labels))
        for metric, value in scores[name].items():
            if not math.isfinite(value):
                raise InputError(f"scorer {name!r} gave {metric} = {value}; correct the scorer")
    return scores


def write_evaluation(
    out: Path,
    record: EngineRecord,
    result: Evaluation,
    scores: Mapping[str, Mapping[str, float]],
    *,
    synthetic: bool,
) -> None:
    """Write scores.json, predictions.json and outputs.npz; equal results give equal bytes."""
    labelled = result.labels is not None
    skipped = dict.fromkeys(result.predictions, NO_LABELS) | result.refused
    summary = describe_record(record) | {
        "plan_sha256": record.plan_sha256,
        "executor": record.details.get("executor", record.backend),
        "samples_count": len(result.indices),
        "labelled": labelled,
        "synthetic": synthetic,
        "scores": {name: dict(metrics) for name, metrics in scores.items()},
        "skipped": {} if labelled else skipped,
        "outputs": result.not_finite,
    }
    artifacts.write_json(out / SCORES_FILE, summary)
    predictions = {
        "schema": 1,
        "indices": result.indices,
        "labels": result.labels,
        "predictions": result.predictions,
    }
    artifacts.write_json(out / PREDICTIONS_FILE, predictions)
    np.savez(out / OUTPUTS_FILE, allow_pickle=False, **pack_outputs(result.kept))


def describe_record(record: EngineRecord) -> dict[str, Any]:
    """Return what scores.json says of every variant, also of one without a plan."""
    return {
        "schema": 1,
        "variant": record.variant,
        "status": record.status,
        "reason": record.reason.to_json() if record.reason else None,
    }


def say_not_finite(result: Evaluation, variant: str) -> None:
    """Tell the user of outputs that are NaN or infinite."""
    for name, counts in result.not_finite.items():
        if any(counts.values()):
            progress.note(
                f"{variant}: output {name!r} has {counts['nan_count']} NaN and "
                f"{counts['inf_count']} infinite values"
            )
