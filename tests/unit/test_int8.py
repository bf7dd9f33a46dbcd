from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tests.onnx_graphs import EXAMPLES, Example, model, normal
from tests.quantisation_graphs import IMAGES, ODD, calibrate, conv, digits, image_example, sqnr_db

from trtproof.backends.onnxruntime import open_graph
from trtproof.errors import CalibrationError, ConfigError, ModelError
from trtproof.precision import int8, int8_fp16
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.executors import prepare
from trtproof.tensor import Array

GRAPHS = {**EXAMPLES, **ODD}
NOTHING: Mapping[str, Any] = {}


def convert(
    example: Example, folder: Path, options: Mapping[str, Any] = NOTHING
) -> tuple[onnx.ModelProto, PrecisionRecord]:
    source = example.write(folder)
    record = int8.PASS(source, folder / "out.onnx", calibrate(example, source), options)
    return onnx.load(folder / "out.onnx"), record


def by_name(proto: onnx.ModelProto) -> dict[str, NodeProto]:
    return {node.name: node for node in proto.graph.node}


def weights_of(proto: onnx.ModelProto) -> dict[str, Array]:
    return {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}


def sources(proto: onnx.ModelProto, node: str) -> list[str]:
    """Return the operator that makes each input of a node; "" for a constant or graph input."""
    makers = {name: item.op_type for item in proto.graph.node for name in item.output}
    return [makers.get(name, "") for name in by_name(proto)[node].input]


DEQUANTIZE = "DequantizeLinear"


@pytest.mark.parametrize("kind", GRAPHS)
def test_every_graph_becomes_what_tensorrt_takes(kind: str, tmp_path: Path) -> None:
    example = GRAPHS[kind]()
    proto, _ = convert(example, tmp_path)
    onnx.checker.check_model(proto, full_check=True)
    assert [str(item.type) for item in proto.graph.input] == [
        str(item.type) for item in example.proto.graph.input
    ]
    assert [str(item) for item in proto.graph.output] == [
        str(item) for item in example.proto.graph.output
    ]
    values = weights_of(proto)
    for node in proto.graph.node:
        assert node.name
        if node.op_type not in {"QuantizeLinear", DEQUANTIZE}:
            continue
        scale, zero = values[node.input[1]], values[node.input[2]]
        assert (scale > 0).all()
        assert (np.float16(scale) == scale).all()
        assert zero.dtype == np.int8
        assert not zero.any()
        if node.op_type == "QuantizeLinear":
            assert scale.shape == ()
        elif node.input[0] in values:
            assert values[node.input[0]].dtype == np.int8
            assert np.abs(values[node.input[0]].astype(int)).max() <= 127
        else:
            assert scale.shape == ()
    assert len({node.name for node in proto.graph.node}) == len(proto.graph.node)


@pytest.mark.parametrize("kind", GRAPHS)
def test_biases_and_softmax_normalisation_and_recurrence_stay_in_float(
    kind: str, tmp_path: Path
) -> None:
    proto, _ = convert(GRAPHS[kind](), tmp_path)
    for node in proto.graph.node:
        found = sources(proto, node.name)
        if node.op_type in {"Conv", "ConvTranspose", "Gemm"}:
            assert DEQUANTIZE not in found[2:]
        elif node.op_type == "Add":
            assert found.count(DEQUANTIZE) <= 1
        elif node.op_type not in {"MatMul", "QuantizeLinear", DEQUANTIZE}:
            assert DEQUANTIZE not in found


def test_of_a_residual_sum_only_the_input_that_is_no_accumulator_is_quantised(
    tmp_path: Path,
) -> None:
    proto, _ = convert(GRAPHS["residual_convolution"](), tmp_path)
    assert sources(proto, "add") == ["Conv", DEQUANTIZE]
    assert by_name(proto)["add"].input[1] == by_name(proto)["conv2"].input[0]


def test_of_two_convolutions_that_are_added_the_deeper_keeps_its_accumulator(
    tmp_path: Path,
) -> None:
    proto, _ = convert(GRAPHS["shortcut_convolution"](), tmp_path)
    assert sources(proto, "net/add") == ["Conv", DEQUANTIZE]
    assert by_name(proto)["net/add"].input[0] == "deep"


