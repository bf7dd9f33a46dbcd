"""A project with an exported model and no weights to train: a small graph over the real digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from onnx import TensorProto, helper
from tests.onnx_graphs import Example, model, normal

from trtproof import artifacts
from trtproof.tensor import Signature, TensorSpec

REPOSITORY = Path(__file__).parents[2]
SAMPLES = 12


def make_project(folder: Path, **changes: Any) -> None:
    """Write params.yaml (ours, with other sections where named) and artifacts/export/."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["pythonpath"] = []
    for split in ("calibration", "evaluation"):
        params["dataset"][split]["count"] = SAMPLES
    for section, values in changes.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    export = folder / artifacts.EXPORT
    Example(small_network(), {}).write(export)
    signature = Signature(
        inputs=(TensorSpec("input", "float32", ("batch", 1, 16, 16)),),
        outputs=(TensorSpec("logits", "float32", ("batch", 10)),),
    )
    artifacts.write_json(export / "signature.json", signature.to_json())


def small_network() -> Any:
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c1"], name="conv", strides=[4, 4]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu"),
        helper.make_node("Flatten", ["r1"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "w2", "b2"], ["logits"], name="head"),
    ]
    weights = {
        "w1": normal(8, 1, 4, 4),
        "b1": normal(8),
        "w2": normal(128, 10, scale=0.1),
        "b2": np.zeros(10, np.float32),
    }
    inputs = {"input": (TensorProto.FLOAT, ("batch", 1, 16, 16))}
    return model(nodes, inputs, {"logits": ("batch", 10)}, weights)
