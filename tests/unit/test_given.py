"""A file that states its precision already: what is read from it, and what it must agree with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_graphs import EXAMPLES, dataset

from trtproof.data_pass import collect
from trtproof.errors import ConfigError, MissingFileError, ModelError
from trtproof.precision import PASSES
from trtproof.precision.executors import EXECUTORS

SOURCES = {"int8_fp16": "int8", "fp8_fp16": "fp8"}
MADE = ("fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8", "fp8_fp16", "int8_cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """The float32 model (`reference`) and what every pass makes of it."""
    return convert_all("residual_convolution", tmp_path_factory.mktemp("convolution"))


@pytest.fixture(scope="module")
def attention(tmp_path_factory) -> dict[str, Path]:
    """The same of a model that fp8 quantises something of."""
    return convert_all("masked_attention", tmp_path_factory.mktemp("attention"))


def convert_all(kind, folder):
    example = EXAMPLES[kind]()
    reference = example.write(folder / "reference")
    calibration = collect(reference, dataset(example.feeds), batch=4, threads=1)
    made = {"reference": reference}
    for name in MADE:
        made[name] = folder / name / "model.onnx"
        made[name].parent.mkdir()
        source = made.get(SOURCES.get(name, ""), reference)
        PASSES.load(name)(source, made[name], calibration, {})
    return made


def take(files, path, folder):
    out = folder / "out" / "model.onnx"
    out.parent.mkdir(exist_ok=True)
    return PASSES.load("given")(files["reference"], out, None, {"file": str(path)}), out


@pytest.mark.parametrize("name", MADE)
def test_the_precision_is_read_from_the_file_and_its_bytes_stay(attention, name, tmp_path):
    record, out = take(attention, attention[name], tmp_path)
    assert record.precision == name
    assert record.executor in EXECUTORS
    assert out.read_bytes() == attention[name].read_bytes()
    assert record.found["quantize_count"] == sum(
        node.op_type == "QuantizeLinear" for node in onnx.load(attention[name]).graph.node
    )


def test_int8_nodes_are_counted_by_the_type_of_their_data(files, tmp_path):
    record, _ = take(files, files["int8"], tmp_path)
    assert record.found["nodes"]["Conv"] == {"INT8": 2}
    assert "2 Conv in INT8" in record.notes[0]
    assert record.scales["input"] == pytest.approx(scale_of(files["int8"], "input"))
    assert set(record.kept) == {node_that_stays(files["int8"])}


def scale_of(path, tensor):
    graph = onnx.load(path).graph
    weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    node = next(node for node in graph.node if list(node.input[:1]) == [tensor])
    return [float(weights[node.input[1]])]


def node_that_stays(path):
    return next(node.name for node in onnx.load(path).graph.node if node.op_type == "Gemm")


def test_a_float32_file_is_taken_with_a_warning(files, tmp_path):
    record, _ = take(files, files["fp32"], tmp_path)
    assert "no precision below float32" in record.warnings[0]


@pytest.mark.parametrize("options", [{}, {"file": None}, {"file": 3}])
def test_a_recipe_without_a_file_is_refused(files, options, tmp_path):
    with pytest.raises(ConfigError, match="is no path of an"):
        PASSES.load("given")(files["reference"], tmp_path / "out.onnx", None, options)


def test_a_file_that_is_not_there_is_named(files, tmp_path):
    with pytest.raises(MissingFileError, match="absent"):
        take(files, tmp_path / "absent.onnx", tmp_path)


def changed(files, tmp_path, change):
    proto = onnx.load(files["fp16"])
    change(proto)
    path = tmp_path / "changed.onnx"
    onnx.save(proto, path)
    return path


def rename_output(proto):
    proto.graph.node.append(
        helper.make_node("Identity", [proto.graph.output[0].name], ["scores"], "last")
    )
    proto.graph.output[0].name = "scores"


def fix_batch(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


def halve_output(proto):
    name = proto.graph.output[0].name
    cast = helper.make_node("Cast", [name], ["half"], "last", to=TensorProto.FLOAT16)
    proto.graph.node.append(cast)
    for node in proto.graph.node[:-1]:
        node.output[:] = ["inside" if item == name else item for item in node.output]
    proto.graph.node[-1].input[0], proto.graph.node[-1].output[0] = "inside", name
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def use_foreign_operator(proto):
    proto.opset_import.append(helper.make_opsetid("trt", 1))
    name = proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = ["inside" if item == name else item for item in node.output]
    proto.graph.node.append(
        helper.make_node("TRT_FP8QuantizeLinear", ["inside"], [name], "q", domain="trt")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_output, "its outputs are scores, the reference's logits"),
        (fix_batch, r"input 'input' has shape \[4.*dynamic axes"),
        (halve_output, "output 'logits' is FLOAT16, the reference's is FLOAT.*keep_io_types"),
        (use_foreign_operator, "trt::TRT_FP8QuantizeLinear.*cannot be checked"),
    ],
)
def test_a_file_of_another_signature_is_refused_with_the_repair(files, change, message, tmp_path):
    path = changed(files, tmp_path, change)
    with pytest.raises(ModelError, match=message):
        take(files, path, tmp_path)


def test_a_file_that_no_precision_stands_for_is_refused(files, tmp_path):
    def to_int16(proto):
        for tensor in proto.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype == np.int8:
                tensor.CopyFrom(numpy_helper.from_array(values.astype(np.int16), tensor.name))
        for item in proto.opset_import:
            item.version = max(item.version, 21)

    proto = onnx.load(files["int8"])
    to_int16(proto)
    del proto.graph.value_info[:]
    path = tmp_path / "int16.onnx"
    onnx.save(proto, path)
    with pytest.raises(ModelError, match="mixes INT16"):
        take(files, path, tmp_path)


def test_biases_of_32_bits_are_for_a_cpu_only_with_the_repair(files, tmp_path):
    proto = onnx.load(files["int8"])
    gemm = next(node for node in proto.graph.node if node.op_type == "Gemm")
    size = next(t.dims[0] for t in proto.graph.initializer if t.name == gemm.input[2])
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(size, np.int32), "bias32"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(0.1, np.float32), "bias_scale"))
    position = list(proto.graph.node).index(gemm)
    proto.graph.node.insert(
        position, helper.make_node("DequantizeLinear", ["bias32", "bias_scale"], ["bias"], "dq")
    )
    proto.graph.node[position + 1].input[2] = "bias"
    path = tmp_path / "bias.onnx"
    onnx.save(proto, path)
    record, _ = take(files, path, tmp_path)
    assert record.precision == "int8_cpu"
    assert "1 DequantizeLinear of 32-bit integers" in record.warnings[0]
    assert "QuantizeBias" in record.warnings[0]


def test_external_data_comes_along(files, tmp_path):
    path = tmp_path / "given.onnx"
    onnx.save_model(
        onnx.load(files["fp16"]),
        path,
        save_as_external_data=True,
        location="given.data",
        size_threshold=0,
    )
    _, out = take(files, path, tmp_path)
    assert (out.parent / "given.data").read_bytes() == (tmp_path / "given.data").read_bytes()
