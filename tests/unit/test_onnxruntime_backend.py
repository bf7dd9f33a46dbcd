"""ONNX Runtime: graphs to compute with, and plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.fakes import make_feeds, write_model, write_signature

from trtproof.backends.base import BuildSpec, RunOptions, run_once
from trtproof.backends.onnxruntime import BACKEND, PLAN_FILE, open_graph
from trtproof.errors import BackendError, BuildFailedError, ConfigError, MissingFileError
from trtproof.models.base import load_files

CPU = {"device": "cpu", "version": "1"}
CUDA = {"device": "cuda"}


def compile_model(source: Path, out: Path) -> Any:
    out.mkdir(exist_ok=True)
    write_signature(out)
    return BACKEND.compile(load_files(source), BuildSpec("fp32", False, 1, [], {}, CPU, {}), out)


def test_a_graph_gives_its_outputs_by_name(tmp_path: Path) -> None:
    graph = open_graph(write_model(tmp_path), threads=1)
    assert graph.outputs == ["logits"]
    assert graph.run(make_feeds(3))["logits"].shape == (3, 5)


def test_a_graph_with_external_data_is_found_from_its_path(tmp_path: Path) -> None:
    whole = open_graph(write_model(tmp_path / "a"), threads=1)
    split = open_graph(write_model(tmp_path / "b", external=True), threads=1)
    feeds = make_feeds(2)
    np.testing.assert_array_equal(whole.run(feeds)["logits"], split.run(feeds)["logits"])


def test_optimisation_can_be_turned_off(tmp_path: Path) -> None:
    model, feeds = write_model(tmp_path), make_feeds(2)
    plain = open_graph(model, threads=1, optimized=False).run(feeds)["logits"]
    np.testing.assert_allclose(plain, open_graph(model, threads=1).run(feeds)["logits"], atol=1e-5)


def test_only_the_outputs_asked_for_are_computed(tmp_path: Path) -> None:
    graph = open_graph(write_model(tmp_path), threads=1, outputs=["logits"])
    assert list(graph.run(make_feeds(1))) == ["logits"]
    with pytest.raises(BackendError, match=r"no output 'nothing'; it has logits"):
        open_graph(tmp_path / "model.onnx", threads=1, outputs=["nothing"])


@pytest.mark.parametrize(
    "feeds",
    [{}, {"input": np.zeros((1, 1, 6, 6))}, {"input": np.zeros((1, 1, 5, 6), np.float32)}],
    ids=["missing", "wrong type", "wrong shape"],
)
def test_feeds_that_do_not_fit_are_one_error(tmp_path: Path, feeds: dict[str, Any]) -> None:
    graph = open_graph(write_model(tmp_path), threads=1)
    with pytest.raises(BackendError, match=r"running .*model.onnx"):
        graph.run(feeds)


@pytest.mark.parametrize("content", [b"", b"not a model at all"])
def test_a_broken_file_is_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(BackendError, match=r"opening .*model.onnx"):
        open_graph(path, threads=1)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="does not exist"):
        open_graph(tmp_path / "model.onnx", threads=1)


def test_the_plan_is_the_optimised_graph(tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    record = compile_model(tmp_path / "source", tmp_path / "out")
    kinds = [layer["kind"] for layer in record.layers]
    before = onnx.load(tmp_path / "source" / "model.onnx").graph.node
    assert len(kinds) == record.facts["nodes_count"]
    assert "Relu" in [node.op_type for node in before]
    assert "Relu" not in kinds  # fused into its convolution
    assert [layer["index"] for layer in record.layers] == list(range(len(kinds)))


def test_the_same_model_gives_plans_that_answer_alike_to_the_bit(tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    kinds, answers = [], []
    for name in ("a", "b", "c", "d"):  # their bytes differ in the names of inserted nodes
        record = compile_model(tmp_path / "source", tmp_path / name)
        kinds.append([layer["kind"] for layer in record.layers])
        with BACKEND.open(tmp_path / name, PLAN_FILE, RunOptions(threads=1)) as engine:
            answers.append(run_once(engine.runner(0), make_feeds(3))["logits"].tobytes())
    assert len({tuple(sorted(kind)) for kind in kinds}) == 1
    assert len(set(answers)) == 1


def test_the_plan_of_a_model_with_external_data_is_self_contained(tmp_path: Path) -> None:
    write_model(tmp_path / "source", external=True)
    compile_model(tmp_path / "source", tmp_path / "out")
    wanted = open_graph(tmp_path / "source" / "model.onnx", threads=1).run(make_feeds(2))
    for path in (tmp_path / "source").iterdir():
        path.unlink()
    with BACKEND.open(tmp_path / "out", PLAN_FILE, RunOptions(threads=1)) as engine:
        actual = run_once(engine.runner(0), make_feeds(2))
    np.testing.assert_allclose(actual["logits"], wanted["logits"], atol=1e-6)


def test_a_plan_is_run_as_it_is_with_the_threads_stated(tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    compile_model(tmp_path / "source", tmp_path / "out")
    with BACKEND.open(tmp_path / "out", PLAN_FILE, RunOptions(threads=1)) as engine:
        assert engine.facts["threads"] == 1
        assert engine.facts["provider"] == "CPUExecutionProvider"


def test_a_graph_with_an_unknown_operator_is_a_failed_build(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 2])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    node = helper.make_node("NoSuchOperator", ["input"], ["logits"], name="n")
    model = helper.make_model(
        helper.make_graph([node], "g", [value], [output]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    source = tmp_path / "source"
    source.mkdir()
    onnx.save(model, source / "model.onnx")
    write_signature(source)
    with pytest.raises(BuildFailedError, match="NoSuchOperator") as failure:
        compile_model(source, tmp_path / "out")
    assert failure.value.code == "rejected"


def test_a_truncated_plan_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    compile_model(tmp_path / "source", tmp_path / "out")
    plan = tmp_path / "out" / PLAN_FILE
    plan.write_bytes(plan.read_bytes()[:-100])
    with (
        pytest.raises(BackendError, match=r"opening .*engine.onnx"),
        BACKEND.open(tmp_path / "out", PLAN_FILE, RunOptions(threads=1)),
    ):
        pass


@pytest.mark.parametrize(
    ("option", "value", "neutral"),
    [
        ("cuda_graph", True, "false"),
        ("context_memory", "user_managed", '"static"'),
        ("weight_streaming_mib", 0, "null"),
    ],
)
def test_what_only_a_gpu_has_is_a_wrong_setting_on_a_cpu(
    tmp_path: Path, option: str, value: Any, neutral: str
) -> None:
    with (
        pytest.raises(ConfigError, match=rf"run\.{option}: .*set it to {neutral}"),
        BACKEND.open(tmp_path, PLAN_FILE, RunOptions(threads=1, **{option: value})),
    ):
        pass


@pytest.mark.parametrize(
    ("facts", "precision", "code"),
    [
        ({}, "fp32", "not_installed"),
        (CUDA, "fp32", None),
        (CUDA, "fp16", None),
        (CUDA, "bf16", None),
        (CUDA, "int8", None),
        (CUDA, "int8_cpu", "made_for_cpus"),
        (CUDA, "int2", "unknown_precision"),
        (CPU, "fp32", None),
        (CPU, "fp16", None),
        (CPU, "int8_cpu", None),
        (CPU, "int8_fp16", None),
        (CPU, "fp8", None),
        (CPU, "bf16", None),
        (CPU, "int2", "unknown_precision"),
    ],
)
def test_what_runs_on_each_device_is_known(
    facts: dict[str, Any], precision: str, code: str | None
) -> None:
    reason = BACKEND.unavailable(facts, precision)
    assert (reason.code if reason else None) == code


def test_reading_before_staging_is_an_error(tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    compile_model(tmp_path / "source", tmp_path / "out")
    with BACKEND.open(tmp_path / "out", PLAN_FILE, RunOptions(threads=1)) as engine:
        runner = engine.runner(0)
    with pytest.raises(BackendError, match="before anything was staged"):
        runner.read(1)


def test_a_session_that_would_compute_on_the_cpu_instead_of_the_gpu_is_refused(
    tmp_path: Path,
) -> None:
    import onnxruntime as ort

    from trtproof.backends.onnxruntime_cuda_session import Settings, make_session
    from trtproof.errors import HardwareError

    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider")
    model = write_model(tmp_path / "source")
    options = Settings(tf32=False, nhwc=False, conv_search="DEFAULT").to_options(0, cuda_graph=True)
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(HardwareError, match="would run on CPUExecutionProvider"),
    ):
        make_session(tmp_path / "source" / "model.onnx", options)
    del model


def test_an_emulated_graph_is_opened_on_the_cpu_on_every_machine(tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    compile_model(tmp_path / "source", tmp_path / "out")
    options = RunOptions(threads=1, device="cuda", cuda_graph=True)
    with BACKEND.open(tmp_path / "out", PLAN_FILE, options) as engine:
        assert engine.facts["provider"] == "CPUExecutionProvider"
