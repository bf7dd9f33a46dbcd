"""What the engine inspector's text says, of both majors, whole and broken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.inspector_texts import engine, layer, onnx, small, tensor

from trtproof.backends.tensorrt.datatypes import read_dtype
from trtproof.backends.tensorrt.fused import find_onnx_nodes
from trtproof.backends.tensorrt.inspect import Layer, LayerTensor, read_inspection

MAJORS = pytest.mark.parametrize("major", [10, 11])


@MAJORS
def test_a_layer_keeps_names_types_layout_tactic_and_its_onnx_nodes(major: int) -> None:
    found = read_inspection(small("FP16", major=major))
    assert found.problems == []
    assert found.io_names == ["image", "logits"]
    conv = found.layers[1]
    assert (conv.index, conv.name, conv.kind) == (1, "conv1 + relu1", "CaskConvolution")
    assert conv.onnx_nodes == ("conv1", "relu1")
    assert found.layers[2].onnx_nodes == ("conv2",)
    assert conv.tactic == "sm90_CaskConvolution"
    assert conv.weights_dtype == "float16"
    assert [(one.name, one.dtype, one.shape) for one in conv.inputs] == [
        ("conv1 + relu1 in", "float16", (1, 8, 4, 4))
    ]
    assert conv.inputs[0].format is not None
    assert "Channel major" in conv.inputs[0].format


def test_both_majors_give_the_same_types_of_the_same_engine() -> None:
    ten, eleven = (read_inspection(small("Int8", major=major)).layers for major in (10, 11))
    assert [[one.dtype for one in item.inputs] for item in ten] == [
        [one.dtype for one in item.inputs] for item in eleven
    ]


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("Row major linear FP32", "float32"),
        ("Channel major FP16 format where channel % 8 == 0", "float16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Row major linear BFloat16", "bfloat16"),
        ("BF16", "bfloat16"),
        ("Half", "float16"),
        ("kHALF", "float16"),
        ("Float", "float32"),
        ("FP8", "float8_e4m3fn"),
        ("Row major linear FP8 format", "float8_e4m3fn"),
        ("Row major linear UInt8 format", "uint8"),
        ("Row major linear INT32", "int32"),
        ("Bool", "bool"),
        ("N/A due to dynamic shapes", None),
        ("", None),
    ],
)
def test_a_datatype_is_read_from_any_spelling(text: str, dtype: str | None) -> None:
    assert read_dtype(text) == dtype


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("Conv_0 + Relu_1", ("Conv_0", "Relu_1")),
        ("conv_a || conv_b", ("conv_a", "conv_b")),
        ("conv1.weight + QuantizeLinear_7 + Conv_9 + MaxPool_12",
         ("QuantizeLinear_7", "Conv_9", "MaxPool_12")),
        ("PWN(PWN(Sigmoid_1), Mul_2)", ("Sigmoid_1", "Mul_2")),
        ("Reformatting CopyNode for Input Tensor 0 to Conv_0 + Relu_1", ()),
        ("Gemm_1 + fc.bias + (Unnamed Layer* 30) [Shuffle]", ("Gemm_1",)),
        ("reshape_after_Gemm_48", ()),
        ("{ForeignNode[/a/MatMul.../b/Softmax]}", ("/a/MatMul", "/b/Softmax")),
        ("/block/conv/Conv [profile 1]", ("/block/conv/Conv",)),
        ("__myl_CastMulAdd_myl0_3", ()),
    ],
)  # fmt: skip
def test_a_name_is_taken_apart_where_nothing_else_is_known(
    name: str, nodes: tuple[str, ...]
) -> None:
    assert find_onnx_nodes(name, "") == nodes


def test_metadata_counts_before_the_name_and_only_nodes_of_the_model_count() -> None:
    metadata = onnx("/a/Conv", "/a/Relu | outer (Function)", "/a/Conv")
    assert find_onnx_nodes("__myl_Conv_0", metadata) == ("/a/Conv", "/a/Relu")
    assert find_onnx_nodes("__myl_Conv_0", metadata, {"/a/Relu"}) == ("/a/Relu",)
    assert find_onnx_nodes("Conv_0 + Relu_1", "", {"Conv_0"}) == ("Conv_0",)
    joined = "[ONNX Layer: a][ONNX Layer: b[0]]"
    assert find_onnx_nodes("x", joined) == ("a", "b[0]")


def test_layers_without_detail_are_known_by_name_only() -> None:
    found = read_inspection(json.dumps({"Layers": ["Conv_0 + Relu_1", "Gemm_2"]}))
    assert found.layers[0] == Layer(0, "Conv_0 + Relu_1", None, ("Conv_0", "Relu_1"), (), (), None)
    assert found.problems == []


def test_a_layer_may_lack_everything_and_tensors_may_be_names() -> None:
    text = json.dumps([{"Name": "Wait", "LayerType": "Wait"}, {"Name": "a", "Inputs": ["x"]}])
    wait, named = read_inspection(text).layers
    assert (wait.inputs, wait.outputs, wait.tactic) == ((), (), None)
    assert named.inputs == (LayerTensor("x"),)


def test_illegal_characters_and_trailing_commas_are_read_over() -> None:
    whole = engine([layer("conv\tA", "Conv", "Half", "Half")])
    broken = whole.replace("\\t", "\t").replace("sm90_", "C:\\sm90_").replace("]}", "],}")
    with pytest.raises(ValueError, match=r"."):
        json.loads(broken)
    found = read_inspection(broken)
    assert found.problems == []
    assert found.layers[0].name == "conv\tA"
    assert found.layers[0].tactic == "C:\\sm90_Conv"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ('{"Layers": [{"Name": "a"', "not JSON"),
        ('{"Bindings": []}', "no list of layers"),
        ("3", "no list of layers"),
        ('{"Layers": [3]}', "layer 0 is a int"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, problem: str) -> None:
    found = read_inspection(text)
    assert found.layers in ((), [])
    assert problem in found.problems[0]


KEYS = ("Layers", "Name", "Inputs", "Metadata", "Weights", "Format/Datatype", "LayerType")
LEAVES = st.none() | st.integers() | st.text()


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner)


@given(st.recursive(LEAVES, nested, max_leaves=12))
def test_no_json_at_all_makes_the_parser_fail(data: object) -> None:
    read_inspection(json.dumps(data))


def test_the_record_is_plain_data_with_every_key() -> None:
    entry = read_inspection(engine([layer("a", "Conv", "Half", "Half")])).layers[0].to_json()
    assert set(entry) >= {"index", "name", "kind", "onnx_nodes", "inputs", "outputs", "tactic"}
    assert entry["inputs"][0]["dtype"] == "float16"
    assert json.loads(json.dumps(entry))["inputs"][0]["shape"] == [1, 8, 4, 4]
    assert tensor("a", "Half")["Format/Datatype"] == "Half"
