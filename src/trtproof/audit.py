"""The typed graph against the fp32 export on the evaluation split, without the target's hardware.

What differs here is what the precision itself costs; what differs more on a device is the engine's
doing.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.backends.onnxruntime import Graph, library_version, open_graph
from trtproof.precision.executors import prepare
from trtproof.precision.graph import batch_extent, load_model
from trtproof.progress import track
from trtproof.scoring.kept import pack_outputs
from trtproof.scoring.values import pack_labels
from trtproof.tensor import Array, Feeds

if TYPE_CHECKING:
    from trtproof.data.base import Batch, Dataset
    from trtproof.scoring.base import Scorer

AUDIT_FILE: Final = "audit.json"
OUTPUTS_FILE: Final = "outputs.npz"

DIGITS: Final = 6
"""Significant digits of a figure: sums in another order differ beyond them."""


@dataclass
class OutputError:
    """One output's sums over all samples, in float64."""

    max_abs: float = 0.0
    reference_square: float = 0.0
    converted_square: float = 0.0
    product: float = 0.0
    difference_square: float = 0.0
    nan_count: int = 0
    inf_count: int = 0
    is_comparable: bool = True
    """False once a value was not finite or the two graphs gave different shapes."""

    def add(self, reference: Array, converted: Array) -> None:
        """Take one batch's output of both graphs."""
        if np.issubdtype(converted.dtype, np.floating):
            self.nan_count += int(np.isnan(converted).sum())
            self.inf_count += int(np.isinf(converted).sum())
        if reference.shape != converted.shape or not _all_finite(reference, converted):
            self.is_comparable = False
        if not self.is_comparable or reference.size == 0:
            return
        before, after = reference.astype(np.float64).ravel(), converted.astype(np.float64).ravel()
        difference = after - before
        self.max_abs = max(self.max_abs, float(np.abs(difference).max()))
        self.reference_square += float(before @ before)
        self.converted_square += float(after @ after)
        self.product += float(before @ after)
        self.difference_square += float(difference @ difference)

    def to_json(self) -> dict[str, float | int | None]:
        """Return plain data for audit.json.

        `sqnr_db` = 10 log10(sum of reference**2 / sum of difference**2), null where nothing
        differs (then max_abs is 0); every figure is null where the outputs cannot be compared.
        """
        figures = (
            {"max_abs": self.max_abs, "cosine": self._cosine(), "sqnr_db": self._sqnr_db()}
            if self.is_comparable
            else {"max_abs": None, "cosine": None, "sqnr_db": None}
        )
        rounded = {name: round_figure(value) for name, value in figures.items()}
        return rounded | {"nan_count": self.nan_count, "inf_count": self.inf_count}

    def _cosine(self) -> float | None:
        if self.difference_square == 0:
            return 1.0
        norm = math.sqrt(self.reference_square) * math.sqrt(self.converted_square)
        return self.product / norm if norm else None

    def _sqnr_db(self) -> float | None:
        if self.difference_square == 0 or self.reference_square == 0:
            return None
        return 10 * math.log10(self.reference_square / self.difference_square)


def _all_finite(*arrays: Array) -> bool:
    return all(
        bool(np.isfinite(array).all())
        for array in arrays
        if np.issubdtype(array.dtype, np.floating)
    )


def round_figure(value: float | None) -> float | None:
    """Return a number with DIGITS significant digits."""
    return None if value is None else float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True)
class Comparison:
    """The two graphs, and the `executor` of the converted one's precision record.

    It is how that graph is run truthfully here.
    """

    reference: Path
    converted: Path
    executor: str


@dataclass
class Kept:
    """The converted graph's outputs for the first samples, to compare with other graphs' later."""

    most: int
    indices: list[int] = field(default_factory=list)
    outputs: list[Feeds] = field(default_factory=list)

    def add(self, outputs: Feeds, batch: Batch) -> None:
        """Take one batch's outputs, as far as samples are still wanted."""
        left = self.most - len(self.indices)
        if left > 0:
            self.outputs.append({name: array[:left] for name, array in outputs.items()})
            self.indices += [int(index) for index in batch.indices[:left]]

    def write(self, path: Path) -> None:
        """Write the outputs as .npz; equal outputs give equal bytes."""
        np.savez(path, allow_pickle=False, **pack_outputs(self.outputs))


def audit(
    comparison: Comparison,
    dataset: Dataset,
    *,
    batch: int,
    scorers: Mapping[str, Scorer],
    kept: Kept,
) -> dict[str, Any]:
    """Return `samples_count`, `outputs` (error per output) and `scores` of the converted graph.

    `scores` is null where samples have no labels or an output has a NaN or an infinity, on which
    no metric is defined. `kept` takes the outputs, whose samples are `kept_indices`.

    Raises:
        InputError: unknown executor, or an output is not what a scorer needs.
        ModelError: a model takes batches of a fixed size that does not divide the samples.
        BackendError: ONNX Runtime cannot run a graph.
    """
    count = len(dataset)
    proto = load_model(comparison.converted, with_weights=False)
    extent = batch_extent(proto, wanted=batch, samples_count=count)
    before, after = _open_both(comparison)
    errors = {name: OutputError() for name in after.outputs}
    tally = _Tally(scorers)
    for item in track(dataset.batches(extent), title="audit", total=-(-count // extent)):
        reference, converted = before.run(item.feeds), after.run(item.feeds)
        kept.add(converted, item)
        for name, error in errors.items():
            error.add(reference[name], converted[name])
        if all(error.nan_count + error.inf_count == 0 for error in errors.values()):
            tally.add(converted, item)
        else:
            tally.give_up()
    outputs = {name: error.to_json() for name, error in errors.items()}
    return {
        "samples_count": count,
        "outputs": outputs,
        "scores": tally.scores(),
        "kept_indices": kept.indices,
    }


def _open_both(comparison: Comparison) -> tuple[Graph, Graph]:
    """Return the fp32 export and the converted graph, each as it is run truthfully here."""
    threads = available_threads()
    with tempfile.TemporaryDirectory(prefix="trtproof-") as temporary:
        ready = prepare(
            comparison.converted,
            comparison.executor,
            Path(temporary),
            version=library_version(),
        )
        after = open_graph(ready.model, threads=threads, optimized=ready.optimized)
    return open_graph(comparison.reference, threads=threads), after


class _Tally:
    """Predictions of every scorer over all samples, as long as there are labels to score with."""

    def __init__(self, scorers: Mapping[str, Scorer]) -> None:
        self._scorers = scorers
        self._predictions: dict[str, list[Any]] = {name: [] for name in scorers}
        self._labels: list[Any] = []
        self._is_open = True

    def add(self, outputs: Mapping[str, Array], batch: Batch) -> None:
        """Take one batch's outputs."""
        if batch.labels is None:
            self.give_up()
        if not self._is_open:
            return
        self._labels.extend(pack_labels(batch.labels or ()))
        for name, scorer in self._scorers.items():
            self._predictions[name].extend(scorer.predictions(dict(outputs), batch))

    def give_up(self) -> None:
        """Give no scores: there is a sample that none can be computed for."""
        self._is_open = False

    def scores(self) -> dict[str, dict[str, float | None]] | None:
        """Return scorer -> metric -> value, or None."""
        if not self._is_open or not self._labels:
            return None
        return {
            name: {
                metric: round_figure(float(value))
                for metric, value in scorer.score(self._predictions[name], self._labels).items()
            }
            for name, scorer in self._scorers.items()
        }


def available_threads() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
