"""The data pass: run the float32 graph on every sample of a split and count all its activations.

The graph is run as exported, without ONNX Runtime's optimisation: fusion depends on which tensors
are outputs, hence on how they are grouped here. Of what convolutions and matrix products read,
which is what 8-bit precisions quantise, the size for each sample is kept too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from trtproof.backends.onnxruntime import Graph, open_graph
from trtproof.backends.onnxruntime_library import Device
from trtproof.calibration.coverage import Coverage
from trtproof.calibration.files import Calibration
from trtproof.calibration.given import RangeNames
from trtproof.calibration.histogram import Accumulator
from trtproof.calibration.samples import Sizes, measure_sizes, order_samples
from trtproof.data.arrays import first_samples
from trtproof.data.base import Batch, Dataset, Split
from trtproof.data.spread import spread
from trtproof.errors import CalibrationError
from trtproof.precision.dtypes import infer_bytes, infer_types
from trtproof.precision.graph import batch_extent, copy_external_data, load_model
from trtproof.precision.qdq_sites import CONVOLUTIONS, PRODUCTS
from trtproof.progress import track
from trtproof.tensor import Array, Feeds

ACTIVATION_BYTES: Final = 256 << 20
"""Memory of the activations that one run returns.

Where one sample has more, the tensors are collected in several passes over the data; the batch is
made smaller to fit. One tensor of one sample is the least.
"""

TENSORS_PER_PASS: Final = 512
"""Bounds the memory of the dense histograms (512 KiB each)."""


@dataclass(frozen=True)
class Plan:
    """Which tensors each pass over the data returns, and how many samples a run takes."""

    groups: tuple[tuple[str, ...], ...]
    batch: int


@dataclass(frozen=True)
class _Layout:
    """Which tensors are told apart by sample, and how many samples a run takes for that."""

    by_sample: frozenset[str]
    batch: int


@dataclass
class _Found:
    """What the passes found so far."""

    coverage: Coverage
    accumulators: dict[str, Accumulator] = field(default_factory=dict)
    sizes: dict[str, list[Sizes]] = field(default_factory=dict)

    def to_calibration(self) -> Calibration:
        """Return it all; a tensor that never had a value is left out."""
        tensors = {
            name: item.statistics()
            for name, item in sorted(self.accumulators.items())
            if not item.is_empty
        }
        samples = order_samples(self.coverage.digests, self.sizes)
        return Calibration(tensors, self.coverage.to_json(), samples)


def collect(
    model: Path,
    dataset: Dataset,
    *,
    batch: int,
    threads: int,
    device: Device = "cpu",
    split: Split = "calibration",
) -> Calibration:
    """Return ranges and histograms of every float32 activation over all samples.

    The result depends on neither batch size, threads nor the order of the samples, as far as ONNX
    Runtime computes a sample's activations alike in each case (measured for its CPU kernels).
    Evaluation samples may make NaN and infinities: these are left out of the histograms.

    Raises:
        CalibrationError: no samples, or a NaN or an infinity for a calibration sample: names the
            tensor and the sample.
        ModelError: the model takes batches of a fixed size that does not divide the samples.
        BackendError: ONNX Runtime cannot run it, or not on this device.
    """
    _require_samples(dataset, split)
    graph = load_model(model, with_weights=False)
    plan = plan_passes(graph, dataset, batch)
    found = _Found(Coverage(synthetic=dataset.synthetic))
    with tempfile.TemporaryDirectory(prefix="trtproof-calibrate-") as name:
        folder = Path(name)
        copy_external_data(graph, model.parent, folder)
        for position, group in enumerate(plan.groups):
            path = folder / f"pass{position}.onnx"
            computed = _write_with_outputs(graph, group, path)
            opened = open_graph(
                path, threads=threads, optimized=False, outputs=computed, device=device
            )
            one = _OnePass(opened, input_names(graph), group, is_strict=split == "calibration")
            layout = one.find_layout(graph, dataset, plan.batch)
            title = f"{split} samples, pass {position + 1} of {len(plan.groups)}"
            coverage = found.coverage if position == 0 else None
            one.run(_batches(dataset, layout.batch, title, coverage), layout.by_sample, found)
    return found.to_calibration()


def _require_samples(dataset: Dataset, split: Split) -> None:
    if len(dataset) == 0:
        raise CalibrationError(f"the {split} split has no samples; correct `dataset.{split}`")


def choose_evaluation(model: Path, dataset: Dataset, count: int | None) -> Dataset:
    """Return at most `count` samples of the evaluation split, evenly spread; None takes all.

    A model of a fixed batch gets a multiple of it.
    """
    extent = batch_extent(load_model(model, with_weights=False), wanted=1, samples_count=0)
    wanted = len(dataset) if count is None else min(count, len(dataset))
    return spread(dataset, max(extent, wanted - wanted % extent))


def plan_passes(graph: ModelProto, dataset: Dataset, batch: int) -> Plan:
    """Return passes that stay within ACTIVATION_BYTES and TENSORS_PER_PASS.

    Sizes come from shape inference at the first sample's shape; a tensor whose size is unknown
    counts as the largest known one. A fixed batch is kept, whatever `batch` asks for.

    Raises:
        ModelError: the model takes batches of a fixed size that does not divide the samples.
    """
    extent = batch_extent(graph, wanted=1, samples_count=len(dataset))
    first = next(iter(dataset.batches(extent)))
    known = infer_bytes(graph, {name: array.shape for name, array in first.feeds.items()})
    names = activation_names(graph)
    largest = max((known[name] for name in names if name in known), default=ACTIVATION_BYTES)
    sizes = {name: known.get(name, largest) for name in names}
    groups = tuple(_group(sizes))
    fullest = max(sum(sizes[name] for name in group) for group in groups)
    fitting = max(1, ACTIVATION_BYTES // max(1, fullest))
    return Plan(groups, extent if extent > 1 else min(batch, fitting))


def _group(sizes: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    group: list[str] = []
    filled = 0
    for name, size in sizes.items():
        if group and (filled + size > ACTIVATION_BYTES or len(group) == TENSORS_PER_PASS):
            yield tuple(group)
            group, filled = [], 0
        group.append(name)
        filled += size
    yield tuple(group)


def activation_names(graph: ModelProto) -> list[str]:
    """Return the float32 graph inputs and node outputs in graph order, constants left out."""
    types = infer_types(graph)
    names = input_names(graph)
    for node in graph.graph.node:
        if node.op_type != "Constant":
            names.extend(node.output)
    return [name for name in names if types.get(name) == TensorProto.FLOAT]


def input_names(graph: ModelProto) -> list[str]:
    """Return the names of the graph inputs that a run must feed."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    return [value.name for value in graph.graph.input if value.name not in weights]


