"""Which layers cost accuracy: one is quantised at a time, and the error at the outputs is measured.

Quantisation noise of layers adds up, so that the single measurements are a budget: their sum
predicts the whole model's error, and leaving out the largest ones is the shortest way to a better
one. A prediction is no result: the chosen list is run.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto

from trtproof.audit import available_threads, round_figure
from trtproof.backends.onnxruntime import Graph, open_graph
from trtproof.errors import ConfigError, InputError
from trtproof.precision import PASSES
from trtproof.precision.explicit import ExplicitPass, Planned
from trtproof.precision.graph import batch_extent, load_model, node_label, save_model
from trtproof.precision.qdq import insert
from trtproof.progress import track
from trtproof.tensor import Feeds

if TYPE_CHECKING:
    from trtproof.calibration import Calibration
    from trtproof.data.base import Dataset

SENSITIVITY_FILE: Final = "sensitivity.json"


@dataclass(frozen=True)
class Layer:
    """One node that is quantised, and its share of the error when nothing else is."""

    node: str
    operator: str
    noise: float
    """Power of the error over power of the float32 output; of several outputs their mean, and
    infinite where a quantised output is not a number (null in the file)."""


@dataclass(frozen=True)
class Study:
    """What was measured; the worst layer first."""

    layers: tuple[Layer, ...]
    noise: float
    """The same of the model with all of these layers quantised."""

    samples_count: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data for sensitivity.json; a ratio in dB is null where nothing differs."""
        return {
            "samples_count": self.samples_count,
            "sqnr_db": round_figure(to_db(self.noise)),
            "predicted_sqnr_db": round_figure(to_db(predict(self.layers))),
            "layers": [
                {
                    "node": layer.node,
                    "operator": layer.operator,
                    "noise": round_figure(layer.noise) if math.isfinite(layer.noise) else None,
                    "sqnr_db": round_figure(to_db(layer.noise)),
                }
                for layer in self.layers
            ],
        }


def to_db(noise: float) -> float | None:
    """Return a share of noise as a signal-to-noise ratio in decibels; None for none or infinite."""
    return -10 * math.log10(noise) if 0 < noise < math.inf else None


def predict(layers: Sequence[Layer]) -> float:
    """Return the noise of the model with these layers quantised, as the sum of theirs.

    Within 0.6 dB of the measured one on a residual network, a ResNet-50 and a transformer.
    """
    return math.fsum(layer.noise for layer in layers)


def load_explicit(name: str) -> ExplicitPass:
    """Return a pass that places its Q/DQ by itself.

    Raises:
        ConfigError: the pass has no layers to quantise one at a time.
    """
    found: Any = PASSES.load(name)
    if not isinstance(found, ExplicitPass):
        raise ConfigError(
            key="sensitivity.recipes",
            problem=f"pass {name} does not quantise layer by layer",
            repair="take recipes of pass int8 or fp8",
        )
    return found


class Bench:
    """Measures graphs against the float32 one on the same samples."""

    def __init__(self, model: Path, dataset: Dataset, *, samples: int, batch: int) -> None:
        """Compute the float32 outputs of the first `samples` samples.

        Raises:
            InputError: the split is empty, or an output is zero or not finite for all of them.
        """
        self._feeds = list(_first(model, dataset, samples=samples, batch=batch))
        reference = open_graph(model, threads=available_threads())
        self._before = [reference.run(feeds) for feeds in self._feeds]
        self.samples_count = sum(len(next(iter(feeds.values()))) for feeds in self._feeds)
        self._power = {
            name: _power([item[name] for item in self._before]) for name in self._outputs
        }
        for name, power in self._power.items():
            if not 0 < power < math.inf:
                raise InputError(
                    f"output {name!r} of {model} is zero or not finite on these samples; "
                    "correct the calibration split"
                )

    @property
    def _outputs(self) -> list[str]:
        if not self._before:
            problem = "there is no sample to measure on; correct `dataset.calibration`"
            raise InputError(problem)
        return list(self._before[0])

    def noise(self, graph: ModelProto) -> float:
        """Return the mean over the outputs of error power / float32 power; infinite where NaN."""
        with tempfile.TemporaryDirectory(prefix="trtproof-") as folder:
            path = Path(folder) / "model.onnx"
            save_model(graph, path)
            opened = open_graph(path, threads=available_threads(), optimized=False)
        return self._compare(opened)

    def _compare(self, opened: Graph) -> float:
        after = [opened.run(feeds) for feeds in self._feeds]
        shares = []
        for name, power in self._power.items():
            pairs = zip(self._before, after, strict=True)
            noise = _power([new[name].astype(np.float64) - old[name] for old, new in pairs])
            shares.append(noise / power if math.isfinite(noise) else math.inf)
        return math.fsum(shares) / len(shares)


def study(
    model: Path,
    quantiser: ExplicitPass,
    calibration: Calibration,
    options: Mapping[str, Any],
    bench: Bench,
) -> Study:
    """Return what each layer of a recipe with these options costs.

    Raises:
        ConfigError, CalibrationError, ModelError: as the recipe's pass.
        InputError: the recipe quantises nothing.
    """
    planned = quantiser.plan(model, calibration, options)
    positions = planned.sites.positions
    if not positions:
        problem = "the recipe quantises no layer; shorten its `exclude`"
        raise InputError(problem)
    layers = [
        Layer(
            node=node_label(planned.graph.graph.node[position]),
            operator=planned.graph.graph.node[position].op_type,
            noise=bench.noise(_quantise(planned, quantiser, position)),
        )
        for position in track(positions, title="sensitivity", total=len(positions))
    ]
    ranked = sorted(layers, key=lambda layer: (-layer.noise, layer.node))
    whole = bench.noise(_quantise(planned, quantiser, None))
    return Study(tuple(ranked), whole, bench.samples_count)


def read_layers(record: Mapping[str, Any]) -> list[Layer]:
    """Return the ranking of a sensitivity.json."""
    return [
        Layer(
            node=item["node"],
            operator=item["operator"],
            noise=math.inf if item["noise"] is None else item["noise"],
        )
        for item in record["layers"]
    ]


def shortest_list(layers: Sequence[Layer], *, noise: float) -> int:
    """Return how many of the worst layers to leave out for a predicted noise of at most this."""
    for count in range(len(layers)):
        if predict(layers[count:]) <= noise:
            return count
    return len(layers)


def _quantise(planned: Planned, quantiser: ExplicitPass, position: int | None) -> ModelProto:
    """Return a copy of the graph with one node quantised, or all."""
    graph = ModelProto()
    graph.CopyFrom(planned.graph)
    sites = planned.sites if position is None else planned.sites.only(position)
    insert(graph, sites, planned.scales, quantiser.grid)
    return graph


def _first(model: Path, dataset: Dataset, *, samples: int, batch: int) -> Iterator[Feeds]:
    """Yield the feeds of the first samples; the last batch may go beyond them."""
    proto = load_model(model, with_weights=False)
    extent = batch_extent(proto, wanted=min(batch, samples), samples_count=len(dataset))
    taken = 0
    for item in dataset.batches(extent):
        if taken >= samples:
            return
        yield dict(item.feeds)
        taken += len(item.indices)


def _power(arrays: Sequence[np.ndarray[Any, Any]]) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return math.fsum(float(np.square(array, dtype=np.float64).sum()) for array in arrays)
