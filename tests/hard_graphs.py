"""Further graphs that users have and that a pass or a parser may stumble over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper
from tests.onnx_graphs import MASK, Example, model, normal
from tests.quantisation_graphs import IMAGES, PADS, conv

ROWS = {"input": (TensorProto.FLOAT, ("batch", 8, 32))}
SAME = ("batch", 16, 8, 8)


def node(operator: str, inputs: str, made: str, **attributes: Any) -> NodeProto:
    """Return a node; inputs are separated by blanks, "-" is an absent one."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(operator, names, made.split(), name=f"net/{made}", **attributes)


def convolutions_1d() -> Example:
    nodes = [
        node("Conv", "input w b", "c", pads=[1, 1]),
        node("Relu", "c", "r"),
        node("ConvTranspose", "r w2", "output", strides=[2]),
    ]
    weights = {"w": normal(32, 16, 3, scale=0.2), "b": normal(32), "w2": normal(32, 8, 2)}
    inputs = {"input": (TensorProto.FLOAT, ("batch", 16, 20))}
    return Example(
        model(nodes, inputs, {"output": ("batch", 8, 40)}, weights),
        {"input": normal(12, 16, 20)},
    )


def convolutions_3d() -> Example:
    nodes = [node("Conv", "input w", "c", pads=[1] * 6), node("Conv", "c w2", "output")]
    weights = {"w": normal(16, 16, 3, 3, 3, scale=0.1), "w2": normal(16, 16, 1, 1, 1, scale=0.2)}
    shape = ("batch", 16, 4, 6, 6)
    inputs = {"input": (TensorProto.FLOAT, shape)}
    return Example(
        model(nodes, inputs, {"output": shape}, weights), {"input": normal(12, 16, 4, 6, 6)}
    )


def gemms() -> Example:
    nodes = [
        node("Gemm", "input w1 b1", "g1", transB=1, alpha=0.5, beta=2.0),
        node("Relu", "g1", "r"),
        node("Gemm", "r w2", "g2"),
        node("Transpose", "g2", "t", perm=[1, 0]),
        node("Gemm", "t w3 b3", "output", transA=1),
    ]
    weights = {
        "w1": normal(48, 32, scale=0.2),
        "b1": normal(48),
        "w2": normal(48, 24, scale=0.2),
        "w3": normal(24, 20, scale=0.2),
        "b3": normal(20),
    }
    inputs = {"input": (TensorProto.FLOAT, ("batch", 32))}
    return Example(
        model(nodes, inputs, {"output": ("batch", 20)}, weights), {"input": normal(12, 32)}
    )


def products() -> Example:
    """Products of two activations, of a constant on the left, of a weight of rank 3; an Einsum."""
    nodes = [
        node("MatMul", "input other", "both"),
        node("MatMul", "both batched", "ranked"),
        node("Einsum", "ranked ranked", "e", equation="bij,bkj->bik"),
        node("Softmax", "e", "s"),
        node("MatMul", "s ranked", "mixed"),
        node("MatMul", "left mixed", "output"),
    ]
    weights = {"batched": normal(1, 24, 20, scale=0.2), "left": normal(18, 8, scale=0.2)}
    inputs = {**ROWS, "other": (TensorProto.FLOAT, ("batch", 32, 24))}
    return Example(
        model(nodes, inputs, {"output": ("batch", 18, 20)}, weights),
        {"input": normal(12, 8, 32), "other": normal(12, 32, 24)},
    )


def resizes() -> Example:
    """A Resize by scales, and one by sizes that a Shape gives."""
    nodes = [
        conv("input", "w", "c", pads=PADS),
        node("Resize", "c - scales", "large", mode="linear"),
        node("Shape", "large", "shape"),
        node("Slice", "shape zero two", "head"),
        node("Concat", "head sides", "sizes", axis=0),
        node("Resize", "large - - sizes", "small", mode="nearest"),
        conv("small", "w", "output", pads=PADS),
    ]
    weights = {
        "w": normal(16, 16, 3, 3, scale=0.1),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "zero": np.array([0]),
        "two": np.array([2]),
        "sides": np.array([8, 8]),
    }
    return images(nodes, weights, SAME)


