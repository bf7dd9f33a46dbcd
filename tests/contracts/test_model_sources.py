"""What every registered model source keeps to: one model, the same in every call."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from trtproof.config import AxisConfig, ExportConfig, InputConfig, ModelConfig, ParityConfig
from trtproof.models import SOURCES
from trtproof.models.base import input_specs
from trtproof.models.export import make_onnx
from trtproof.models.normalise import normalise
from trtproof.models.onnx import adopt_config, make_signature
from trtproof.models.reference import make_function

LEGACY = ExportConfig(
    exporter="legacy", opset=17, parity=ParityConfig(max_relative_error=1e-4, min_cosine=0.9999)
)
FEEDS = {"x": np.random.default_rng(0).standard_normal((4, 3, 32, 32), dtype=np.float32)}

FACTORY = """
    from torch import nn

    def make():
        return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(1800, 5))
"""


def write_onnx(path):
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 32, 32])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])
    weight = numpy_helper.from_array(np.ones((3072, 5), np.float32), "w")
    graph = helper.make_graph(nodes, "main", [x], [y], [weight])
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )


SETTINGS: dict[str, dict[str, Any]] = {
    "module": {"factory": "contract_factory:make"},
    "transformers": {
        "options": {
            "config_class": "ResNetConfig",
            "model_class": "ResNetForImageClassification",
            "config": {
                "embedding_size": 4,
                "hidden_sizes": [4, 8],
                "depths": [1, 1],
                "layer_type": "basic",
                "num_labels": 5,
            },
        },
        "inputs": {"pixel_values": InputConfig(dtype="float32", shape=["batch", 3, 32, 32])},
        "outputs": ["logits"],
    },
    "onnx": {"weights": "model.onnx"},
}


@pytest.fixture(params=list(SOURCES))
def config(request, tmp_path, monkeypatch):
    assert request.param in SETTINGS, f"give source {request.param!r} settings to be tested with"
    if request.param == "transformers":
        pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "contract_factory.py").write_text(textwrap.dedent(FACTORY))
    write_onnx(tmp_path / "model.onnx")
    settings: dict[str, Any] = {
        "name": "m",
        "source": request.param,
        "factory": None,
        "weights": None,
        "options": {},
        "files": [],
        "inputs": {"x": InputConfig(dtype="float32", shape=["batch", 3, 32, 32])},
        "outputs": ["y"],
        "axes": {"batch": AxisConfig(min=1, opt=2, max=4)},
    }
    return ModelConfig(**(settings | SETTINGS[request.param]))


def feeds_for(config):
    return dict.fromkeys(config.inputs, FEEDS["x"])


def export_normalised(config):
    module = SOURCES.load(config.source).make_module(config)
    model = make_onnx(module, config, LEGACY, feeds_for(config))
    adopt_config(model, config)
    normalise(model)
    return model


def test_a_module_takes_the_configured_inputs_and_gives_the_configured_outputs(config):
    module = SOURCES.load(config.source).make_module(config)
    if module is None:
        return
    assert not module.training
    found = make_function(module, input_specs(config), config.outputs)(feeds_for(config))
    assert list(found) == config.outputs
    assert {str(array.dtype) for array in found.values()} == {"float32"}


def test_two_calls_make_the_same_model(config):
    modules = [SOURCES.load(config.source).make_module(config) for _ in range(2)]
    if modules[0] is None or modules[1] is None:
        return
    one, other = (
        make_function(module, input_specs(config), config.outputs)(feeds_for(config))
        for module in modules
        if module is not None
    )
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_its_graph_has_confs_names_and_axes_and_the_same_bytes_every_time(config):
    model = export_normalised(config)
    signature = make_signature(model, config, ())
    assert signature.inputs == input_specs(config)
    assert [list(spec.shape) for spec in signature.outputs] == [["batch", 5]]
    assert signature.output_names == config.outputs
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert model.SerializeToString() == export_normalised(config).SerializeToString()
