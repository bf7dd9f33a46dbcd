"""Forms that ONNX Runtime's own 8-bit recipe gets wrong unless the graph is changed before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.onnx_graphs import Example, model, normal
from tests.quantisation_graphs import calibrate, sqnr_db

from trtproof.backends.onnxruntime import open_graph
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.int8_cpu import PASS

ROWS = {"input": (TensorProto.FLOAT, ("batch", 32))}
IMAGES = {"input": (TensorProto.FLOAT, ("batch", 4, 8, 8))}


def gemm(beta: float) -> Example:
    node = helper.make_node(
        "Gemm", ["input", "w", "b"], ["output"], name="gemm", transB=1, alpha=0.5, beta=beta
    )
    weights = {"w": normal(48, 32, scale=0.2), "b": normal(48)}
    proto = model([node], ROWS, {"output": ("batch", 48)}, weights)
    return Example(proto, {"input": normal(12, 32)})


def shared_weight() -> Example:
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["x1"], name="product"),
        helper.make_node("Gemm", ["input", "w"], ["x2"], name="gemm", transB=1),
        helper.make_node("Add", ["x1", "x2"], ["output"], name="sum"),
    ]
    proto = model(nodes, ROWS, {"output": ("batch", 32)}, {"w": normal(32, 32, scale=0.2)})
    return Example(proto, {"input": normal(12, 32)})


def batched_weight() -> Example:
    node = helper.make_node("MatMul", ["input", "w"], ["output"], name="product")
    inputs = {"input": (TensorProto.FLOAT, ("batch", 4, 8, 32))}
    weights = {"w": normal(4, 32, 24, scale=0.2)}
    proto = model([node], inputs, {"output": ("batch", 4, 8, 24)}, weights)
    return Example(proto, {"input": normal(12, 4, 8, 32)})


def output_before_relu() -> Example:
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["signed"], name="conv"),
        helper.make_node("Relu", ["signed"], ["output"], name="relu"),
    ]
    shape = ("batch", 8, 8, 8)
    weights = {"w": normal(8, 4, 1, 1)}
    proto = model(nodes, IMAGES, {"signed": shape, "output": shape}, weights)
    return Example(proto, {"input": normal(12, 4, 8, 8)})


def convert(example: Example, folder: Path) -> tuple[Path, Path, PrecisionRecord]:
    source = example.write(folder)
    out = folder / "int8.onnx"
    return source, out, PASS(source, out, calibrate(example, source), {})


@pytest.mark.parametrize(
    "example",
    [gemm(1.0), gemm(2.0), shared_weight(), batched_weight(), output_before_relu()],
    ids=["beta 1", "beta 2", "shared weight", "weight of rank 3", "output before a Relu"],
)
@pytest.mark.parametrize("optimized", [True, False])
def test_every_output_is_close_as_written_and_optimised(
    example: Example, optimized: bool, tmp_path: Path
) -> None:
    source, out, _ = convert(example, tmp_path)
    before = open_graph(source, threads=1).run(example.feeds)
    after = open_graph(out, threads=1, optimized=optimized).run(example.feeds)
    for name, values in before.items():
        assert sqnr_db(values, after[name]) > 30


def test_what_stays_in_float32_for_it_is_recorded_with_the_reason(tmp_path: Path) -> None:
    _, _, record = convert(batched_weight(), tmp_path / "batched")
    assert "more than two axes" in record.kept["product"]
    _, _, record = convert(output_before_relu(), tmp_path / "output")
    assert "an output of the model" in record.kept["relu"]


def test_a_weight_read_along_one_axis_stays_one_tensor(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["x1"], name="one"),
        helper.make_node("MatMul", ["x1", "w"], ["output"], name="two"),
    ]
    proto = model(nodes, ROWS, {"output": ("batch", 32)}, {"w": normal(32, 32, scale=0.2)})
    _, _, record = convert(Example(proto, {"input": normal(12, 32)}), tmp_path)
    assert [name for name, scales in record.scales.items() if len(scales) == 32] == ["w"]
    assert np.isfinite(record.scales["w"]).all()
