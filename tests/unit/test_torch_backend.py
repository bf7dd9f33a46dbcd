"""The reference: the PyTorch module, rebuilt from what its plan stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tests.fakes import MODEL_CONFIG, SIGNATURE, TESTS, make_feeds, write_export, write_model

from trtproof.artifacts import sha256_file
from trtproof.backends.base import BuildSpec, RunOptions, run_once
from trtproof.backends.torch import BACKEND, MODEL_FILE, PLAN_FILE
from trtproof.errors import BackendError, BuildFailedError
from trtproof.models.base import load_files
from trtproof.tensor import Feeds

OPTIONS = RunOptions(threads=1, pythonpath=(str(TESTS),))


def compile_model(source: Path, out: Path, config: dict[str, Any] = MODEL_CONFIG) -> Any:
    out.mkdir(exist_ok=True)
    (out / "signature.json").write_text(json.dumps(SIGNATURE.to_json()), encoding="utf-8")
    spec = BuildSpec("fp32", False, 1, [], {}, {"device": "cpu"}, config, (str(TESTS),))
    return BACKEND.compile(load_files(source), spec, out)


def answer(folder: Path) -> Feeds:
    with BACKEND.open(folder, PLAN_FILE, OPTIONS) as engine:
        return run_once(engine.runner(0), make_feeds(2))


def test_the_plan_is_the_exported_weights(tmp_path: Path) -> None:
    write_export(tmp_path / "source")
    record = compile_model(tmp_path / "source", tmp_path / "out")
    stored = sha256_file(tmp_path / "source" / "weights.safetensors")
    assert sha256_file(tmp_path / "out" / PLAN_FILE) == stored
    assert record.facts["parameters_count"] == 8 * 9 + 8 * 8 * 9 + 5 * 8
    assert [layer["kind"] for layer in record.layers] == ["Conv2d", "Conv2d", "Linear"]


def test_the_weights_come_from_the_plan_and_not_from_where_the_user_keeps_them(
    tmp_path: Path,
) -> None:
    write_export(tmp_path / "source", seed=3)
    compile_model(tmp_path / "source", tmp_path / "out")  # MODEL_CONFIG names a missing file
    before = answer(tmp_path / "out")["logits"]
    weights = load_file(tmp_path / "out" / PLAN_FILE)
    doubled = {name: 2 * value for name, value in weights.items() if name == "fc.weight"}
    save_file(weights | doubled, tmp_path / "out" / PLAN_FILE)
    np.testing.assert_allclose(answer(tmp_path / "out")["logits"], 2 * before, rtol=1e-5)


def test_a_converted_or_onnx_model_has_no_reference(tmp_path: Path) -> None:
    write_model(tmp_path / "source")
    with pytest.raises(BuildFailedError, match=r"onnxruntime-fp32") as failure:
        compile_model(tmp_path / "source", tmp_path / "out", {})
    assert failure.value.code == "no_reference"


def test_a_factory_that_makes_another_model_fails_the_build(tmp_path: Path) -> None:
    write_export(tmp_path / "source")
    config = MODEL_CONFIG | {"options": {"classes": 7}}
    with pytest.raises(BuildFailedError, match=r"fc\.weight") as failure:
        compile_model(tmp_path / "source", tmp_path / "out", config)
    assert failure.value.code == "weights_mismatch"


def test_tied_weights_stored_once_are_enough(tmp_path: Path) -> None:
    write_export(tmp_path / "source")
    rng = np.random.default_rng(0)
    names = {"first.weight": (4, 4), "first.bias": (4,), "second.bias": (4,)}
    weights = {name: rng.random(shape).astype(np.float32) for name, shape in names.items()}
    save_file(weights, tmp_path / "source" / "weights.safetensors")
    config = MODEL_CONFIG | {"factory": "fake_models:make_tied"}
    compile_model(tmp_path / "source", tmp_path / "out", config)


def test_threads_and_tf32_are_what_was_asked_for(tmp_path: Path) -> None:
    write_export(tmp_path / "source")
    compile_model(tmp_path / "source", tmp_path / "out")
    before = torch.get_num_threads()
    try:
        with BACKEND.open(tmp_path / "out", PLAN_FILE, OPTIONS) as engine:
            assert torch.get_num_threads() == 1
            assert not torch.backends.cuda.matmul.allow_tf32
            assert engine.facts == {
                "device": "cpu", "execution": "eager", "threads": 1, "tf32": False,
            }  # fmt: skip
    finally:
        torch.set_num_threads(before)


def test_the_module_runs_without_gradients_in_evaluation_mode(tmp_path: Path) -> None:
    write_export(tmp_path / "source")
    compile_model(tmp_path / "source", tmp_path / "out")
    with BACKEND.open(tmp_path / "out", PLAN_FILE, OPTIONS) as engine:
        runner: Any = engine.runner(0)
        run_once(runner, make_feeds(1))
        assert not runner._module.training
        assert runner._outputs[0][0].is_inference()


def test_a_shape_that_the_module_refuses_is_a_backend_error(tmp_path: Path) -> None:
    write_export(tmp_path / "source")
    compile_model(tmp_path / "source", tmp_path / "out")
    wrong = {"input": np.zeros((1, 3, 6, 6), np.float32)}
    with BACKEND.open(tmp_path / "out", PLAN_FILE, OPTIONS) as engine:
        runner = engine.runner(0)
        with pytest.raises(BackendError, match="running the PyTorch module"):
            run_once(runner, wrong)


def test_the_settings_that_rebuild_the_module_are_stored(tmp_path: Path) -> None:
    write_export(tmp_path / "source")
    compile_model(tmp_path / "source", tmp_path / "out")
    stored = json.loads((tmp_path / "out" / MODEL_FILE).read_text(encoding="utf-8"))
    assert stored == {"schema": 1, "model": MODEL_CONFIG, "tf32": False, "gpu": {}}


@pytest.mark.parametrize(
    ("facts", "precision", "code"),
    [
        ({}, "fp32", "not_installed"),
        ({"device": "cuda"}, "fp32", None),
        ({"device": "cuda"}, "fp16", "reference_only"),
        ({"device": "cpu"}, "fp32", None),
        ({"device": "cpu"}, "fp16", "reference_only"),
    ],
)
def test_only_the_float32_reference_runs(
    facts: dict[str, Any], precision: str, code: str | None
) -> None:
    reason = BACKEND.unavailable(facts, precision)
    assert (reason.code if reason else None) == code


def test_stored_settings_get_the_signatures_order_of_inputs_back() -> None:
    from trtproof.backends.torch import _in_order
    from trtproof.tensor import Signature, TensorSpec

    specs = tuple(TensorSpec(name, "int64", ("batch",)) for name in ("input_ids", "attention_mask"))
    stored = {"inputs": {"attention_mask": 1, "input_ids": 2}, "name": "bert"}
    ordered = _in_order(stored, Signature(specs, ()))
    assert list(ordered["inputs"].items()) == [("input_ids", 2), ("attention_mask", 1)]


def test_inputs_of_which_the_record_lost_the_order_reach_forward_in_the_signatures(
    tmp_path: Path,
) -> None:
    from trtproof.tensor import Signature, TensorSpec

    names = ("over", "below")
    specs = tuple(TensorSpec(name, "float32", ("batch", 2)) for name in names)
    signature = Signature(specs, (TensorSpec("ratio", "float32", ("batch", 2)),))
    source, out = tmp_path / "source", tmp_path / "out"
    write_export(source)
    save_file({"scale": np.full((), 2, np.float32)}, source / "weights.safetensors")
    for folder in (source, out):
        folder.mkdir(exist_ok=True)
        stored = json.dumps(signature.to_json())
        (folder / "signature.json").write_text(stored, encoding="utf-8")
    stated = {name: {"dtype": "float32", "shape": ["batch", 2]} for name in sorted(names)}
    config = MODEL_CONFIG | {"factory": "fake_models:Divide", "options": {}, "inputs": stated}
    spec = BuildSpec("fp32", False, 1, [], {}, {"device": "cpu"}, config, (str(TESTS),))
    BACKEND.compile(load_files(source), spec, out)
    feeds = {"over": np.full((1, 2), 6, np.float32), "below": np.full((1, 2), 3, np.float32)}
    with BACKEND.open(out, PLAN_FILE, OPTIONS) as engine:
        found = run_once(engine.runner(0), feeds)
    np.testing.assert_array_equal(found["ratio"], np.full((1, 2), 4, np.float32))
