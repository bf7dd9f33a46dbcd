from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_graphs import (
    float_constants,
    masked_attention,
    model,
    normal,
    residual_convolution,
    single,
)

from trtproof.errors import MissingFileError, ModelError
from trtproof.precision import graph as graphs
from trtproof.precision.dtypes import count_dtypes, infer_bytes, infer_types, require_types


def chain(length: int) -> onnx.ModelProto:
    names = ["x", *(f"t{index}" for index in range(length - 1)), "y"]
    nodes = [
        helper.make_node("Add", [before, "x"], [after], name=after)
        for before, after in itertools.pairwise(names)
    ]
    return model(nodes, {"x": (TensorProto.FLOAT, ("batch",))}, {"y": ("batch",)}, {})


@given(st.permutations(range(8)))
def test_nodes_are_sorted_whatever_their_order_was(order: list[int]) -> None:
    proto = chain(8)
    sorted_nodes = list(proto.graph.node)
    graphs.replace_items(proto.graph.node, [sorted_nodes[index] for index in order])
    graphs.sort_nodes(proto.graph)
    assert [node.name for node in proto.graph.node] == [node.name for node in sorted_nodes]
    onnx.checker.check_model(proto, full_check=True)


def test_a_sorted_graph_keeps_its_order() -> None:
    proto = masked_attention().proto
    before = [node.name for node in proto.graph.node]
    graphs.sort_nodes(proto.graph)
    assert [node.name for node in proto.graph.node] == before


def test_a_cycle_is_refused_with_a_node_of_it() -> None:
    proto = chain(3)
    proto.graph.node[0].input[1] = "t1"
    with pytest.raises(ModelError, match=r"'t\d' depends on itself"):
        graphs.sort_nodes(proto.graph)


def test_large_weights_go_beside_the_model_and_the_same_bytes_come_twice(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b", "b"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        proto = residual_convolution().proto
        graphs.save_model(proto, folder / "model.onnx", inline_limit_bytes=100)
        written.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert [path.name for path in sorted((tmp_path / "b").iterdir())] == [
        "model.onnx",
        "model.onnx.data",
    ]
    assert written[0] == written[1] == written[2]
    graphs.check_model(tmp_path / "a" / "model.onnx")
    loaded = graphs.load_model(tmp_path / "a" / "model.onnx")
    weights = {item.name: numpy_helper.to_array(item) for item in loaded.graph.initializer}
    assert np.array_equal(weights["w2"], normal(8, 8, 3, 3, scale=0.2))


def test_small_weights_stay_inside_and_a_left_over_data_file_goes(tmp_path: Path) -> None:
    (tmp_path / "model.onnx.data").write_bytes(b"old")
    graphs.save_model(residual_convolution().proto, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("location", ["../weights", "/etc/hostname", "nowhere"])
def test_weights_that_are_not_beside_the_model_are_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"1234")
    folder = tmp_path / "model"
    folder.mkdir()
    proto = residual_convolution().proto
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="not beside the model"):
        graphs.copy_model(folder / "model.onnx", tmp_path / "out" / "model.onnx")
    with pytest.raises(ModelError):
        graphs.load_model(folder / "model.onnx")


def test_a_truncated_model_and_a_missing_one_are_told_apart(tmp_path: Path) -> None:
    path = residual_convolution().write(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        graphs.load_model(path)
    with pytest.raises(MissingFileError):
        graphs.load_model(tmp_path / "none.onnx")


def test_a_model_that_is_not_valid_is_refused_with_the_checkers_words(tmp_path: Path) -> None:
    proto = residual_convolution().proto
    proto.graph.node[0].op_type = "Conf"
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="Conf"):
        graphs.check_model(path)


def test_types_and_sizes_come_from_inference_without_weights() -> None:
    proto = residual_convolution().proto
    types = infer_types(proto)
    assert types["c1"] == TensorProto.FLOAT
    sizes = infer_bytes(proto, {"input": (3, 3, 8, 8)})
    assert sizes["c1"] == 3 * 8 * 8 * 8 * 4
    assert sizes["logits"] == 3 * 5 * 4
    assert len(proto.graph.initializer[2].raw_data) > 0


def test_a_custom_operator_whose_outputs_have_no_type_is_named() -> None:
    proto = residual_convolution().proto
    proto.graph.node[1].domain = "com.example"
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ModelError, match="Relu 'relu1' gives 'r1'"):
        require_types(proto)


def test_scales_zero_points_and_indices_are_not_counted_as_tensors() -> None:
    assert count_dtypes(float_constants().proto) == {"FLOAT": 12}
    # The input, 8 outputs of nodes and 6 weights.
    assert count_dtypes(residual_convolution().proto) == {"FLOAT": 15}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="d"),
    ]
    weights = {"s": single(0.1), "z": np.array(3, np.uint8)}
    proto = model(nodes, {"x": (TensorProto.FLOAT, ("batch",))}, {"y": ("batch",)}, weights)
    assert count_dtypes(proto) == {"FLOAT": 2, "UINT8": 1}


def test_inputs_that_only_override_a_weight_are_dropped() -> None:
    proto = residual_convolution().proto
    proto.graph.input.append(helper.make_tensor_value_info("b1", TensorProto.FLOAT, (8,)))
    graphs.drop_default_inputs(proto)
    assert [value.name for value in proto.graph.input] == ["input"]


def test_what_depends_on_samples_is_told_from_what_depends_on_their_number() -> None:
    found = graphs.data_dependent(float_constants().proto)
    assert "same" in found
    assert found.isdisjoint({"zeros", "shape", "total", "factor"})


def test_constants_become_weights_of_the_same_name() -> None:
    proto = float_constants().proto
    graphs.constants_to_weights(proto)
    weights = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    assert np.allclose(weights["offsets"], [0.1, 0.2])
    assert weights["factor"].tolist() == [1.5]
    assert all(node.op_type != "Constant" for node in proto.graph.node)
    onnx.checker.check_model(proto, full_check=True)


@given(st.sets(st.sampled_from(["a", "a_", "a__", "b"])))
def test_a_fresh_name_is_not_taken(taken: set[str]) -> None:
    assert graphs.fresh_name("a", taken) not in taken


def test_subgraphs_functions_and_sparse_tensors_are_refused_by_name() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])],
        "branch",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ("batch",))],
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], name="sum", keepdims=0),
        helper.make_node("Cast", ["total"], ["choice"], name="cast", to=TensorProto.BOOL),
        helper.make_node(
            "If", ["choice"], ["y"], name="decide", then_branch=branch, else_branch=branch
        ),
    ]
    proto = model(nodes, {"x": (TensorProto.FLOAT, ("batch",))}, {"y": ("batch",)}, {})
    with pytest.raises(ModelError, match="If 'decide' holds a subgraph: fp16 cannot"):
        graphs.refuse_unwalkable(proto, precision="fp16")
    flat = residual_convolution().proto
    flat.functions.add(name="block")
    with pytest.raises(ModelError, match="function 'block'"):
        graphs.refuse_unwalkable(flat, precision="fp16")
    flat = residual_convolution().proto
    flat.graph.sparse_initializer.add().values.name = "thin"
    with pytest.raises(ModelError, match="'thin' is sparse"):
        graphs.refuse_unwalkable(flat, precision="fp16")


def test_a_weight_that_is_listed_as_an_input_does_not_fix_the_batch() -> None:
    proto = residual_convolution().proto
    weight = proto.graph.initializer[0]
    listed = helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims))
    proto.graph.input.append(listed)
    assert graphs.batch_extent(proto, wanted=7, samples_count=3) == 7
