"""Which precision an engine computes in: proof, or none."""

from __future__ import annotations

import json
import os
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper
from tests.inspector_texts import engine, layer, small, tensor

from trtproof.backends.tensorrt.asked import asked_share, node_names
from trtproof.backends.tensorrt.inspect import read_inspection
from trtproof.backends.tensorrt.inspected import Asked, inspect_text, require_precision
from trtproof.backends.tensorrt.realised import (
    HALF,
    Realised,
    count_boundaries,
    count_layers,
    judge_precision,
)
from trtproof.errors import BuildFailedError

ENGINES = os.environ.get("TRTPROOF_ENGINE_DATA")
REAL = pytest.mark.skipif(
    not ENGINES, reason="TRTPROOF_ENGINE_DATA names no folder of real engines' inspector files"
)
MAJORS = pytest.mark.parametrize("major", [10, 11])


def judge(layers: list[Any], precision: str, share: float | None = None) -> Realised:
    return judge_precision(read_inspection(engine(layers)), precision, expected_share=share)


@MAJORS
@pytest.mark.parametrize(
    ("dtype", "right", "wrong"),
    [
        ("FP32", ["fp32"], ["fp16", "bf16", "int8", "int8_fp16", "fp8"]),
        ("FP16", ["fp16"], ["fp32", "bf16", "int8", "fp8_fp16"]),
        ("Int8", ["int8", "int8_fp16"], ["fp32", "fp16", "bf16", "fp8"]),
    ],
)
def test_float32_half_and_int8_are_told_apart(
    dtype: str, right: list[str], wrong: list[str], major: int
) -> None:
    inspection = read_inspection(small(dtype, major=major))
    for precision in right:
        assert judge_precision(inspection, precision).word == "as_asked", precision
    for precision in wrong:
        assert judge_precision(inspection, precision).word == "not_as_asked", precision


@MAJORS
def test_layers_are_counted_as_a_reader_counts_them(major: int) -> None:
    layers = read_inspection(small("FP16", major=major)).layers
    #                             layers kernels reformats quantizers casts untyped
    assert astuple(count_layers(layers)) == (5, 3, 1, 0, 1, 0)
    assert astuple(count_layers(read_inspection(small("Int8", major=major)).layers)) == (
        5, 3, 1, 1, 0, 0,
    )  # fmt: skip
    assert count_boundaries(layers) == {"float16 -> float16": 2, "float32 -> float16": 1}


def test_work_on_the_host_and_other_profiles_count_for_nothing() -> None:
    host = layer("Gather_3", "Gather", "Int64", "Int64")
    host["Inputs"] = host["Outputs"] = [tensor("n", "Int64", location="Host")]
    conv = layer("Conv_0", "CaskConvolution", "Half", "Half")
    again = layer("Conv_0 [profile 1]", "CaskConvolution", "Half", "Half")
    layers = read_inspection(engine([conv, again, host])).layers
    assert astuple(count_layers(layers)) == (2, 1, 0, 0, 0, 0)


def test_a_hidden_block_is_undecidable_and_its_share_is_said() -> None:
    block = layer("{ForeignNode[/a/MatMul.../b/Add]}", "Myelin", "Float", "Float")
    conv = layer("Conv_0", "CaskConvolution", "Float", "Float", Weights={"Type": "Float"})
    found = judge([conv, block], "fp16")
    assert found.word == "undecidable"
    assert found.hidden_share == 0.5
    assert "1 of 2 multiplying layers are inside fused blocks" in found.text
    assert judge([conv], "fp16").word == "not_as_asked"


def test_layers_known_by_name_only_prove_nothing() -> None:
    found = judge(["Conv_0 + Relu_1", "Reformatting CopyNode for Input Tensor 0 to Conv_0"], "fp16")
    assert (found.word, found.hidden) == ("undecidable", 1)


