"""Tiny models and data that a whole pipeline run takes seconds on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 6
SIDE = 8


def tiny_onnx(path: Path, *, seed: int = 0) -> None:
    """Write a two-convolution residual classifier with fixed random weights."""
    generator = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        values = generator.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(values.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["c1"], name="stem/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="stem/Relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="block/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["a"], name="block/Add"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], name="pool/GlobalAveragePool"),
        helper.make_node("Flatten", ["p"], ["f"], name="pool/Flatten"),
        helper.make_node("Gemm", ["f", "w3"], ["logits"], name="fc/Gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [weight("w1", 8, 1, 3, 3), weight("w2", 8, 8, 3, 3), weight("w3", CLASSES, 8)],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10, producer_name="tests"
    )
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def tiny_npz(path: Path, *, count: int, seed: int) -> None:
    """Write labelled samples: each class is a bright column of its own."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = generator.random((count, 1, SIDE, SIDE)).astype(np.float32)
    images[np.arange(count), 0, :, labels] += 2.0
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, input=images, labels=labels.astype(np.int64))


def tiny_weights(path: Path, *, seed: int = 0) -> None:
    """Write weights for TORCH_MODEL at width 8."""
    from safetensors.numpy import save_file

    generator = np.random.default_rng(seed)
    shapes = {
        "stem.weight": (8, 1, 3, 3),
        "stem.bias": (8,),
        "fc.weight": (CLASSES, 8),
        "fc.bias": (CLASSES,),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            name: generator.standard_normal(shape).astype(np.float32)
            for name, shape in shapes.items()
        },
        path,
    )


MODEL_YAML = """\
name: tiny
source: onnx
factory: null
weights: model/tiny.onnx
options: {}
files: []
inputs:
  input: { dtype: float32, shape: [batch, 1, 8, 8] }
outputs: [logits]
axes:
  batch: { min: 1, opt: 4, max: 16 }
"""

DATASET_YAML = """\
name: columns
format: npz
synthetic: false
options: {}
files: []
calibration: { file: data/calibration.npz, count: null }
evaluation: { file: data/evaluation.npz, count: null }
"""

TORCH_MODEL_YAML = """\
name: tiny_torch
source: module
factory: tinynet.net:make_model
weights: model/tiny.safetensors
options: {}
files: [tinynet/*.json]
inputs:
  input: { dtype: float32, shape: [batch, 1, 8, 8] }
outputs: [logits]
axes:
  batch: { min: 1, opt: 4, max: 16 }
"""

TORCH_MODEL = '''\
"""A tiny network whose width stands in a file of its own."""

import json
from pathlib import Path

import torch
from torch import nn

from tinynet.layers import Scale

WIDTH = json.loads((Path(__file__).parent / "width.json").read_text())["width"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, WIDTH, 3, padding=1)
        self.scale = Scale()
        self.fc = nn.Linear(WIDTH, 6)

    def forward(self, input):
        return self.fc(self.scale(torch.relu(self.stem(input))).mean((2, 3)))


def make_model():
    return Net()
'''

TORCH_LAYERS = """\
from torch import nn


class Scale(nn.Module):
    def forward(self, x):
        return x * 2.0  # the factor
"""
