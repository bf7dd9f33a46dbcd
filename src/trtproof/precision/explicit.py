"""Explicit quantisation: what int8 and fp8 share.

A float32 graph with QuantizeLinear/DequantizeLinear pairs that TensorRT fuses into its 8-bit
kernels. What is not quantised stays float32: this is the canonical graph whose accuracy is checked,
and the float16 one is a pure cast of it, with the same scales.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from trtproof.errors import CalibrationError, ModelError
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.dtypes import count_dtypes
from trtproof.precision.explicit_settings import Settings, read_settings, refuse_unknown_nodes
from trtproof.precision.float16 import LARGEST, SMALLEST_NORMAL, Rounding
from trtproof.precision.graph import (
    check_model,
    drop_default_inputs,
    load_model,
    node_label,
    refuse_unwalkable,
    save_model,
)
from trtproof.precision.grids import Grid
from trtproof.precision.opset import bring_weights, raise_opset
from trtproof.precision.qdq import Inserted, count_faint, insert, weight_scales
from trtproof.precision.qdq_sites import CONVOLUTIONS, PRODUCTS, Sites
from trtproof.precision.quantizers import QUANTIZERS, Request
from trtproof.precision.ranges import find_range, find_scale

if TYPE_CHECKING:
    from trtproof.calibration import Calibration
    from trtproof.calibration.histogram import Statistics

MIN_OPSET: Final = 19
"""The first whose Q/DQ take float8 values and float16 scales, which the cast to float16 needs."""


@dataclass(frozen=True)
class Range:
    """The range of one activation."""

    end: float
    """The magnitude that the grid's largest value stands for, at most."""

    scale: float


@dataclass(frozen=True)
class Planned:
    """A float32 graph, where it will be quantised, and the range of every activation there."""

    graph: ModelProto
    sites: Sites
    ranges: Mapping[str, Range]

    @property
    def scales(self) -> dict[str, float]:
        """Return activation -> its scale."""
        return {tensor: item.scale for tensor, item in self.ranges.items()}


