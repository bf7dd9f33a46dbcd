from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from trtproof.backends.onnxruntime import open_graph
from trtproof.models.normalise import normalise, rename_nodes, write_model
from trtproof.models.onnx import check_file

SCOPES = "pkg.torch.onnx.name_scopes"
FUSED = "pkg.onnxscript.rewriter.rule_name"


def make_node(kind, inputs, outputs, *, scopes=None, fused=False, name="", **attributes):
    node = helper.make_node(kind, inputs, outputs, name=name, **attributes)
    if scopes is not None:
        helper.set_model_props(model := onnx.ModelProto(), {SCOPES: repr(scopes)})
        node.metadata_props.extend(model.metadata_props)
    if fused:
        entry = node.metadata_props.add()
        entry.key, entry.value = FUSED, "FuseBatchNormIntoConv"
    return node


def make_model(nodes, weights=(), *, width=3):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])
    tensors = [numpy_helper.from_array(array, name) for name, array in weights]
    graph = helper.make_graph(nodes, "main", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def names_of(model):
    return [node.name for node in model.graph.node]


def test_nodes_are_named_by_the_module_that_they_came_from():
    model = make_model(
        [
            make_node("Relu", ["x"], ["a"], scopes=["", "layer1", "layer1.0", "relu_3"]),
            make_node("Relu", ["a"], ["b"], scopes=["", "layer1", "layer1.0", "relu_4"]),
            make_node("Neg", ["b"], ["c"], scopes=["", "neg"]),
            make_node(
                "Abs", ["c"], ["d"], scopes=["_empty_nn_module_stack_from_metadata_hook", "s"]
            ),
            make_node("Abs", ["d"], ["y"], name="node_Abs_7"),
        ]
    )
    normalise(model)
    assert names_of(model) == ["layer1/0/Relu", "layer1/0/Relu_1", "Neg", "Abs", "Abs_1"]


def test_a_node_that_a_norm_was_folded_into_keeps_the_module_of_its_weight():
    weight = ("block.conv1.weight", np.eye(3, dtype=np.float32))
    scopes = ["", "block", "block.norm1", "batch_norm"]
    node = make_node("MatMul", ["x", "block.conv1.weight"], ["y"], scopes=scopes, fused=True)
    model = make_model([node], [weight])
    normalise(model)
    assert names_of(model) == ["block/conv1/MatMul"]


def test_a_graph_without_modules_keeps_its_own_names_each_once():
    nodes = [
        make_node("Relu", ["x"], ["a"], name="/block/Relu"),
        make_node("Relu", ["a"], ["b"], name="/block/Relu"),
        make_node("Abs", ["b"], ["y"]),
    ]
    model = make_model(nodes)
    normalise(model)
    assert names_of(model) == ["block/Relu", "block/Relu_1", "Abs"]


@given(st.lists(st.sampled_from(["", "Relu", "Relu_1", "Relu_2", "a/Relu", "a"]), max_size=12))
def test_names_are_unique_whatever_they_were(wanted):
    nodes = [make_node("Relu", ["x"], [f"t{i}"], name=name) for i, name in enumerate(wanted)]
    model = make_model([*nodes, make_node("Relu", ["x"], ["y"])])
    rename_nodes(model)
    assert len(set(names_of(model))) == len(wanted) + 1


def test_nodes_of_subgraphs_get_names_of_their_own_too():
    branch = helper.make_graph(
        [make_node("Relu", ["x"], ["r"])],
        "branch",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
    )
    condition = ("c", np.array(True))
    node = make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    model = make_model([make_node("Relu", ["x"], ["unused"]), node], [condition])
    normalise(model)
    inner = [attribute.g.node[0].name for attribute in model.graph.node[1].attribute]
    assert sorted([*names_of(model), *inner]) == ["If", "Relu", "Relu_1", "Relu_2"]


def stain(model, text):
    """Write where and when it was made everywhere that a model has room for it."""
    model.producer_name, model.producer_version, model.doc_string = text, text, text
    graph = model.graph
    owners = [graph, *graph.node, *graph.initializer, *graph.input, *graph.output]
    for owner in [model, *owners, *graph.value_info]:
        entry = owner.metadata_props.add()
        entry.key, entry.value = "where", text
        owner.doc_string = text


@given(st.text(max_size=20), st.text(max_size=20))
def test_bytes_do_not_depend_on_where_and_by_what_the_model_was_made(one, other):
    written = []
    for text in (one, other):
        model = make_model([make_node("Add", ["x", "w"], ["y"])], [("w", np.ones(3, np.float32))])
        stain(model, text)
        normalise(model)
        written.append(model.SerializeToString(deterministic=True))
    plain = make_model([make_node("Add", ["x", "w"], ["y"])], [("w", np.ones(3, np.float32))])
    normalise(plain)
    assert written[0] == written[1] == plain.SerializeToString(deterministic=True)
    # A present empty field is other bytes than an absent one.
    assert not plain.HasField("doc_string")
    assert not plain.graph.node[0].HasField("doc_string")


def test_weights_shared_through_identity_nodes_are_used_directly():
    nodes = [
        make_node("Identity", ["w"], ["same"]),
        make_node("Add", ["x", "w"], ["a"]),
        make_node("Identity", ["a"], ["b"]),
        make_node("Mul", ["b", "same"], ["y"]),
    ]
    model = make_model(nodes, [("w", np.ones(3, np.float32))])
    normalise(model)
    assert [node.op_type for node in model.graph.node] == ["Add", "Identity", "Mul"]
    assert model.graph.node[2].input[1] == "w"


def test_an_output_that_is_a_weight_stays_one():
    model = make_model([make_node("Identity", ["w"], ["y"])], [("w", np.ones(3, np.float32))])
    normalise(model)
    assert [node.op_type for node in model.graph.node] == ["Identity"]


def make_linear():
    weight = np.arange(1024, dtype=np.float32).reshape(32, 32)
    nodes = [make_node("MatMul", ["x", "w"], ["a"]), make_node("Add", ["a", "b"], ["y"])]
    weights = [("w", weight), ("b", np.ones(32, np.float32))]
    return make_model(nodes, weights, width=32)


@pytest.mark.parametrize(("limit", "files"), [(10**6, 1), (1000, 2)])
def test_weights_above_the_limit_lie_in_a_file_of_their_own(tmp_path, limit, files):
    path = write_model(make_linear(), tmp_path, max_inline_bytes=limit)
    written = sorted(item.name for item in tmp_path.iterdir())
    assert written == ["model.onnx", "model.onnx.data"][:files]
    check_file(path)
    found = open_graph(path, threads=1).run({"x": np.eye(32, dtype=np.float32)})["y"]
    assert np.array_equal(found, np.arange(1024, dtype=np.float32).reshape(32, 32) + 1)


@pytest.mark.parametrize("limit", [10**6, 1000])
def test_the_same_model_is_written_as_the_same_bytes(tmp_path, limit):
    written = []
    for name in ("a", "b/c"):
        (tmp_path / name).mkdir(parents=True)
        write_model(make_linear(), tmp_path / name, max_inline_bytes=limit)
        files = (tmp_path / name).glob("model.*")
        written.append({path.name: path.read_bytes() for path in files})
    assert written[0] == written[1]


def test_absent_inputs_at_the_end_are_not_listed():
    bounds = ("high", np.array(6, np.float32))
    nodes = [
        helper.make_node("Clip", ["x", "", "high"], ["a"], name="upper"),
        helper.make_node("Clip", ["a", "", ""], ["y"], name="none"),
    ]
    model = make_model(nodes, [bounds])
    normalise(model)
    assert [list(node.input) for node in model.graph.node] == [["x", "", "high"], ["a"]]
