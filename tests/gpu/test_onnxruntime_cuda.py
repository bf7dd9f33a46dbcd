"""ONNX Runtime's CUDA provider on a real GPU: our memory and stream, graphs, and where nodes run.

Needs an NVIDIA GPU, cuda-python and onnxruntime-gpu. Run with `pytest -m gpu tests/gpu`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trtproof.backends.base import BuildSpec, RunOptions, run_once
from trtproof.backends.onnxruntime import BACKEND
from trtproof.backends.onnxruntime_library import CUDA_PROVIDER
from trtproof.errors import BackendError, BuildFailedError
from trtproof.models.base import ModelFiles
from trtproof.tensor import Signature, TensorSpec

pytestmark = pytest.mark.gpu

RNG = np.random.default_rng(0)
WEIGHTS = (RNG.standard_normal((16, 3, 3, 3)) / 5).astype(np.float32)
HEAD = (RNG.standard_normal((16 * 32 * 32, 10)) / 100).astype(np.float32)


def write_model(folder: Path, *, extra: str | None = None) -> ModelFiles:
    """Write a convolution and a matrix product; `extra` is an operator after them."""
    folder.mkdir(parents=True)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("MatMul", ["f", "h"], ["m"], name="head"),
        helper.make_node(extra or "Identity", ["m"], ["y"], name="last"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [value("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(HEAD, "h")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = folder / "model.onnx"
    onnx.save(model, path)
    signature = Signature(
        inputs=(TensorSpec("x", "float32", ("batch", 3, 32, 32)),),
        outputs=(TensorSpec("y", "float32", ("batch", 10)),),
    )
    from trtproof import artifacts

    artifacts.write_json(folder / "signature.json", signature.to_json())
    return ModelFiles(folder=folder, signature=signature)


def spec(**options: Any) -> BuildSpec:
    return BuildSpec(
        precision="fp32",
        tf32=False,
        workspace_mib=1024,
        profiles=[{"batch": (1, 4, 8)}],
        options=options,
        facts={"device": "cuda"},
        model_config={},
    )


def build(tmp_path: Path, *, extra: str | None = None, **options: Any) -> tuple[Path, Any]:
    model = write_model(tmp_path / "model", extra=extra)
    out = tmp_path / "plan"
    out.mkdir()
    record = BACKEND.compile(model, spec(**options), out)
    (out / "signature.json").write_bytes((model.folder / "signature.json").read_bytes())
    return out, record


def answer_on_cpu(folder: Path, feeds: dict[str, Any]) -> Any:
    import onnxruntime as ort

    session = ort.InferenceSession(str(folder / "engine.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def requests(count: int, batch: int = 4) -> list[dict[str, Any]]:
    return [{"x": RNG.standard_normal((batch, 3, 32, 32)).astype(np.float32)} for _ in range(count)]


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_the_gpu_answers_as_the_cpu_does(tmp_path: Path, cuda_graph: bool) -> None:
    out, record = build(tmp_path)
    assert record.facts["provider"] == CUDA_PROVIDER
    assert record.facts["cpu_nodes_count"] == 0
    options = RunOptions(threads=1, device="cuda", cuda_graph=cuda_graph)
    with BACKEND.open(out, record.plan, options) as engine:
        runner = engine.runner(0)
        for slot, feeds in enumerate(requests(6)):
            got = run_once(runner, feeds, slot % 2)["y"]
            np.testing.assert_allclose(got, answer_on_cpu(out, feeds), rtol=1e-3, atol=1e-4)
        (feeds,) = requests(1, batch=7)  # another shape
        got = run_once(runner, feeds)["y"]
        np.testing.assert_allclose(got, answer_on_cpu(out, feeds), rtol=1e-3, atol=1e-4)
        if cuda_graph:
            assert engine.facts["cuda_graph_captured"] == 1, engine.facts
        else:
            assert "cuda_graph_captured" not in engine.facts


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_two_slots_and_two_streams_do_not_mix(tmp_path: Path, cuda_graph: bool) -> None:
    out, record = build(tmp_path)
    options = RunOptions(threads=1, device="cuda", cuda_graph=cuda_graph)
    with BACKEND.open(out, record.plan, options) as engine:
        runners = [engine.runner(0), engine.runner(1)]
        made = requests(4)
        for place, feeds in enumerate(made):
            runner, slot = runners[place // 2], place % 2
            runner.stage(slot, feeds)
        for place in range(4):
            runner, slot = runners[place // 2], place % 2
            runner.upload(slot)
            runner.launch(slot)
            runner.download(slot)
        for runner in runners:
            runner.wait()
        for place, feeds in enumerate(made):
            got = runners[place // 2].read(place % 2)["y"]
            np.testing.assert_allclose(got, answer_on_cpu(out, feeds), rtol=1e-3, atol=1e-4)


def test_parts_are_told_where_asked(tmp_path: Path) -> None:
    out, record = build(tmp_path)
    with BACKEND.open(out, record.plan, RunOptions(1, device="cuda", parts=True)) as engine:
        runner = engine.runner(0)
        run_once(runner, requests(1)[0])
        parts = runner.times_ns()
        assert None not in (parts.h2d_ns, parts.device_ns, parts.d2h_ns, parts.enqueue_ns)


def test_a_node_that_the_gpu_has_no_kernel_for_is_named(tmp_path: Path) -> None:
    _, record = build(tmp_path, extra="Hardmax")
    names = " ".join(record.facts["cpu_nodes"])
    if record.facts["cpu_nodes_count"]:
        assert "last (Hardmax)" in names
    else:
        pytest.skip("this ONNX Runtime has a CUDA kernel for Hardmax")


def test_a_cuda_graph_that_is_refused_is_recorded_and_launched_plainly(tmp_path: Path) -> None:
    out, record = build(tmp_path, extra="Hardmax")
    if not record.facts["cpu_nodes_count"]:
        pytest.skip("this ONNX Runtime has a CUDA kernel for Hardmax")
    options = RunOptions(threads=1, device="cuda", cuda_graph=True)
    with BACKEND.open(out, record.plan, options) as engine:
        runner = engine.runner(0)
        feeds = requests(1)[0]
        np.testing.assert_array_equal(run_once(runner, feeds)["y"], answer_on_cpu(out, feeds))
        assert engine.facts["cuda_graph_captured"] == 0
        assert engine.facts["cuda_graph_failure"]


def test_a_model_that_the_library_refuses_is_a_failed_build(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    model.onnx.write_bytes(b"\x08\x0a")
    out = tmp_path / "plan"
    out.mkdir()
    with pytest.raises((BackendError, BuildFailedError)):
        BACKEND.compile(model, spec(), out)


def test_a_batch_size_that_comes_back_takes_its_graph_again(tmp_path: Path) -> None:
    out, record = build(tmp_path)
    options = RunOptions(threads=1, device="cuda", cuda_graph=True)
    with BACKEND.open(out, record.plan, options) as engine:
        runner: Any = engine.runner(0)
        for batch in (8, 1, 8, 1, 8):
            (feeds,) = requests(1, batch=batch)
            got = run_once(runner, feeds)["y"]
            np.testing.assert_allclose(got, answer_on_cpu(out, feeds), rtol=1e-3, atol=1e-4)
        assert len(runner._graphs) == 2
        assert engine.facts["cuda_graph_captured"] == 1