def test_a_sum_without_a_convolution_of_its_own_is_left_alone(tmp_path: Path) -> None:
    proto, _ = convert(GRAPHS["masked_transformer"](), tmp_path)
    assert DEQUANTIZE not in sources(proto, "net/residual")
    assert DEQUANTIZE not in sources(proto, "net/mask")


def test_an_accumulator_that_something_else_reads_too_is_none(tmp_path: Path) -> None:
    nodes = [
        conv("input", "w", "c", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "input"], ["sum"], name="net/add"),
        helper.make_node("Mul", ["sum", "c"], ["output"], name="net/mul"),
    ]
    example = image_example(nodes, {"w": normal(16, 16, 3, 3)}, ("batch", 16, 8, 8))
    proto, _ = convert(example, tmp_path)
    assert DEQUANTIZE not in sources(proto, "net/add")


def test_in_attention_both_operands_of_both_products_are_quantised(tmp_path: Path) -> None:
    proto, _ = convert(GRAPHS["masked_transformer"](), tmp_path)
    assert sources(proto, "net/scores") == [DEQUANTIZE, DEQUANTIZE]
    assert sources(proto, "net/mix") == [DEQUANTIZE, DEQUANTIZE]


def test_three_products_of_one_tensor_share_one_pair_named_after_its_maker(
    tmp_path: Path,
) -> None:
    proto, _ = convert(GRAPHS["masked_transformer"](), tmp_path)
    nodes = by_name(proto)
    assert len({nodes[f"net/{part}"].input[0] for part in "qkv"}) == 1
    assert nodes["net/norm1/QuantizeLinear"].input[0] == "n1"
    assert nodes["net/q/weight/DequantizeLinear"].output[0] == nodes["net/q"].input[1]


def test_shared_weights_are_stored_once_and_a_transposed_table_apart(tmp_path: Path) -> None:
    proto, _ = convert(GRAPHS["shared_weights"](), tmp_path)
    nodes, values = by_name(proto), weights_of(proto)
    assert nodes["net/c1"].input[1] == nodes["net/c2"].input[1]
    assert sources(proto, "net/output") == [DEQUANTIZE, DEQUANTIZE]
    assert nodes["net/gather"].input[0] == "table"
    assert values["table"].dtype == np.float32
    assert "net/turn" not in nodes


@pytest.mark.parametrize(
    ("node", "axis", "count"), [("grouped", 0, 32), ("depthwise", 0, 32), ("up", 1, 24)]
)
def test_weights_have_a_scale_per_output_channel(
    node: str, axis: int, count: int, tmp_path: Path
) -> None:
    proto, _ = convert(GRAPHS["grouped_convolutions"](), tmp_path)
    maker = by_name(proto)[f"net/{node}/weight/DequantizeLinear"]
    assert [item.i for item in maker.attribute if item.name == "axis"] == [axis]
    assert weights_of(proto)[maker.input[1]].shape == (count,)


def test_a_grouped_transposed_convolution_has_one_scale(tmp_path: Path) -> None:
    proto, _ = convert(GRAPHS["grouped_convolutions"](), tmp_path)
    maker = by_name(proto)["net/output/weight/DequantizeLinear"]
    assert weights_of(proto)[maker.input[1]].shape == ()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    exponents=st.lists(st.integers(-30, 12), min_size=16, max_size=16),
    zeros=st.sets(st.integers(0, 15), max_size=8),
    seed=st.integers(0, 9),
)
def test_whatever_the_channels_scales_stay_positive_after_float16(
    exponents: list[int], zeros: set[int], seed: int, tmp_path: Path
) -> None:
    weight = (
        normal(16, 16, 1, 1, seed=seed)
        * np.exp2(np.array(exponents, np.float32))[:, None, None, None]
    )
    weight[sorted(zeros)] = 0
    example = image_example([conv("input", "w", "output")], {"w": weight}, ("batch", 16, 8, 8))
    proto, record = convert(example, tmp_path)
    values = weights_of(proto)
    assert ("net/output" in record.kept) == ("w" in values)
    for name, value in values.items():
        if name.endswith("/scale"):
            assert (value.astype(np.float16) > 0).all()
    if "w/int8" in values:
        restored = values["w/int8"] * values["w/int8/scale"].reshape(-1, 1, 1, 1)
        steps = values["w/int8/scale"].reshape(-1, 1, 1, 1)
        assert (np.abs(restored - weight) <= steps * 0.5001).all()