def casts() -> Example:
    """Types that change on the way, a filled shape, a comparison that masks, absent bounds."""
    nodes = [
        conv("input", "w", "c", pads=PADS),
        node("Shape", "c", "shape"),
        node(
            "ConstantOfShape", "shape", "filled",
            value=helper.make_tensor("value", TensorProto.FLOAT, [1], [0.5]),
        ),
        node("Add", "c filled", "shifted"),
        node("Greater", "shifted zero", "positive"),
        node("Cast", "positive", "gate", to=TensorProto.FLOAT),
        node("Mul", "shifted gate", "gated"),
        node("Where", "positive gated never", "masked"),
        node("Clip", "masked low", "upper"),
        node("Clip", "upper - high", "clipped"),
        node("Cast", "clipped", "half", to=TensorProto.FLOAT16),
        node("Cast", "half", "single", to=TensorProto.FLOAT),
        conv("single", "w", "output", pads=PADS),
    ]  # fmt: skip
    weights = {
        "w": normal(16, 16, 3, 3, scale=0.1),
        "zero": np.array(0, np.float32),
        "never": np.array(MASK, np.float32),
        "low": np.array(-5, np.float32),
        "high": np.array(5, np.float32),
    }
    return images(nodes, weights, SAME)


def listed_weights() -> Example:
    """Weights that are graph inputs too, of two convolutions that share them, without names."""
    nodes = [conv("input", "w", "c", pads=PADS), conv("c", "w", "output", pads=PADS)]
    example = images(nodes, {"w": normal(16, 16, 3, 3, scale=0.1)}, SAME)
    graph = example.proto.graph
    shape = list(graph.initializer[0].dims)
    graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, shape))
    return example


def middle_outputs() -> Example:
    """What a Relu and an Add read are outputs of the model."""
    nodes = [
        conv("input", "w", "c", pads=PADS),
        node("Relu", "c", "r"),
        conv("r", "w", "d", pads=PADS),
        node("Add", "d r", "output"),
    ]
    example = images(nodes, {"w": normal(16, 16, 3, 3, scale=0.1)}, SAME)
    for name in ("c", "r", "d"):
        more = helper.make_tensor_value_info(name, TensorProto.FLOAT, SAME)
        example.proto.graph.output.append(more)
    return example


def recurrent(operator: str, gates: int) -> Example:
    """A bidirectional recurrence between two products."""
    nodes = [
        node("MatMul", "input w", "hidden"),
        node("Transpose", "hidden", "steps", perm=[1, 0, 2]),
        helper.make_node(
            operator, ["steps", "wi", "wr", "b"], ["sequence", ""], name="net/recurrent",
            hidden_size=16, direction="bidirectional",
        ),
        node("Transpose", "sequence", "turned", perm=[2, 0, 1, 3]),
        node("Reshape", "turned shape", "flat"),
        node("Gemm", "flat w2 b2", "output", transB=1),
    ]  # fmt: skip
    weights = {
        "w": normal(32, 16, scale=0.3),
        "wi": normal(2, 16 * gates, 16, scale=0.2),
        "wr": normal(2, 16 * gates, 16, scale=0.2),
        "b": normal(2, 32 * gates, scale=0.1),
        "shape": np.array([-1, 256]),
        "w2": normal(20, 256, scale=0.1),
        "b2": normal(20),
    }
    return Example(
        model(nodes, ROWS, {"output": ("batch", 20)}, weights), {"input": normal(12, 8, 32)}
    )


def of_opset(opset: int) -> Example:
    """A residual block with a normalisation, at one version of ONNX's operators."""
    nodes = [
        conv("input", "w", "c", pads=PADS),
        node("BatchNormalization", "c g b m v", "n"),
        node("Relu", "n", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        conv("p", "w", "d", pads=PADS),
        node("Add", "d p", "output"),
    ]
    weights = {
        "w": normal(16, 16, 3, 3, scale=0.1),
        "g": np.ones(16, np.float32),
        "b": normal(16),
        "m": normal(16, seed=3),
        "v": np.ones(16, np.float32),
    }
    proto = model(nodes, IMAGES, {"output": ("batch", 16, 4, 4)}, weights, opset)
    return Example(proto, {"input": normal(12, 16, 8, 8)})


def images(nodes: list[NodeProto], weights: Any, shape: tuple[int | str, ...]) -> Example:
    proto = model(nodes, IMAGES, {nodes[-1].output[0]: shape}, weights)
    return Example(proto, {"input": normal(12, 16, 8, 8)})


HARD: dict[str, Callable[[], Example]] = {
    "convolutions_1d": convolutions_1d,
    "convolutions_3d": convolutions_3d,
    "gemms": gemms,
    "products": products,
    "resizes": resizes,
    "casts": casts,
    "listed_weights": listed_weights,
    "middle_outputs": middle_outputs,
    "lstm": lambda: recurrent("LSTM", 4),
    "gru": lambda: recurrent("GRU", 3),
    "rnn": lambda: recurrent("RNN", 1),
    "opset_17": lambda: of_opset(17),
    "opset_19": lambda: of_opset(19),
    "opset_21": lambda: of_opset(21),
}
