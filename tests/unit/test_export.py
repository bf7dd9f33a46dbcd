from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import trtproof
from trtproof.backends.onnxruntime import open_graph
from trtproof.config import AxisConfig, ExportConfig, InputConfig, ModelConfig, ParityConfig
from trtproof.errors import ConfigError, InputError, ModelError
from trtproof.models.base import input_specs
from trtproof.models.export import describe, describe_export, export_module, trace_feeds
from trtproof.models.normalise import normalise, write_model
from trtproof.models.onnx import (
    adopt_config,
    check_file,
    load_source,
    make_signature,
    read_model,
)
from trtproof.models.reference import make_function
from trtproof.parity import require_parity

LIMITS = ParityConfig(max_relative_error=1e-4, min_cosine=0.99999)
RANDOM = np.random.default_rng(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + x)


class Small(nn.Module):
    """Two inputs with a shared axis, two outputs, a batch norm to fold, equal blocks."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 3)

    def forward(self, image, scale):
        features = self.blocks(image) * scale[:, :, None, None]
        return self.head(features.mean(dim=2))[:, 0], features.sum(dim=(1, 3))


SMALL: dict[str, Any] = {
    "inputs": {
        "image": InputConfig(dtype="float32", shape=["batch", 1, "height", 4]),
        "scale": InputConfig(dtype="float32", shape=["batch", 1]),
    },
    "outputs": ["logits", "rows"],
    "axes": {
        "batch": AxisConfig(min=1, opt=3, max=5),
        "height": AxisConfig(min=2, opt=4, max=9),
    },
}
SMALL_FEEDS = {
    "image": RANDOM.standard_normal((5, 1, 4, 4), dtype=np.float32),
    "scale": RANDOM.standard_normal((5, 1), dtype=np.float32),
}
LINEAR_FEEDS = {"x": RANDOM.standard_normal((5, 4), dtype=np.float32)}


def make_config(**settings):
    defaults = {
        "name": "m",
        "source": "module",
        "factory": "tests:none",
        "weights": None,
        "options": {},
        "files": [],
        "inputs": {"x": InputConfig(dtype="float32", shape=["batch", 4])},
        "outputs": ["y"],
        "axes": {"batch": AxisConfig(min=1, opt=3, max=5)},
    }
    return ModelConfig(**(defaults | settings))


def settings_of(exporter, opset=None):
    return ExportConfig(
        exporter=exporter, opset=opset or {"dynamo": 20, "legacy": 17}[exporter], parity=LIMITS
    )


def make_small():
    torch.manual_seed(0)
    return Small().eval()


def export(module, config, feeds, exporter, opset=None):
    model = export_module(module, config, settings_of(exporter, opset), feeds)
    adopt_config(model, config)
    normalise(model)
    return model


@pytest.fixture(scope="module", params=["dynamo", "legacy"])
def exported(request):
    return request.param, export(make_small(), make_config(**SMALL), SMALL_FEEDS, request.param)


def test_axes_keep_confs_names_and_outputs_state_their_shapes(exported):
    _, model = exported
    signature = make_signature(model, make_config(**SMALL), ())
    assert [(spec.name, list(spec.shape)) for spec in signature.inputs] == [
        ("image", ["batch", 1, "height", 4]),
        ("scale", ["batch", 1]),
    ]
    assert [(spec.name, spec.dtype, list(spec.shape)) for spec in signature.outputs] == [
        ("logits", "float32", ["batch", 3]),
        ("rows", "float32", ["batch", "height"]),
    ]


def test_the_graph_computes_what_the_module_does_at_every_bound(exported, tmp_path):
    _, model = exported
    config = make_config(**SMALL)
    path = write_model(onnx.ModelProto.FromString(model.SerializeToString()), tmp_path)
    check_file(path)
    specs = input_specs(config)
    figures = require_parity(
        make_function(make_small(), specs, config.outputs),
        open_graph(path, threads=1).run,
        SMALL_FEEDS,
        specs,
        axes=config.axes,
        limits=LIMITS,
    )
    assert len(figures) == 6


def test_nodes_are_named_by_module(exported):
    exporter, model = exported
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    if exporter == "dynamo":
        assert convolutions == ["blocks/0/conv/Conv", "blocks/1/conv/Conv"]
    else:
        assert all("blocks" in name and "conv" in name for name in convolutions)


def test_nothing_says_where_the_graph_was_made(exported):
    _, model = exported
    text = model.SerializeToString()
    assert __file__.encode() not in text
    assert str(Path(torch.__file__).parent).encode() not in text
    assert torch.__version__.encode() not in text


def test_the_record_says_how_the_graph_was_made(exported):
    exporter, model = exported
    record = describe_export(model, make_config(), settings_of(exporter))
    assert (record["exporter"], record["opset"]) == (exporter, settings_of(exporter).opset)
    assert record["nodes_count"] == len(model.graph.node)
    assert (
        describe_export(model, make_config(source="onnx"), settings_of(exporter))["exporter"]
        is None
    )


class Decompose(nn.Module):
    def forward(self, x):
        return torch.linalg.svd(x)[1]


class Branch(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("module", "exporter", "other"),
    [(Decompose(), "legacy", "dynamo"), (Branch(), "dynamo", "legacy")],
)
def test_the_error_of_one_exporter_is_one_line_that_names_the_other(module, exporter, other):
    with pytest.raises(ModelError, match=f"try `export.exporter: {other}`") as caught:
        export_module(module, make_config(), settings_of(exporter), LINEAR_FEEDS)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert "step 1/3" not in str(caught.value)


def test_what_is_wrong_with_the_module_itself_shows_before_any_exporter_runs():
    with pytest.raises(ModelError, match=r"returns 2 outputs, `model\.outputs` names 1"):
        export_module(
            make_small(),
            make_config(**(SMALL | {"outputs": ["y"]})),
            settings_of("dynamo"),
            SMALL_FEEDS,
        )


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
def test_an_opset_that_the_exporter_cannot_write_is_an_error_and_not_another_opset(exporter):
    with pytest.raises((ConfigError, ModelError), match="30") as caught:
        export_module(nn.Linear(4, 2), make_config(), settings_of(exporter, 30), LINEAR_FEEDS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extent", [1, 4])
def test_an_axis_with_one_extent_stays_dynamic(extent):
    axes = {"batch": AxisConfig(min=extent, opt=extent, max=extent)}
    config = make_config(axes=axes)
    model = export(nn.Linear(4, 2).eval(), config, LINEAR_FEEDS, "dynamo")
    assert make_signature(model, config, ()).outputs[0].shape == ("batch", 2)


def test_a_trace_never_sees_an_extent_of_one():
    config = make_config(axes={"batch": AxisConfig(min=1, opt=1, max=1)})
    assert trace_feeds(LINEAR_FEEDS, config)["x"].shape == (2, 4)


def test_the_innermost_cause_is_what_an_exporters_error_is_about():
    error = RuntimeError("general advice\nmore")
    error.__cause__ = ValueError("\n  \x1b[96mthe cause\x1b[0m.\nits details")
    assert describe(error) == "ValueError: the cause"


USER_MODEL = """
    from torch import nn

    def make():
        return nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten())
