"""Where a graph is quantised explicitly, in the form that TensorRT fuses.

Inputs of convolutions and matrix products: activations per tensor, constant weights per output
channel. Of a residual Add one input, so that the convolution on the other one keeps its accumulator
and Conv+Add+ReLU become one kernel. Never a bias, a normalisation, a softmax's input or the
residual stream of a transformer: LayerNorm reads what came before it and the matrix products after
it read its quantised output; in attention both operands of both products are quantised.

Knows nothing about values: trtproof.precision.qdq inserts the nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from onnx import ModelProto, NodeProto, TensorProto

from trtproof.precision.dtypes import require_types
from trtproof.precision.graph import ONNX_DOMAINS, data_dependent, node_label

CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
PRODUCTS: Final = frozenset({"Gemm", "MatMul"})
UNQUANTISED: Final = frozenset({"LSTM", "GRU", "RNN", "Einsum"})
"""Operators with heavy arithmetic that TensorRT has no quantised form of."""

MIN_FP8_CHANNELS: Final = 16
"""Input channels per group below which a convolution has no FP8 kernel."""

MIN_FEATURES: Final = 16
"""Output features of a matrix product below which 8 bits gain nothing: it reads more than it
computes, and as the last layer of a classifier it costs the most accuracy."""


@dataclass(frozen=True)
class Weight:
    """A constant operand and the axis of its output channels; None: one scale for all."""

    tensor: str
    axis: int | None


@dataclass
class Sites:
    """What to quantise; keys are (node position, input position)."""

    activations: dict[tuple[int, int], str] = field(default_factory=dict)
    weights: dict[tuple[int, int], Weight] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    """Node -> why it stays in high precision although it multiplies matrices, or was excluded."""

    @property
    def positions(self) -> list[int]:
        """Return the positions of the nodes that read something quantised."""
        return sorted({position for position, _ in (*self.activations, *self.weights)})

    def only(self, position: int) -> Sites:
        """Return the sites of one node."""
        return Sites(
            {key: name for key, name in self.activations.items() if key[0] == position},
            {key: weight for key, weight in self.weights.items() if key[0] == position},
        )

    def drop(self, position: int) -> None:
        """Leave a node alone."""
        for sites in (self.activations, self.weights):
            for key in [key for key in sites if key[0] == position]:
                del sites[key]


def find_sites(model: ModelProto, *, operators: Collection[str], exclude: Collection[str]) -> Sites:
    """Return the sites of a flat graph whose constants are initialisers.

    `operators` are those that have a quantised form; `exclude` names nodes or operators.

    Raises:
        ModelError: a node's output has a type that ONNX cannot tell.
    """
    return _Finder(model, operators, exclude).find()


class _Finder:
    def __init__(
        self, model: ModelProto, operators: Collection[str], exclude: Collection[str]
    ) -> None:
        self._nodes = list(model.graph.node)
        self._operators = operators
        self._exclude = exclude
        self._types = require_types(model)
        self._measured = data_dependent(model)
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {name: i for i, node in enumerate(self._nodes) for name in node.output}
        self._readers = Counter(name for node in self._nodes for name in node.input)
        self._readers.update(value.name for value in model.graph.output)
        self._sites = Sites()

    def find(self) -> Sites:
        for position, node in enumerate(self._nodes):
            reason = self._reason_to_keep(node)
            if reason:
                self._sites.kept[node_label(node)] = reason
            elif node.op_type in self._operators and node.domain in ONNX_DOMAINS:
                self._add(position, node)
        for position, node in enumerate(self._nodes):
            if node.op_type == "Add" and not self._is_excluded(node):
                self._add_residual(position, node)
        return self._sites

    def _is_excluded(self, node: NodeProto) -> bool:
        return node.name in self._exclude or node.op_type in self._exclude

    def _reason_to_keep(self, node: NodeProto) -> str | None:
        if self._is_excluded(node):
            return "excluded by the recipe"
        if node.op_type in self._operators:
            return self._reason_of_operands(node) or self._reason_of_channels(node)
        if node.op_type in UNQUANTISED | CONVOLUTIONS | PRODUCTS:
            return f"{node.op_type} has no quantised form"
        return None

    def _reason_of_operands(self, node: NodeProto) -> str | None:
        first, second = node.input[0], node.input[1]
        if self._types.get(first) != TensorProto.FLOAT:
            return "its operands are not float32"
        if first in self._constants:
            return "its first operand is constant"
        if second not in self._constants and node.op_type != "MatMul":
            return "its weight is computed"
        # Positions, as of rotary embeddings: their range is no measurement and 127 steps ruin them.
        if not self._measured.issuperset({first, second} - self._constants.keys()):
            return "an operand does not depend on the samples"
        return None

    def _reason_of_channels(self, node: NodeProto) -> str | None:
        """Return why a weight has too few channels for 8 bits.

        int8 kernels of convolutions pad them, FP8 ones do not.
        """
        weight = self._constants.get(node.input[1])
        if weight is None:
            return None
        if node.op_type in PRODUCTS:
            axis = self._channel_axis(node)
            features = 1 if axis is None else weight.dims[axis]
            if features < MIN_FEATURES:
                return f"its {features} output features are too few to gain from 8 bits"
        elif node.op_type == "Conv" and "ConvTranspose" not in self._operators:
            channels = weight.dims[1]
            if channels < MIN_FP8_CHANNELS:
                return f"its {channels} input channels per group are too few for an FP8 kernel"
        return None

    def _add(self, position: int, node: NodeProto) -> None:
        self._sites.activations[position, 0] = node.input[0]
        if node.input[1] in self._constants:
            weight = Weight(node.input[1], self._channel_axis(node))
            self._sites.weights[position, 1] = weight
        else:
            self._sites.activations[position, 1] = node.input[1]

    def _channel_axis(self, node: NodeProto) -> int | None:
        """Return the axis of a weight along which output channels lie."""
        rank = len(self._constants[node.input[1]].dims)
        if node.op_type == "Conv":
            return 0
        if node.op_type == "ConvTranspose":
            # With groups, axis 1 holds the channels of one group only: no axis has them all.
            return 1 if _integer(node, "group", 1) == 1 else None
        if node.op_type == "Gemm":
            return 0 if _integer(node, "transB", 0) else 1
        return rank - 1 if rank > 1 else None

    def _add_residual(self, position: int, node: NodeProto) -> None:
        """Quantise the input that is not the deeper convolution's accumulator."""
        if any(name in self._constants for name in node.input):
            return
        accumulators = [index for index in (0, 1) if self._is_accumulator(node.input[index])]
        if not accumulators:
            return
        depths = self._depths if len(accumulators) > 1 else {}
        kept = max(
            accumulators, key=lambda index: (depths.get(self._makers[node.input[index]], 0), index)
        )
        self._sites.activations[position, 1 - kept] = node.input[1 - kept]

    def _is_accumulator(self, name: str) -> bool:
        """Say whether only this reader sees what a quantised convolution gives."""
        maker = self._makers.get(name)
        return (
            maker is not None
            and self._nodes[maker].op_type in CONVOLUTIONS
            and (maker, 0) in self._sites.activations
            and self._readers[name] == 1
        )

    @property
    def _depths(self) -> Mapping[int, int]:
        """Return node position -> nodes on the longest path to it from an input."""
        depths: dict[int, int] = {}
        for position, node in enumerate(self._nodes):
            before = (self._makers.get(name) for name in node.input if name)
            depths[position] = 1 + max((depths[i] for i in before if i is not None), default=0)
        return depths


def _integer(node: NodeProto, name: str, default: int) -> int:
    values: Iterator[int] = (item.i for item in node.attribute if item.name == name)
    return next(values, default)
