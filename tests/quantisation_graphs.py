"""Graphs that are hard to quantise, and the real digits network, exported and calibrated once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import NodeProto, TensorProto, helper
from tests.onnx_graphs import MASK, Example, dataset, model, normal

from trtproof.calibration import Calibration
from trtproof.config import ExportConfig, ModelConfig
from trtproof.data.digits import load_part
from trtproof.data_pass import collect
from trtproof.tensor import Array

IMAGES = {"input": (TensorProto.FLOAT, ("batch", 16, 8, 8))}
PADS = [1, 1, 1, 1]


def conv(source: str, weight: str, made: str, **attributes: Any) -> NodeProto:
    operator = attributes.pop("operator", "Conv")
    return helper.make_node(operator, [source, weight], [made], name=f"net/{made}", **attributes)


def image_example(
    nodes: Sequence[NodeProto], weights: dict[str, Array], shape: Sequence[int | str]
) -> Example:
    proto = model(nodes, IMAGES, {nodes[-1].output[0]: shape}, weights)
    return Example(proto, {"input": normal(12, 16, 8, 8)})


def shortcut_convolution() -> Example:
    """Both inputs of the Add come from convolutions; the one on the left is the deeper one."""
    nodes = [
        conv("input", "w1", "c1", pads=PADS),
        helper.make_node("Relu", ["c1"], ["r1"], name="net/relu"),
        conv("r1", "w2", "deep", pads=PADS),
        conv("input", "w3", "short"),
        helper.make_node("Add", ["deep", "short"], ["sum"], name="net/add"),
        helper.make_node("Relu", ["sum"], ["output"], name="net/out"),
    ]
    weights = {
        "w1": normal(16, 16, 3, 3, scale=0.1),
        "w2": normal(32, 16, 3, 3, scale=0.1),
        "w3": normal(32, 16, 1, 1, scale=0.2),
    }
    return image_example(nodes, weights, ("batch", 32, 8, 8))


def shared_weights() -> Example:
    """One weight in two convolutions; one table as an embedding and, transposed, as a product."""
    nodes = [
        conv("input", "w", "c1", pads=PADS),
        conv("c1", "w", "c2", pads=PADS),
        helper.make_node("GlobalAveragePool", ["c2"], ["pooled"], name="net/pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="net/flat"),
        helper.make_node("Gather", ["table", "picked"], ["rows"], name="net/gather"),
        helper.make_node("Add", ["flat", "rows"], ["mixed"], name="net/add"),
        helper.make_node("Transpose", ["table"], ["turned"], name="net/turn", perm=[1, 0]),
        helper.make_node("MatMul", ["mixed", "turned"], ["output"], name="net/output"),
    ]
    weights = {
        "w": normal(16, 16, 3, 3, scale=0.1),
        "table": normal(20, 16),
        "picked": np.array([3], np.int64),
    }
    return image_example(nodes, weights, ("batch", 20))


def grouped_convolutions() -> Example:
    nodes = [
        conv("input", "w1", "grouped", group=4, pads=PADS),
        conv("grouped", "w2", "depthwise", group=32, pads=PADS),
        conv("depthwise", "w3", "up", operator="ConvTranspose", strides=[2, 2]),
        conv("up", "w4", "output", operator="ConvTranspose", group=2),
    ]
    weights = {
        "w1": normal(32, 4, 3, 3, scale=0.2),
        "w2": normal(32, 1, 3, 3, scale=0.3),
        "w3": normal(32, 24, 2, 2, scale=0.1),
        "w4": normal(24, 8, 1, 1, scale=0.2),
    }
    return image_example(nodes, weights, ("batch", 16, 16, 16))


def faint_channels() -> Example:
    """Of 16 output channels one is zero and three reach 1e-6 only."""
    weight = normal(16, 16, 3, 3, scale=0.1)
    weight[0] = 0
    weight[1:4] *= 1e-6 / np.abs(weight[1:4]).max(axis=(1, 2, 3), keepdims=True)
    nodes = [conv("input", "w", "output", pads=PADS)]
    return image_example(nodes, {"w": weight}, ("batch", 16, 8, 8))


def large_activations() -> Example:
    """Values of about 1e6 in the middle, ordinary ones at both ends."""
    nodes = [
        conv("input", "w1", "large", pads=PADS),
        helper.make_node("Relu", ["large"], ["positive"], name="net/relu"),
        conv("positive", "w2", "output", pads=PADS),
    ]
    weights = {
        "w1": normal(16, 16, 3, 3, scale=1e5),
        "w2": normal(16, 16, 3, 3, scale=1e-7),
    }
    return image_example(nodes, weights, ("batch", 16, 8, 8))


def recurrent() -> Example:
    """An LSTM between two products."""
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["hidden"], name="net/in"),
        helper.make_node("Transpose", ["hidden"], ["steps"], name="net/turn", perm=[1, 0, 2]),
        helper.make_node(
            "LSTM", ["steps", "wi", "wr"], ["", "last"], name="net/lstm", hidden_size=16
        ),
        helper.make_node("Squeeze", ["last", "axis"], ["state"], name="net/squeeze"),
        helper.make_node("MatMul", ["state", "w"], ["output"], name="net/out"),
    ]
    weights = {
        "w": normal(16, 16, scale=0.3),
        "wi": normal(1, 64, 16, scale=0.2),
        "wr": normal(1, 64, 16, scale=0.2),
        "axis": np.array([0], np.int64),
    }
    inputs = {"input": (TensorProto.FLOAT, ("batch", 5, 16))}
    proto = model(nodes, inputs, {"output": ("batch", 16)}, weights)
    return Example(proto, {"input": normal(12, 5, 16)})


def masked_transformer() -> Example:
    """A block of attention with a mask of -3.4e38 that depends on the input, and LayerNorm."""
    nodes = [
        helper.make_node("LayerNormalization", ["input", "g", "b"], ["n1"], name="net/norm1"),
        *(
            helper.make_node("MatMul", ["n1", f"w{part}"], [part], name=f"net/{part}")
            for part in "qkv"
        ),
        helper.make_node("Transpose", ["k"], ["kt"], name="net/turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"], name="net/scores"),
        helper.make_node("Mul", ["scores", "root"], ["scaled"], name="net/scale"),
        helper.make_node("Where", ["seen", "zero", "never"], ["mask"], name="net/where"),
        helper.make_node("Add", ["scaled", "mask"], ["masked"], name="net/mask"),
        helper.make_node("Softmax", ["masked"], ["weights"], name="net/softmax", axis=-1),
        helper.make_node("MatMul", ["weights", "v"], ["mixed"], name="net/mix"),
        helper.make_node("MatMul", ["mixed", "wo"], ["projected"], name="net/project"),
        helper.make_node("Add", ["projected", "input"], ["stream"], name="net/residual"),
        helper.make_node("LayerNormalization", ["stream", "g", "b"], ["output"], name="net/norm2"),
    ]
    weights = {
        **{f"w{part}": normal(32, 32, seed=ord(part), scale=0.2) for part in "qkvo"},
        "g": np.ones(32, np.float32),
        "b": np.zeros(32, np.float32),
        "root": np.array(32**-0.5, np.float32),
        "zero": np.array(0, np.float32),
        "never": np.array(MASK, np.float32),
    }
    inputs = {
        "input": (TensorProto.FLOAT, ("batch", 6, 32)),
        "seen": (TensorProto.BOOL, ("batch", 1, 6)),
    }
    proto = model(nodes, inputs, {"output": ("batch", 6, 32)}, weights)
    seen = np.arange(6)[None, None] < np.arange(12)[:, None, None] % 6 + 1
    return Example(proto, {"input": normal(12, 6, 32), "seen": seen})


ODD: dict[str, Callable[[], Example]] = {
    "shortcut_convolution": shortcut_convolution,
    "shared_weights": shared_weights,
    "grouped_convolutions": grouped_convolutions,
    "faint_channels": faint_channels,
    "large_activations": large_activations,
    "recurrent": recurrent,
    "masked_transformer": masked_transformer,
}


def calibrate(example: Example, path: Path, *, batch: int = 4) -> Calibration:
    return collect(path, dataset(example.feeds), batch=batch, threads=1)


@dataclass(frozen=True)
class Digits:
    """The exported digits network, its ranges over the calibration part, and the test part."""

    model: Path
    calibration: Calibration
    images: Array
    labels: Array


@cache
def digits() -> Digits:
    """Return the digits network; exported and calibrated once per process."""
    from trtproof.models import SOURCES
    from trtproof.models.export import export_module
    from trtproof.models.normalise import normalise, write_model

    # Kept alive by the function: removed when the interpreter ends.
    digits.folder = tempfile.TemporaryDirectory()  # type: ignore[attr-defined]
    folder = Path(digits.folder.name)  # type: ignore[attr-defined]
    weights = "src/trtproof/models/embedded/digits_resnet.safetensors"
    config = msgspec.convert(
        {
            "name": "digits_resnet",
            "source": "module",
            "factory": "trtproof.models.embedded.digits_resnet:make_model",
            "weights": str(Path(__file__).parents[1] / weights),
            "options": {},
            "files": [],
            "inputs": {"input": {"dtype": "float32", "shape": ["batch", 1, 16, 16]}},
            "outputs": ["logits"],
            "axes": {"batch": {"min": 1, "opt": 8, "max": 16}},
        },
        ModelConfig,
    )
    settings = msgspec.convert(
        {
            "exporter": "dynamo",
            "opset": 20,
            "parity": {"max_relative_error": 1e-4, "min_cosine": 0.99999},
        },
        ExportConfig,
    )
    samples, _ = load_part("calibration")
    images, labels = load_part("test")
    module = SOURCES.load("module").make_module(config)
    assert module is not None
    proto = export_module(module, config, settings, {"input": samples[:2]})
    normalise(proto)
    path = write_model(proto, folder)
    calibration = collect(path, dataset({"input": samples}), batch=16, threads=1)
    return Digits(path, calibration, images, np.array(labels))


def sqnr_db(reference: Array, other: Array) -> float:
    """Return 10 log10 of the reference's power over that of the difference."""
    before, difference = reference.astype(np.float64), other.astype(np.float64) - reference
    noise = float((difference**2).sum())
    return float(10 * np.log10((before**2).sum() / noise)) if noise else float("inf")
