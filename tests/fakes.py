"""Fakes of the seams, and small things that tests of backends and measurement share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trtproof.tensor import Array, Feeds, Signature, TensorSpec

TESTS = Path(__file__).parent
FAKE_BACKEND = "fake_backend:BACKEND"
CLASSES = 5
SIDE = 6
SIGNATURE = Signature(
    inputs=(TensorSpec("input", "float32", ("batch", 1, SIDE, SIDE)),),
    outputs=(TensorSpec("logits", "float32", ("batch", CLASSES)),),
)


WEIGHTS = {"stem.weight": (8, 1, 3, 3), "block.weight": (8, 8, 3, 3), "fc.weight": (CLASSES, 8)}
MODEL_CONFIG: dict[str, Any] = {
    "name": "tiny",
    "source": "module",
    "factory": "fake_models:make_tiny",
    "weights": "nowhere.safetensors",
    "options": {},
    "files": [],
    "inputs": {"input": {"dtype": "float32", "shape": ["batch", 1, SIDE, SIDE]}},
    "outputs": ["logits"],
    "axes": {"batch": {"min": 1, "opt": 4, "max": 8}},
}
"""conf/model of the tiny model's PyTorch twin, as export stores it."""


class FakeClock:
    """A clock that advances by the given steps, the last one for ever."""

    name = "fake"

    def __init__(self, steps_ns: Iterable[int]) -> None:
        self._steps = list(steps_ns)
        self._now = 0

    def now_ns(self) -> int:
        self._now += self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        return self._now


def write_model(folder: Path, *, seed: int = 0, external: bool = False) -> Path:
    """Write a tiny residual classifier as model.onnx with its signature.json."""
    folder.mkdir(parents=True, exist_ok=True)
    names = dict(zip(WEIGHTS, ("w1", "w2", "w3"), strict=True))
    weights = [
        numpy_helper.from_array(value, names[name]) for name, value in make_weights(seed).items()
    ]
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["c1"], name="stem/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="stem/Relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="block/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["a"], name="block/Add"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w3"], ["logits"], name="fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = folder / "model.onnx"
    if external:
        onnx.save(
            model,
            path,
            save_as_external_data=True,
            location="model.onnx.data",
            size_threshold=0,
        )
    else:
        onnx.save(model, path)
    write_signature(folder)
    return path


def make_weights(seed: int = 0) -> dict[str, Array]:
    """Return the tiny model's weights under the names of its PyTorch twin."""
    generator = np.random.default_rng(seed)
    return {
        name: generator.standard_normal(shape).astype(np.float32) / np.float32(3)
        for name, shape in WEIGHTS.items()
    }


def write_export(folder: Path, *, seed: int = 0) -> None:
    """Write what export leaves of the tiny model's PyTorch twin."""
    from safetensors.numpy import save_file

    write_model(folder, seed=seed)
    save_file(make_weights(seed), folder / "weights.safetensors")
    record = {"schema": 1, "config": MODEL_CONFIG}
    (folder / "export.json").write_text(json.dumps(record), encoding="utf-8")


def write_signature(folder: Path) -> None:
    (folder / "signature.json").write_text(json.dumps(SIGNATURE.to_json()), encoding="utf-8")


def make_feeds(count: int, *, seed: int = 1) -> Feeds:
    generator = np.random.default_rng(seed)
    return {"input": generator.random((count, 1, SIDE, SIDE)).astype(np.float32)}


def write_fake_plan(folder: Path, **faults: Any) -> Path:
    """Write what the fake backend opens: its plan and the signature."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "engine.fake").write_text(json.dumps(faults), encoding="utf-8")
    write_signature(folder)
    return folder
