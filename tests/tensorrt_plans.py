"""Plans of the fake TensorRT, written without a builder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.plan import write_plan
from tests.fakes import SIGNATURE, write_model

from trtproof.tensor import Feeds, Signature, TensorSpec

PLAN_FILE = "engine.plan"
SCRATCH_BYTES = 4096
ONE_PROFILE = [{"input": [[1, 1, 6, 6], [4, 1, 6, 6], [8, 1, 6, 6]]}]
TWO_PROFILES = [
    {"input": [[1, 1, 6, 6], [1, 1, 6, 6], [2, 1, 6, 6]]},
    {"input": [[2, 1, 6, 6], [8, 1, 6, 6], [16, 1, 6, 6]]},
]
MEAN = Signature(
    inputs=(TensorSpec("x", "float32", ("n",)),), outputs=(TensorSpec("y", "int64", (1, "found")),)
)
RESHAPED = Signature(
    inputs=(TensorSpec("x", "float32", (12,)), TensorSpec("to", "int64", (2,))),
    outputs=(TensorSpec("y", "float32", ("rows", "columns")),),
)


def make_header(host: Host | None = None, **changes: Any) -> dict[str, Any]:
    host = host or Host()
    header = {
        "version": host.version,
        "gpu": host.gpu,
        "compute_capability": host.compute_capability,
        "profiles": ONE_PROFILE,
        "scratch": SCRATCH_BYTES,
        "tf32": False,
        "version_compatible": False,
        "lean_runtime": False,
        "hardware_compatibility": "NONE",
        "verbosity": "DETAILED",
        "aux_streams": 0,
        "weight_streaming": False,
        "name": "network",
    }
    return header | changes


def write_variant(
    folder: Path,
    model: onnx.ModelProto | None = None,
    *,
    signature: Signature = SIGNATURE,
    host: Host | None = None,
    **header: Any,
) -> Path:
    """Write a variant's folder: the plan of a model (the tiny one by default), its signature."""
    folder.mkdir(parents=True, exist_ok=True)
    if model is None:
        model = onnx.load(write_model(folder / "model"))
    data = write_plan(make_header(host, **header), model.SerializeToString())
    (folder / PLAN_FILE).write_bytes(data)
    text = json.dumps(signature.to_json())
    (folder / "signature.json").write_text(text, encoding="utf-8")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def expect(folder: Path, feeds: Feeds) -> Feeds:
    """Return what ONNX Runtime answers, with the options of the fake."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = str(folder / "model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def make_nonzero() -> onnx.ModelProto:
    """Return a model whose output's shape depends on the data."""
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["y"], name="find")],
        "nonzero",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1, "found"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def make_reshape() -> onnx.ModelProto:
    """Return a model with an input that holds a shape."""
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "one"], ["z"], name="add"),
            helper.make_node("Reshape", ["z", "to"], ["y"], name="reshape"),
        ],
        "reshape",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [12]),
            helper.make_tensor_value_info("to", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])],
        [numpy_helper.from_array(np.ones(12, np.float32), "one")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
