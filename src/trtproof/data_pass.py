"""The data pass: run the float32 graph on every calibration sample and count all its activations.

The graph is run as exported, without ONNX Runtime's optimisation: fusion depends on which tensors
are outputs, hence on how they are grouped here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto

from trtproof.backends.onnxruntime import Graph, open_graph
from trtproof.calibration.coverage import Coverage
from trtproof.calibration.files import Calibration
from trtproof.calibration.histogram import Accumulator, Statistics
from trtproof.data.base import Batch, Dataset
from trtproof.errors import CalibrationError
from trtproof.precision.dtypes import infer_bytes, infer_types
from trtproof.precision.graph import batch_extent, copy_external_data, load_model
from trtproof.progress import track
from trtproof.tensor import Array

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


def collect(model: Path, dataset: Dataset, *, batch: int, threads: int) -> Calibration:
    """Return ranges and histograms of every float32 activation over all samples.

    The result depends on neither batch size, threads nor the order of the samples, as far as ONNX
    Runtime computes a sample's activations alike in each case (measured for its CPU kernels).

    Raises:
        CalibrationError: no samples, or a NaN or an infinity: names the tensor and the sample.
        ModelError: the model takes batches of a fixed size that does not divide the samples.
        BackendError: ONNX Runtime cannot run it.
    """
    if len(dataset) == 0:
        message = "the calibration split has no samples; correct `dataset.calibration`"
        raise CalibrationError(message)
    graph = load_model(model, with_weights=False)
    wanted = batch_extent(graph, wanted=batch, samples_count=len(dataset))
    plan = plan_passes(graph, dataset, wanted)
    coverage = Coverage(synthetic=dataset.synthetic)
    tensors: dict[str, Statistics] = {}
    with tempfile.TemporaryDirectory(prefix="trtproof-calibrate-") as name:
        folder = Path(name)
        copy_external_data(graph, model.parent, folder)
        for position, group in enumerate(plan.groups):
            path = folder / f"pass{position}.onnx"
            computed = _write_with_outputs(graph, group, path)
            opened = open_graph(path, threads=threads, optimized=False, outputs=computed)
            title = f"calibrate, pass {position + 1} of {len(plan.groups)}"
            batches = _batches(dataset, plan.batch, title, coverage if position == 0 else None)
            tensors |= _collect_group(opened, group, input_names(graph), batches)
    return Calibration(dict(sorted(tensors.items())), coverage.to_json())


def plan_passes(graph: ModelProto, dataset: Dataset, batch: int) -> Plan:
    """Return passes that stay within ACTIVATION_BYTES and TENSORS_PER_PASS.

    Sizes come from shape inference at the first sample's shape; a tensor whose size is unknown
    counts as the largest known one.
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
    return Plan(groups, batch if extent > 1 else min(batch, fitting))


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


def _collect_group(
    opened: Graph, names: Sequence[str], inputs: Sequence[str], batches: Iterator[Batch]
) -> dict[str, Statistics]:
    """Return the statistics of one pass's tensors; a tensor that never had a value is left out.

    Raises:
        CalibrationError: a NaN or an infinity.
    """
    accumulators = {name: Accumulator() for name in names}
    for batch in batches:
        feeds = {name: batch.feeds[name] for name in inputs if name in batch.feeds}
        arrays = feeds | opened.run(feeds)
        for name, accumulator in accumulators.items():
            if not accumulator.add(arrays[name]):
                raise _not_finite(name, arrays[name], batch.indices)
    return {name: item.statistics() for name, item in accumulators.items() if not item.is_empty}


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