@dataclass
class ExplicitPass:
    """Quantise a graph to one grid; see `PrecisionPass`.

    Options: `method` of finding ranges and its `percentile`, `exclude` (names of nodes or operators
    that stay in float32), `quantizer` ("builtin", "modelopt").
    """

    precision: str
    grid: Grid
    operators: frozenset[str]
    """What has a quantised form."""

    methods: Sequence[str]
    executor: str
    needs_calibration: bool = True

    def __call__(
        self, model: Path, out: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> PrecisionRecord:
        """Write the quantised model to `out`; see `PrecisionPass`."""
        planned = self.plan(model, calibration, options)
        graph, sites = planned.graph, planned.sites
        inserted = insert(graph, sites, planned.scales, self.grid)
        record = PrecisionRecord(
            precision=self.precision,
            executor=self.executor,
            dtypes=count_dtypes(graph),
            kept=sites.kept,
            scales=inserted.scales,
            rounding=_rounding(inserted),
            warnings=list(_warnings(sites, planned.ranges, inserted, self.grid)),
        )
        save_model(graph, out)
        check_model(out)
        return record

    def plan(
        self, model: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> Planned:
        """Return what will be quantised, with which scales, in a graph that is as yet float32.

        Raises:
            As the pass itself.
        """
        settings = read_settings(options, self.precision, self.methods)
        if calibration is None:
            raise CalibrationError(
                f"{self.precision} needs ranges; set the recipe's `calibration` to "
                "artifacts/calibrate"
            )
        graph = self._load(model, settings)
        sites = QUANTIZERS.load(settings.quantizer)(
            graph,
            Request(
                operators=self.operators,
                exclude=settings.exclude,
                grid=self.grid,
                find_scales=partial(_usable_scales, calibration, settings, self.grid),
            ),
        )
        _keep_unfit_weights(graph, sites, self.grid)
        ranges = _find_ranges(graph, sites, calibration, settings, self.grid)
        return Planned(graph, sites, ranges)

    def _load(self, model: Path, settings: Settings) -> ModelProto:
        graph = load_model(model)
        refuse_unwalkable(graph, precision=self.precision)
        refuse_unknown_nodes(graph, settings.exclude, self.precision)
        drop_default_inputs(graph)
        graph = raise_opset(graph, MIN_OPSET, precision=self.precision)
        bring_weights(graph)
        return graph


def _keep_unfit_weights(graph: ModelProto, sites: Sites, grid: Grid) -> None:
    """Keep nodes whose weight float16 does not hold: beyond it, or all too small for a scale.

    Raises:
        ModelError: a weight has a NaN or an infinity.
    """
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    for (position, _), weight in list(sites.weights.items()):
        values = numpy_helper.to_array(tensors[weight.tensor])
        if not np.isfinite(values).all():
            raise ModelError(
                f"weight {weight.tensor!r} has a NaN or an infinity; export a trained model"
            )
        scales = weight_scales(values, None, grid)
        if float(scales) * grid.largest > LARGEST:
            problem = "beyond float16"
        elif count_faint(values, scales, None, grid):
            problem = "too small for a float16 scale"
        else:
            continue
        sites.drop(position)
        sites.kept[node_label(graph.graph.node[position])] = (
            f"its weight is at most {np.abs(values).max():.3g}, {problem}"
        )


def _find_ranges(
    graph: ModelProto, sites: Sites, calibration: Calibration, settings: Settings, grid: Grid
) -> dict[str, Range]:
    """Return the range of every activation.

    Nodes that read one beyond float16 are kept, and sums with one that is zero in every sample.

    Raises:
        CalibrationError: a tensor has no range, or one that no scale can stand for.
    """
    ranges: dict[str, Range] = {}
    for tensor in dict.fromkeys(sites.activations.values()):
        positions = [key[0] for key, name in sites.activations.items() if name == tensor]
        readers = [graph.graph.node[position] for position in positions]
        statistics = calibration.histogram(tensor)
        if _is_zero_addend(statistics, readers):
            problem = f"{tensor!r} is zero in every calibration sample: it has no scale"
            _keep(graph, sites, positions, problem)
            continue
        end = find_range(
            tensor,
            statistics,
            method=settings.method,
            percentile=settings.percentile,
            grid=grid,
            readers=list(dict.fromkeys(map(node_label, readers))),
        )
        scale = find_scale(tensor, end, grid)
        if scale is not None:
            ranges[tensor] = Range(end, scale)
        else:
            problem = f"the range of {tensor!r} ({end:.3g}) is beyond float16"
            _keep(graph, sites, positions, problem)
    return {tensor: ranges[tensor] for tensor in dict.fromkeys(sites.activations.values())}


def _usable_scales(calibration: Calibration, settings: Settings, grid: Grid) -> dict[str, float]:
    """Return the scale of every tensor that can have one, wherever it will be quantised."""
    scales = {}
    for tensor, statistics in calibration.tensors.items():
        with suppress(CalibrationError):
            end = find_range(
                tensor,
                statistics,
                method=settings.method,
                percentile=settings.percentile,
                grid=grid,
            )
            scale = find_scale(tensor, end, grid)
            if scale is not None:
                scales[tensor] = scale
    return scales


def _is_zero_addend(statistics: Statistics, readers: Sequence[NodeProto]) -> bool:
    """Say whether a tensor was always zero and nothing multiplies it: a sum needs no scale of it.

    Where something does, the samples are not real ones.
    """
    multiplied = any(node.op_type in CONVOLUTIONS | PRODUCTS for node in readers)
    return bool(statistics.bins.size) and statistics.largest == 0 and not multiplied


def _keep(graph: ModelProto, sites: Sites, positions: Sequence[int], reason: str) -> None:
    for position in positions:
        sites.drop(position)
        sites.kept[node_label(graph.graph.node[position])] = reason


def _rounding(inserted: Inserted) -> dict[str, dict[str, int]]:
    """Return what float16 scales lose: those below 2**-14 have fewer digits."""
    found = {}
    for tensor, scales in inserted.scales.items():
        subnormal = int(np.sum(np.array(scales, np.float32) < SMALLEST_NORMAL))
        if subnormal:
            lost = Rounding(count=len(scales), overflow=0, underflow=0, subnormal=subnormal)
            found[f"{tensor}/scale"] = lost.to_json()
    return found


def _warnings(
    sites: Sites, ranges: Mapping[str, Range], inserted: Inserted, grid: Grid
) -> Iterator[str]:
    for tensor, item in sorted(ranges.items()):
        used = item.end / (item.scale * grid.largest)
        if used < grid.least_use:
            yield (
                f"tensor {tensor!r} is so small ({item.end:.3g}) that its scale is subnormal in "
                f"float16: it uses {used:.0%} of {grid.name}'s range"
            )
    for weight, count in sorted(inserted.faint.items()):
        yield (
            f"{count} channels of weight {weight!r} are so small that their scales are subnormal "
            f"in float16: they keep less than {grid.name}'s precision"
        )
    if not sites.activations:
        yield "nothing was quantised: no operator with a quantised form is left in the graph"
