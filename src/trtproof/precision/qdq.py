"""Insert QuantizeLinear and DequantizeLinear at the sites of a graph.

One pair per activation tensor, however many nodes read it; one stored weight per constant and axis.
Names derive from the node that makes a tensor or reads a weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from trtproof.precision.dtypes import DEQUANTIZE, QUANTIZE
from trtproof.precision.float16 import SMALLEST_NORMAL
from trtproof.precision.graph import fresh_name, node_label, replace_items, tensor_names
from trtproof.precision.grids import Grid
from trtproof.precision.qdq_sites import Sites, Weight
from trtproof.precision.ranges import cover
from trtproof.tensor import Array


@dataclass
class Inserted:
    """Scales by tensor name, and the weights with channels that the grid cannot represent well."""

    scales: dict[str, list[float]] = field(default_factory=dict)
    faint: dict[str, int] = field(default_factory=dict)
    """Weight -> how many of its channels are too small to use the grid's precision."""


def insert(model: ModelProto, sites: Sites, scales: Mapping[str, float], grid: Grid) -> Inserted:
    """Rewrite the model in place; `scales` has one for every activation of the sites.

    Weights are finite. The result is in topological order if the model is.
    """
    return _Writer(model, grid).write(sites, scales)


class _Writer:
    def __init__(self, model: ModelProto, grid: Grid) -> None:
        self._graph = model.graph
        self._grid = grid
        self._tensors = tensor_names(model.graph)
        self._labels = {node.name for node in model.graph.node}
        self._new: list[TensorProto] = []
        self._inserted = Inserted()

    def write(self, sites: Sites, scales: Mapping[str, float]) -> Inserted:
        nodes = [NodeProto.FromString(node.SerializeToString()) for node in self._graph.node]
        weights = list(self._write_weights(nodes, sites))
        pairs = self._write_pairs(nodes, sites, scales)
        ordered = [*weights]
        for value in self._graph.input:
            ordered += pairs.get(value.name, [])
        for node in nodes:
            ordered.append(node)
            for name in node.output:
                ordered += pairs.get(name, [])
        replace_items(self._graph.node, ordered)
        used = {name for node in ordered for name in node.input}
        used |= {value.name for value in self._graph.output}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        replace_items(self._graph.initializer, [*kept, *self._new])
        del self._graph.value_info[:]
        return self._inserted

    def _write_pairs(
        self, nodes: list[NodeProto], sites: Sites, scales: Mapping[str, float]
    ) -> dict[str, list[NodeProto]]:
        """Return activation -> its two nodes, and let the sites read what they give."""
        owners = {name: node_label(node) for node in nodes for name in node.output}
        pairs: dict[str, list[NodeProto]] = {}
        for (position, index), tensor in sorted(sites.activations.items()):
            if tensor not in pairs:
                pairs[tensor] = self._make_pair(tensor, owners.get(tensor, tensor), scales[tensor])
            nodes[position].input[index] = pairs[tensor][1].output[0]
        return pairs

    def _make_pair(self, tensor: str, owner: str, scale: float) -> list[NodeProto]:
        self._inserted.scales[tensor] = [_shortest(scale)]
        parameters = self._parameters(tensor, np.array(scale, np.float32))
        quantised = self._name(f"{tensor}/{self._grid.name}")
        restored = self._name(f"{tensor}/dequantized")
        return [
            helper.make_node(
                QUANTIZE, [tensor, *parameters], [quantised], name=self._label(owner, QUANTIZE)
            ),
            helper.make_node(
                DEQUANTIZE,
                [quantised, *parameters],
                [restored],
                name=self._label(owner, DEQUANTIZE),
            ),
        ]

    def _write_weights(self, nodes: list[NodeProto], sites: Sites) -> Iterator[NodeProto]:
        values = {tensor.name: tensor for tensor in self._graph.initializer}
        made: dict[Weight, str] = {}
        for (position, index), weight in sorted(sites.weights.items()):
            node = nodes[position]
            if weight not in made:
                array = numpy_helper.to_array(values[weight.tensor])
                maker = self._make_weight(weight, array, f"{node_label(node)}/weight")
                made[weight] = maker.output[0]
                yield maker
            node.input[index] = made[weight]

    def _make_weight(self, weight: Weight, array: Array, owner: str) -> NodeProto:
        stored = self._name(f"{weight.tensor}/{self._grid.name}")
        scales = weight_scales(array, weight.axis, self._grid)
        shape = [1] * array.ndim
        if weight.axis is not None:
            shape[weight.axis] = -1
        values = self._grid.round(array / scales.reshape(shape))
        self._new.append(numpy_helper.from_array(np.ascontiguousarray(values), stored))
        self._inserted.scales[stored] = [_shortest(scale) for scale in scales.ravel()]
        faint = count_faint(array, scales, weight.axis, self._grid)
        if faint:
            self._inserted.faint[weight.tensor] = faint
        return helper.make_node(
            DEQUANTIZE,
            [stored, *self._parameters(stored, scales)],
            [self._name(f"{weight.tensor}/dequantized")],
            name=self._label(owner, DEQUANTIZE),
            axis=weight.axis,
        )

    def _parameters(self, tensor: str, scales: NDArray[np.float32]) -> list[str]:
        """Add scale and zero point, and return their names."""
        names = [self._name(f"{tensor}/scale"), self._name(f"{tensor}/zero_point")]
        zeros = self._grid.round(np.zeros(scales.shape, np.float32))
        self._new.append(numpy_helper.from_array(scales, names[0]))
        self._new.append(numpy_helper.from_array(np.asarray(zeros), names[1]))
        return names

    def _name(self, wanted: str) -> str:
        name = fresh_name(wanted, self._tensors)
        self._tensors.add(name)
        return name

    def _label(self, owner: str, operator: str) -> str:
        label = fresh_name(f"{owner}/{operator}", self._labels)
        self._labels.add(label)
        return label


def weight_scales(array: Array, axis: int | None, grid: Grid) -> NDArray[np.float32]:
    """Return the scale of each channel along `axis` (a scalar where that is None).

    Every scale is positive: a channel of zeros has 2**-14, and one whose largest magnitude needs
    less than 2**-24 has that, the smallest float16.
    """
    largest = _largest(array, axis)
    return np.where(largest == 0, np.float32(SMALLEST_NORMAL), cover(largest, grid))


def count_faint(array: Array, scales: NDArray[np.float32], axis: int | None, grid: Grid) -> int:
    """Return how many channels, not all zero, reach too little of the grid under their scales."""
    largest = _largest(array, axis)
    used = largest / (scales.astype(np.float64) * grid.largest)
    return int(((used < grid.least_use) & (largest > 0)).sum())


def _largest(array: Array, axis: int | None) -> NDArray[np.float64]:
    others = None if axis is None else tuple(i for i in range(array.ndim) if i != axis)
    return np.asarray(np.abs(array).max(axis=others), np.float64)


def _shortest(value: float | np.floating[Any]) -> float:
    """Return the number with the fewest digits that is the same float32."""
    return float(str(np.float32(value)))