def _write_with_outputs(graph: ModelProto, names: Sequence[str], path: Path) -> list[str]:
    """Write the model with these tensors as its only outputs, and return their names.

    Graph inputs among them are no outputs; where nothing else is left, one of the model's own is.
    """
    computed = [name for name in names if name not in input_names(graph)]
    computed = computed or [graph.graph.output[0].name]
    extended = ModelProto()
    extended.CopyFrom(graph)
    del extended.graph.output[:]
    extended.graph.output.extend(ValueInfoProto(name=name) for name in computed)
    path.write_bytes(extended.SerializeToString(deterministic=True))
    return computed


def _batches(dataset: Dataset, size: int, title: str, coverage: Coverage | None) -> Iterator[Batch]:
    total = -(-len(dataset) // size)
    for batch in track(dataset.batches(size), title=title, total=total):
        if coverage is not None:
            coverage.add(batch)
        yield batch


@dataclass(frozen=True)
class _OnePass:
    """One group of tensors; `is_strict` refuses what is not finite."""

    opened: Graph
    inputs: Sequence[str]
    names: Sequence[str]
    is_strict: bool

    def find_layout(self, graph: ModelProto, dataset: Dataset, batch: int) -> _Layout:
        """Return which of the multiplied tensors grow with the number of samples.

        Where one has them elsewhere than along its first axis, samples are run one at a time: then
        all of it is one sample's. A model of a fixed batch cannot, and such tensors are left out.
        """
        multiplied = multiplied_tensors(graph)
        names = [name for name in self.names if name in multiplied]
        extent = batch_extent(graph, wanted=0, samples_count=len(dataset))
        if extent:
            arrays = self._compute(first_samples(dataset, extent))
            led = [name for name in names if arrays[name].shape[:1] == (extent,)]
            return _Layout(frozenset(led), batch)
        one, two = (self._compute(first_samples(dataset, count)) for count in (1, 2))
        growing = frozenset(name for name in names if one[name].shape != two[name].shape)
        in_front = all(two[name].shape == (2, *one[name].shape[1:]) for name in growing)
        return _Layout(growing, batch if in_front else 1)

    def run(self, batches: Iterator[Batch], by_sample: Collection[str], found: _Found) -> None:
        """Count all values of all batches.

        Raises:
            CalibrationError: a NaN or an infinity where that is refused.
        """
        accumulators = {name: Accumulator() for name in self.names}
        sizes: dict[str, list[Sizes]] = {name: [] for name in by_sample}
        for batch in batches:
            arrays = self._compute(batch.feeds)
            for name, accumulator in accumulators.items():
                if not accumulator.add(arrays[name]):
                    if self.is_strict:
                        raise _not_finite(name, arrays[name], batch.indices)
                    accumulator.add(arrays[name][np.isfinite(arrays[name])])
            for name, rows in sizes.items():
                rows.append(measure_sizes(arrays[name], len(batch.indices)))
        found.accumulators |= accumulators
        found.sizes |= sizes

    def _compute(self, samples: Feeds) -> Feeds:
        feeds = {name: samples[name] for name in self.inputs if name in samples}
        return feeds | self.opened.run(feeds)


def multiplied_tensors(graph: ModelProto) -> set[str]:
    """Return the activations that convolutions and matrix products read; all, where there is none.

    They are what 8-bit precisions quantise first, and what a calibration set is judged by.
    """
    activations = set(activation_names(graph))
    read = {
        name
        for node in graph.graph.node
        if node.op_type in CONVOLUTIONS | PRODUCTS
        for name in node.input[:2]
    }
    return read & activations or activations


def describe_graph(graph: ModelProto) -> RangeNames:
    """Return the names that a file of ranges is checked against."""
    activations = set(activation_names(graph))
    weights = {tensor.name for tensor in graph.graph.initializer}
    others = {name for node in graph.graph.node for name in node.output}
    return RangeNames(activations | weights | others, activations, multiplied_tensors(graph))


def _not_finite(name: str, values: Array, indices: Sequence[int]) -> CalibrationError:
    """Return the error that names the first sample of a batch whose values are not all finite."""
    where = f"samples {indices[0]} to {indices[-1]}"
    if values.ndim and len(values) == len(indices):
        wrong = ~np.isfinite(values.reshape(len(indices), -1)).all(axis=1)
        where = f"sample {indices[int(wrong.argmax())]}"
    kind = "NaN" if np.isnan(values).any() else "infinity"
    return CalibrationError(
        f"tensor {name!r} has a {kind} for {where} of the calibration split; correct the sample, "
        "or the model where it computes infinities on purpose (masks: use a large finite number)"
    )