def test_generated_kernels_that_multiply_count_and_others_do_not() -> None:
    layers = [
        layer("__myl_MulFcAdd_myl0_1", "kgen", "Half", "Half"),
        layer("__myl_ConcMul_myl0_2", "kgen", "Float", "Float"),
        layer("attention", "fusion", "Half", "Half", TacticName="_gemm_mha_v2"),
        layer("/b/MatMul", "gemm", "Half", "Half"),
    ]
    found = judge(layers, "fp16")
    assert (found.word, found.dtypes, found.share(HALF)) == ("as_asked", {"float16": 3}, 1.0)


def test_quantised_weights_on_wide_data_do_not_make_an_int8_layer() -> None:
    widened = layer("Conv_0", "CaskConvolution", "Half", "Half", Weights={"Type": "Int8"})
    assert judge([widened], "int8").word == "not_as_asked"
    assert judge([widened], "fp16").word == "as_asked"


def test_constants_that_are_indices_make_no_multiplying_layer() -> None:
    gather = layer("Gather_0", "Gather", "Float", "Float", Weights={"Type": "Int64"})
    assert judge([gather], "fp32").dtypes == {"float32": 1}
    nms = layer("NMS_0", "NMS", "Float", "Int64", Weights={"Type": "Int64"})
    assert judge([nms], "fp32").word == "as_asked"


def test_half_weights_on_float32_data_compute_in_half() -> None:
    first = layer("Conv_0", "CaskConvolution", "Float", "Half", Weights={"Type": "Half"})
    assert judge([first], "fp16").dtypes == {"float16": 1}


def test_an_int8_engine_may_keep_the_rest_in_half_but_not_in_fp8() -> None:
    int8 = layer("Conv_0", "CaskConvolution", "Int8", "Half", Weights={"Type": "Int8"})
    half = layer("Gemm_1", "gemm", "Half", "Half")
    fp8 = layer("Gemm_2", "gemm", "FP8", "Half")
    assert judge([int8, half], "int8_fp16").word == "as_asked"
    assert judge([int8, fp8], "int8_fp16").word == "not_as_asked"


def test_far_less_than_the_graph_asks_is_proof() -> None:
    half = layer("Conv_0", "CaskConvolution", "Half", "Half")
    wide = [layer(f"Conv_{n}", "CaskConvolution", "Float", "Float") for n in range(1, 5)]
    assert judge([half, *wide], "fp16", 1.0).word == "not_as_asked"
    assert judge([half, *wide], "fp16", 0.25).word == "as_asked"
    assert judge([half, *wide], "fp16").word == "as_asked"
    blocks = [layer("{ForeignNode[a...b]}", "Myelin", "Half", "Half")] * 4
    assert judge([half, *blocks], "fp16", 1.0).word == "as_asked"


def test_a_model_without_products_is_judged_by_all_its_kernels() -> None:
    assert judge([layer("Add_0", "ElementWise", "Half", "Half")], "fp16").word == "as_asked"
    assert judge([layer("Add_0", "ElementWise", "Float", "Float")], "fp16").word == "not_as_asked"


def test_an_unknown_precision_and_an_empty_engine_are_undecidable() -> None:
    assert judge([layer("a", "Conv", "Half", "Half")], "my_pass").word == "undecidable"
    assert judge([], "fp16").word == "undecidable"
    assert judge_precision(read_inspection("junk"), "fp16").word == "undecidable"


def test_a_float32_engine_labelled_half_is_refused_unless_the_gate_warns() -> None:
    inspected = inspect_text(small("FP32"), Asked("fp16"))
    with pytest.raises(BuildFailedError, match="asked for float16, but of 2 multiplying") as caught:
        require_precision(inspected, "fail")
    assert caught.value.code == "wrong_precision"
    require_precision(inspected, "warn")
    require_precision(inspect_text(small("FP16"), Asked("fp16")), "fail")
    require_precision(inspect_text("", Asked("fp16")), "fail")