"""

BYTES_SCRIPT = """
    import hashlib
    import numpy as np
    from pathlib import Path
    import trtproof
    from trtproof.config import AxisConfig, ExportConfig, InputConfig, ModelConfig, ParityConfig
    from trtproof.models import SOURCES
    from trtproof.models.export import make_onnx
    from trtproof.models.normalise import normalise, write_model
    from trtproof.models.onnx import adopt_config
    from trtproof.models.weights import write_weights

    assert Path(trtproof.__file__).is_relative_to(Path.cwd()), trtproof.__file__
    config = ModelConfig(
        name="m", source="module", factory="user_model:make",
        weights=None, options={}, files=[], outputs=["y"],
        inputs={"x": InputConfig(dtype="float32", shape=["batch", 2, 4])},
        axes={"batch": AxisConfig(min=1, opt=2, max=4)},
    )
    parity = ParityConfig(max_relative_error=1.0, min_cosine=0.0)
    settings = ExportConfig(exporter="dynamo", opset=20, parity=parity)
    feeds = {"x": np.ones((4, 2, 4), np.float32)}
    module = SOURCES.load("module").make_module(config)
    model = make_onnx(module, config, settings, feeds)
    adopt_config(model, config)
    normalise(model)
    write_model(model, Path.cwd())
    write_weights(module, Path("weights.safetensors"))
    for name in ("model.onnx", "weights.safetensors"):
        print(hashlib.sha256(Path(name).read_bytes()).hexdigest())