def test_channels_of_1e_6_are_quantised_named_and_counted(tmp_path: Path) -> None:
    proto, record = convert(GRAPHS["faint_channels"](), tmp_path)
    assert record.warnings[0].startswith("3 channels of weight 'w' are so small")
    assert record.rounding["w/int8/scale"]["subnormal"] == 3
    scales = weights_of(proto)["w/int8/scale"]
    assert scales[0] == 2.0**-14
    assert (scales[1:4] == 2.0**-24).all()


def test_what_float16_cannot_hold_is_kept_with_the_reason(tmp_path: Path) -> None:
    _, record = convert(GRAPHS["large_activations"](), tmp_path)
    assert record.kept["net/large"].endswith("beyond float16")
    assert record.kept["net/output"].endswith("too small for a float16 scale")
    assert record.warnings == [
        "nothing was quantised: no operator with a quantised form is left in the graph"
    ]


def test_a_range_beyond_float16_keeps_the_nodes_that_read_it(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["input", "factor"], ["big"], name="net/mul"),
        conv("big", "w", "output"),
    ]
    weights = {"factor": np.array(1e6, np.float32), "w": normal(16, 16, 1, 1)}
    example = image_example(nodes, weights, ("batch", 16, 8, 8))
    _, record = convert(example, tmp_path)
    assert "the range of 'big'" in record.kept["net/output"]


def test_recurrent_networks_pass_with_the_lstm_in_float(tmp_path: Path) -> None:
    _, record = convert(GRAPHS["recurrent"](), tmp_path)
    assert record.kept == {"net/lstm": "LSTM has no quantised form"}
    assert "hidden" not in record.scales


def test_a_product_of_positions_is_left_alone(tmp_path: Path) -> None:
    """As of rotary embeddings: angles that depend on extents alone."""
    nodes = [
        helper.make_node("Shape", ["input"], ["shape"], name="shape", start=1, end=2),
        helper.make_node("ConstantOfShape", ["shape"], ["ones"], name="ones"),
        helper.make_node("MatMul", ["input", "ones"], ["output"], name="product"),
    ]
    inputs = {"input": (TensorProto.FLOAT, ("batch", 4))}
    proto = model(nodes, inputs, {"output": ("batch",)}, {})
    _, record = convert(Example(proto, {"input": normal(12, 4)}), tmp_path)
    assert record.kept == {"product": "an operand does not depend on the samples"}


def test_a_classifier_with_few_classes_stays_in_float(tmp_path: Path) -> None:
    _, record = convert(GRAPHS["residual_convolution"](), tmp_path)
    assert record.kept["head"] == "its 5 output features are too few to gain from 8 bits"