def test_the_sidecars_facts_are_plain_and_whole() -> None:
    facts = inspect_text(small("Int8"), Asked("int8")).facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["layers"] == 5
    assert facts["int8_share"] == 1.0
    assert facts["half_share"] == 0.0
    assert facts["precision"]["verdict"] == "as_asked"
    assert "int8_share" not in inspect_text("", Asked("int8")).facts()


def make_graph(*, quantised: bool) -> Any:
    """Return MatMul (int8 data or half data) and then a MatMul in float32."""
    half, single = TensorProto.FLOAT16, TensorProto.FLOAT
    weight = helper.make_tensor("w", single, [4, 4], [1.0] * 16)
    weights = [weight]
    first: list[Any]
    if quantised:
        weights.append(helper.make_tensor("s", single, [], [1.0]))
        weights.append(helper.make_tensor("z", TensorProto.INT8, [], [0]))
        first = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="dq"),
            helper.make_node("MatMul", ["d", "w"], ["m"], name="first"),
        ]
    else:
        weights.append(helper.make_tensor("wh", half, [4, 4], [1.0] * 16))
        first = [
            helper.make_node("Cast", ["x"], ["h"], to=half),
            helper.make_node("MatMul", ["h", "wh"], ["mh"], name="first"),
            helper.make_node("Cast", ["mh"], ["m"], to=single),
        ]
    second = helper.make_node("MatMul", ["m", "w"], ["y"], name="second")
    values = [helper.make_tensor_value_info(name, single, [2, 4]) for name in ("x", "y")]
    graph = helper.make_graph([*first, second], "g", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_the_graphs_own_share_is_that_of_its_products() -> None:
    assert asked_share(make_graph(quantised=True), "int8") == 0.5
    assert asked_share(make_graph(quantised=False), "fp16") == 0.5
    assert asked_share(make_graph(quantised=False), "fp32") == 0.5
    assert asked_share(make_graph(quantised=False), "int8") == 0.0
    assert node_names(make_graph(quantised=False)) >= {"first", "second", "h"}


# Counted by hand in the files: layers, kernels, reformats, quantizers, casts, untyped.
HAND_COUNTS = {
    "fp32": (32, 24, 1, 0, 0, 0),
    "fp16": (36, 25, 2, 0, 2, 0),
    "qat": (37, 35, 12, 10, 1, 0),
    "qat-residual-qgap": (24, 23, 1, 1, 0, 0),
}
LABELS = {"fp32": "fp32", "fp16": "fp16", "qat": "int8_fp16", "qat-residual-qgap": "int8"}


def real_text(name: str) -> str:
    path = Path(str(ENGINES)) / "resnet18-a100" / name / "graph.json"
    return path.read_text(encoding="utf-8")


@REAL
@pytest.mark.parametrize("name", list(HAND_COUNTS))
def test_counts_of_real_engines_are_the_hand_counts(name: str) -> None:
    inspection = read_inspection(real_text(name))
    assert inspection.problems == []
    assert len(inspection.io_names) == 2
    assert astuple(count_layers(inspection.layers)) == HAND_COUNTS[name]


@REAL
@pytest.mark.parametrize("name", list(HAND_COUNTS))
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8"])
def test_real_engines_are_as_asked_under_their_own_label_only(name: str, precision: str) -> None:
    found = judge_precision(read_inspection(real_text(name)), precision)
    family = LABELS[name].removesuffix("_fp16")
    expected = "as_asked" if precision.removesuffix("_fp16") == family else "not_as_asked"
    assert found.word == expected
    assert found.decided == 21  # twenty convolutions and one product
    assert found.hidden == 0


@REAL
def test_every_convolution_of_a_real_engine_knows_its_onnx_node() -> None:
    for name in HAND_COUNTS:
        layers = read_inspection(real_text(name)).layers
        nodes = [node for item in layers for node in item.onnx_nodes if node.startswith("Conv_")]
        assert len(nodes) == len(set(nodes)) == 20