"""


def start_export(folder, seed):
    """Start an export from a copy of the sources, in a process of its own."""
    source = Path(trtproof.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(source, folder / "trtproof", ignore=ignored)
    (folder / "user_model.py").write_text(textwrap.dedent(USER_MODEL))
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONHASHSEED": seed}
    environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(BYTES_SCRIPT)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def read_digests(process):
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.split()


@pytest.mark.slow
def test_bytes_are_equal_in_two_processes_and_from_two_copies_of_the_sources(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two" / "deeper"]
    processes = [start_export(folder, seed) for folder, seed in zip(folders, "12", strict=True)]
    one, other = [read_digests(process) for process in processes]
    assert one == other
    assert len(one) == 2


# The onnx source: the user's own file.


def make_file(path, *, names=("x", "y"), shape=("N", 4), weight=None, kind="MatMul", dtype=1):
    weight = np.ones((4, 2), np.float32) if weight is None else weight
    x = helper.make_tensor_value_info(names[0], dtype, shape)
    y = helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [shape[0], 2])
    nodes = [helper.make_node(kind, [names[0], "w"], [names[1]])]
    graph = helper.make_graph(nodes, "main", [x], [y], [numpy_helper.from_array(weight, "w")])
    opsets = [helper.make_opsetid("", 19)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="someone")
    path.write_bytes(model.SerializeToString())
    return model


def onnx_config(path, **settings):
    return make_config(source="onnx", factory=None, weights=str(path), **settings)


def adopt(path, **settings):
    config = onnx_config(path, **settings)
    model = load_source(config)
    adopt_config(model, config)
    return make_signature(model, config, ())


def test_the_files_axes_get_confs_names(tmp_path):
    make_file(tmp_path / "m.onnx")
    signature = adopt(tmp_path / "m.onnx")
    assert [list(spec.shape) for spec in signature.inputs] == [["batch", 4]]
    assert [list(spec.shape) for spec in signature.outputs] == [["batch", 2]]


def test_an_axis_without_a_name_gets_confs(tmp_path):
    model = make_file(tmp_path / "m.onnx")
    for item in (model.graph.input[0], model.graph.output[0]):
        item.type.tensor_type.shape.dim[0].Clear()
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert adopt(tmp_path / "m.onnx").inputs[0].shape == ("batch", 4)


def test_weights_in_external_data_are_read(tmp_path):
    big = np.arange(4096, dtype=np.float32).reshape(4, 1024)
    model = make_file(tmp_path / "m.onnx", weight=big)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1024
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    model = load_source(onnx_config(tmp_path / "m.onnx"))
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), big)
    (tmp_path / "m.data").unlink()
    with pytest.raises(InputError, match=r"m\.onnx") as caught:
        load_source(onnx_config(tmp_path / "m.onnx"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept_bytes", [0, 1, 30, 100])
def test_an_empty_or_truncated_file_is_one_line(tmp_path, kept_bytes):
    path = tmp_path / "m.onnx"
    make_file(path)
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(InputError, match=r"m\.onnx.*export the model again") as caught:
        load_source(onnx_config(path))
    assert "\n" not in str(caught.value)


def test_reading_alone_tells_an_empty_or_broken_file_too(tmp_path):
    path = tmp_path / "m.onnx"
    for content in (b"", b"\xff\xff\xff"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"m\.onnx is"):
            read_model(path)


def test_a_file_whose_shapes_contradict_each_other_is_refused(tmp_path):
    make_file(tmp_path / "m.onnx", weight=np.ones((5, 2), np.float32))
    with pytest.raises(InputError, match="not a valid ONNX model") as caught:
        load_source(onnx_config(tmp_path / "m.onnx"))
    assert "\n" not in str(caught.value)


def test_float16_weights_are_refused(tmp_path):
    make_file(tmp_path / "m.onnx", weight=np.ones((4, 2), np.float16), dtype=TensorProto.FLOAT16)
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="'w' is FLOAT16, not FLOAT"):
        load_source(onnx_config(tmp_path / "m.onnx"))


def test_a_quantised_file_is_refused(tmp_path):
    model = make_file(tmp_path / "m.onnx")
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "s")
    zero = numpy_helper.from_array(np.array(0, np.int8), "z")
    model.graph.initializer.extend([scale, zero])
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="quantise"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["y"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="'quantise' is QuantizeLinear"):
        load_source(onnx_config(tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    ("file", "settings", "message"),
    [
        ({"names": ("image", "y")}, {}, r"inputs are image, `model\.inputs` names x"),
        ({"names": ("x", "z")}, {}, r"outputs are z, `model\.outputs` names y"),
        ({"shape": (3, 4)}, {}, r"the graph has float32 \[3, 4\], conf float32 \['batch', 4\]"),
        (
            {},
            {"inputs": {"x": InputConfig(dtype="float32", shape=["batch", 5])}},
            r"\['N', 4\], conf float32 \['batch', 5\]",
        ),
        (
            {},
            {"inputs": {"x": InputConfig(dtype="float32", shape=[2, 4])}},
            r"\['N', 4\], conf float32 \[2, 4\]",
        ),
        (
            {},
            {"inputs": {"x": InputConfig(dtype="int64", shape=["batch", 4])}},
            "conf int64",
        ),
        (
            {},
            {"inputs": {"x": InputConfig(dtype="float32", shape=["batch", 4, 1])}},
            "conf float32",
        ),
    ],
)
def test_a_graph_that_is_not_what_conf_states_is_told_with_both_sides(
    tmp_path, file, settings, message
):
    make_file(tmp_path / "m.onnx", **file)
    with pytest.raises(ModelError, match=message) as caught:
        adopt(tmp_path / "m.onnx", **settings)
    assert "\n" not in str(caught.value)


def test_one_axis_of_the_graph_cannot_be_two_of_conf(tmp_path):
    model = make_file(tmp_path / "m.onnx", shape=("N", "N"))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((4, 2), np.float32), "w"))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    inputs = {"x": InputConfig(dtype="float32", shape=["batch", "length"])}
    axes = {"batch": AxisConfig(min=1, opt=1, max=1), "length": AxisConfig(min=4, opt=4, max=4)}
    with pytest.raises(ModelError, match=r"\['N', 'N'\], conf float32 \['batch', 'length'\]"):
        adopt(tmp_path / "m.onnx", inputs=inputs, axes=axes)


def test_weights_that_old_files_list_as_inputs_are_not_inputs(tmp_path):
    model = make_file(tmp_path / "m.onnx")
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 2]))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    config = onnx_config(tmp_path / "m.onnx")
    model = load_source(config)
    adopt_config(model, config)
    assert [item.name for item in model.graph.input] == ["x"]


def test_the_committed_weights_are_what_their_record_says():
    import json

    from trtproof.models.embedded.digits_resnet import make_model
    from trtproof.models.embedded.train_digits import RECORD, WEIGHTS, score
    from trtproof.models.weights import load_weights

    record = json.loads(RECORD.read_text())
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == record["weights_sha256"]
    assert WEIGHTS.stat().st_size < 3_000_000
    model = make_model().eval()
    load_weights(model, WEIGHTS)
    assert sum(parameter.numel() for parameter in model.parameters()) == record["parameters"]
    accuracy, samples = score(model, "test")
    assert samples == record["test_samples"] == 500
    assert accuracy == pytest.approx(record["test_top1_pct"], abs=0.2)  # other CPUs round otherwise
    assert accuracy >= 98