def test_nodes_and_operators_can_be_excluded(tmp_path: Path) -> None:
    options = {"exclude": ["net/c1", "MatMul"]}
    proto, record = convert(GRAPHS["shared_weights"](), tmp_path, options)
    assert record.kept["net/c1"] == "excluded by the recipe"
    assert record.kept["net/output"] == "excluded by the recipe"
    assert by_name(proto)["net/c1"].input[1] == "w"
    assert sources(proto, "net/c2") == [DEQUANTIZE, DEQUANTIZE]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "max"}, "no such option"),
        ({"method": "minmax"}, "'minmax' is none of max, percentile, mse, entropy"),
        ({"percentile": 0}, "not above 0"),
        ({"percentile": 100.1}, "at most 100"),
        ({"percentile": "99"}, "not a number"),
        ({"exclude": "net/c1"}, "not a list"),
        ({"exclude": ["net/c9"]}, "no node and no operator 'net/c9'"),
        ({"quantizer": "magic"}, "none of builtin, modelopt"),
    ],
)
def test_wrong_options_are_refused(options: Mapping[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        convert(GRAPHS["shared_weights"](), tmp_path, options)


def test_a_recipe_without_calibration_is_refused(tmp_path: Path) -> None:
    source = GRAPHS["shared_weights"]().write(tmp_path)
    with pytest.raises(CalibrationError, match="artifacts/calibrate"):
        int8.PASS(source, tmp_path / "out.onnx", None, {})


def test_ranges_of_another_model_are_refused(tmp_path: Path) -> None:
    example, other = GRAPHS["shared_weights"](), GRAPHS["residual_convolution"]()
    source = example.write(tmp_path / "a")
    calibration = calibrate(other, other.write(tmp_path / "b"))
    with pytest.raises(CalibrationError, match="of another model"):
        int8.PASS(source, tmp_path / "out.onnx", calibration, {})


def test_a_tensor_that_was_always_zero_is_refused(tmp_path: Path) -> None:
    example = image_example(
        [conv("input", "w", "output")], {"w": normal(16, 16, 1, 1)}, ("batch", 16, 8, 8)
    )
    dark = Example(example.proto, {"input": np.zeros((12, 16, 8, 8), np.float32)})
    with pytest.raises(
        CalibrationError, match=r"'input' is zero in every .* reads it: net/output$"
    ):
        convert(dark, tmp_path)


def residual_sum(*, dark: bool) -> Example:
    """A convolution plus what a Relu gave, which is zero where inputs are negative."""
    nodes = [
        helper.make_node("Relu", ["input"], ["positive"], name="net/relu"),
        conv("input", "w", "c1"),
        helper.make_node("Add", ["c1", "positive"], ["output"], name="net/add"),
    ]
    example = image_example(nodes, {"w": normal(16, 16, 1, 1)}, ("batch", 16, 8, 8))
    sign = -1 if dark else 1
    return Example(example.proto, {"input": sign * np.abs(example.feeds["input"])})


def test_a_sum_with_what_was_always_zero_stays_in_float(tmp_path: Path) -> None:
    _, bright = convert(residual_sum(dark=False), tmp_path / "bright")
    assert "positive" in bright.scales
    proto, record = convert(residual_sum(dark=True), tmp_path / "dark")
    assert record.kept == {
        "net/add": "'positive' is zero in every calibration sample: it has no scale"
    }
    assert sources(proto, "net/add") == ["Conv", "Relu"]
    assert sources(proto, "net/c1") == [DEQUANTIZE, DEQUANTIZE]


def test_a_weight_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    weight = normal(16, 16, 1, 1)
    weight[3] = np.nan
    example = image_example([conv("input", "w", "output")], {"w": weight}, ("batch", 16, 8, 8))
    sound = image_example(
        [conv("input", "w", "output")], {"w": normal(16, 16, 1, 1)}, ("batch", 16, 8, 8)
    )
    calibration = calibrate(sound, sound.write(tmp_path / "sound"))
    with pytest.raises(ModelError, match="weight 'w' has a NaN"):
        int8.PASS(example.write(tmp_path), tmp_path / "out.onnx", calibration, {})


def test_an_older_opset_is_raised_because_float16_scales_need_it(tmp_path: Path) -> None:
    nodes = [conv("input", "w", "output")]
    proto = model(
        nodes, IMAGES, {"output": ("batch", 16, 8, 8)}, {"w": normal(16, 16, 1, 1)}, opset=13
    )
    made, _ = convert(Example(proto, {"input": normal(12, 16, 8, 8)}), tmp_path)
    assert made.opset_import[0].version == 19
    newer, _ = convert(GRAPHS["faint_channels"](), tmp_path / "newer")
    assert newer.opset_import[0].version == 20


PROGRAM = """
import hashlib, sys
from pathlib import Path
from tests.unit.test_int8 import GRAPHS, convert
for kind in ("shortcut_convolution", "shared_weights", "masked_transformer"):
    convert(GRAPHS[kind](), Path(sys.argv[1]) / kind)
    print(hashlib.sha256((Path(sys.argv[1]) / kind / "out.onnx").read_bytes()).hexdigest())
"""


def test_bytes_depend_on_neither_folder_nor_hash_seed(tmp_path: Path) -> None:
    made = []
    for seed in ("0", "1"):
        folder = tmp_path / f"seed{seed}"
        folder.mkdir()
        command = [sys.executable, "-c", PROGRAM, str(folder)]
        environment = {"PYTHONHASHSEED": seed, "PATH": "", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        made.append(done.stdout)
    assert made[0] == made[1]


def test_neither_batches_nor_the_order_of_samples_change_the_model(tmp_path: Path) -> None:
    example = GRAPHS["masked_transformer"]()
    source = example.write(tmp_path)
    turned = Example(example.proto, {name: value[::-1] for name, value in example.feeds.items()})
    for name, calibration in (
        ("one", calibrate(example, source)),
        ("two", calibrate(turned, source, batch=5)),
    ):
        int8.PASS(source, tmp_path / name, calibration, {"method": "entropy"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kind", GRAPHS)
def test_the_float16_form_quantises_to_the_same_grid(kind: str, tmp_path: Path) -> None:
    proto, record = convert(GRAPHS[kind](), tmp_path)
    cast = int8_fp16.PASS(tmp_path / "out.onnx", tmp_path / "cast.onnx", None, {})
    made = onnx.load(tmp_path / "cast.onnx")
    onnx.checker.check_model(made, full_check=True)
    before, after = weights_of(proto), weights_of(made)
    for name, value in before.items():
        if value.dtype == np.int8:
            assert (after[name] == value).all()
        elif name.endswith("/scale"):
            assert after[name].dtype == np.float16
            assert (after[name].astype(np.float32) == value).all()
    assert {name: list(item) for name, item in cast.scales.items()} == {
        name: list(item) for name, item in record.scales.items()
    }
    assert cast.precision == "int8_fp16"
    if record.scales:
        assert cast.executor == "onnxruntime-unoptimized"


def test_scales_that_are_no_float16_are_refused(tmp_path: Path) -> None:
    proto, _ = convert(GRAPHS["faint_channels"](), tmp_path)
    for tensor in proto.graph.initializer:
        if tensor.name == "input/scale":
            tensor.CopyFrom(numpy_helper.from_array(np.array(0.1, np.float32), tensor.name))
    onnx.save(proto, tmp_path / "edited.onnx")
    with pytest.raises(ModelError, match="not a float16"):
        int8_fp16.PASS(tmp_path / "edited.onnx", tmp_path / "cast.onnx", None, {})


def test_a_cast_of_a_graph_without_quantisation_says_so(tmp_path: Path) -> None:
    source = GRAPHS["recurrent"]().write(tmp_path)
    record = int8_fp16.PASS(source, tmp_path / "out.onnx", None, {})
    assert "nothing in the source is quantised to int8" in record.warnings[-1]


def outputs(path: Path, record: PrecisionRecord, folder: Path) -> Array:
    ready = prepare(path, record.executor, folder, version="1.31.1")
    graph = open_graph(ready.model, threads=1, optimized=ready.optimized)
    return graph.run({"input": digits().images})["logits"]


@pytest.mark.parametrize("method", ["max", "percentile", "mse", "entropy"])
def test_digits_lose_hardly_anything(method: str, tmp_path: Path) -> None:
    network = digits()
    reference = open_graph(network.model, threads=1).run({"input": network.images})["logits"]
    path = tmp_path / "int8.onnx"
    record = int8.PASS(network.model, path, network.calibration, {"method": method})
    cast = int8_fp16.PASS(path, tmp_path / "int8_fp16.onnx", None, {})
    before = (reference.argmax(1) == network.labels).mean()
    for made, item in ((path, record), (tmp_path / "int8_fp16.onnx", cast)):
        found = outputs(made, item, tmp_path)
        assert sqnr_db(reference, found) >= 38
        assert before - (found.argmax(1) == network.labels).mean() <= 0.005
