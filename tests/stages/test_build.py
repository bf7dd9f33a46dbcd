"""The build stage: plans, and the reasons why there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stages import build
from tests.engine_project import EngineProject, make_engine_project

from trtproof import artifacts
from trtproof.errors import BackendError, ConfigError, MissingFileError
from trtproof.sidecar import read_record, verify_plan


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineProject:
    return make_engine_project(monkeypatch, tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_built_variant_is_self_contained_and_verifies(project: EngineProject) -> None:
    project.variant("first")["backend"] = "onnxruntime"
    project.write()
    build.main("first")
    folder = artifacts.build("first")
    assert names(folder) == [
        "build.log", "engine.json", "engine.onnx", "layers.json", "signature.json",
    ]  # fmt: skip
    record = verify_plan(folder, project.hardware["engine"]["onnxruntime"])
    assert record.status == "built"
    assert record.precision == "fp32"
    assert record.key == {"code": "code of onnxruntime"}
    assert record.source["model.onnx"] == artifacts.sha256_file(artifacts.EXPORT / "model.onnx")
    assert record.settings == project.variant("first")["build"]
    assert record.made["slug"] == "cpu-test"
    assert record.made["seconds"] > 0


def test_the_reference_is_built_from_the_exported_weights(project: EngineProject) -> None:
    project.variant("first")["backend"] = "torch"
    project.write()
    build.main("first")
    record = verify_plan(artifacts.build("first"), project.hardware["engine"]["torch"])
    assert record.plan == "engine.safetensors"
    assert "model.json" in record.files


def test_a_backend_that_is_not_here_is_recorded_and_the_record_never_varies(
    project: EngineProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.variant("first")["backend"] = "tensorrt"
    project.write()
    contents = []
    for _ in range(2):
        build.main("first")
        contents.append((artifacts.build("first") / "engine.json").read_bytes())
    record = read_record(artifacts.build("first"))
    assert record.status == "unavailable"
    assert record.reason is not None
    assert record.reason.code == "no_bindings"
    assert record.made == {}
    assert names(artifacts.build("first")) == ["engine.json"]
    assert contents[0] == contents[1]
    assert "first is unavailable: TensorRT's Python bindings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("precision", "executor", "said"),
    [
        ("int8", "onnxruntime-unoptimized", "TensorRT's explicit quantisation"),
        ("fp8_fp16", "onnxruntime-unoptimized", "only emulates"),
        ("bf16", "onnxruntime-emulated", "no bfloat16 kernels"),
        ("fp16", "onnxruntime-unoptimized", "only as written"),
    ],
)
def test_what_a_cpu_computes_but_cannot_time_is_made_to_be_evaluated_only(
    precision: str,
    executor: str,
    said: str,
    project: EngineProject,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stated = {"schema": 1, "precision": precision, "executor": executor}
    artifacts.write_json(artifacts.EXPORT / "record.json", stated)
    project.variant("first")["backend"] = "onnxruntime"
    project.write()
    build.main("first")
    record = verify_plan(artifacts.build("first"), project.hardware["engine"]["onnxruntime"])
    assert (record.status, record.plan) == ("evaluated_only", "engine.onnx")
    assert record.precision == precision
    assert record.details["executor"] == executor
    assert record.reason is not None
    assert record.reason.code == "not_timed_here"
    assert record.reason.text.startswith("evaluated, not timed: ")
    assert said in record.reason.text
    assert "first is evaluated, not timed: " in capsys.readouterr().err


def test_a_variant_for_a_gpu_is_recorded_and_not_built_on_a_cpu(project: EngineProject) -> None:
    project.variant("first")["build"]["device"] = "cuda"
    project.variant("first")["build"]["options"] = {"dtype": "float16"}
    project.write()
    build.main("first")
    record = read_record(artifacts.build("first"))
    assert (record.status, record.plan) == ("unavailable", None)
    assert record.reason is not None
    assert record.reason.code == "needs_gpu"


def test_a_precision_that_nobody_knows_has_no_plan(project: EngineProject) -> None:
    artifacts.write_json(artifacts.EXPORT / "record.json", {"schema": 1, "precision": "int2"})
    project.variant("first")["backend"] = "onnxruntime"
    project.write()
    build.main("first")
    record = read_record(artifacts.build("first"))
    assert (record.status, record.precision, record.plan) == ("unavailable", "int2", None)


def test_a_failing_build_is_recorded_with_its_cause_and_nothing_of_its_plan(
    project: EngineProject,
) -> None:
    project.variant("first")["build"]["options"] = {"fails": True}
    project.write()
    build.main("first")
    folder = artifacts.build("first")
    record = read_record(folder)
    assert record.status == "failed"
    assert record.plan is None
    assert record.reason is not None
    assert record.reason.to_json() == {
        "code": "fake", "text": "the fake says no", "repair": "ask nicely",
    }  # fmt: skip
    assert names(folder) == ["build.log", "engine.json"]
    assert "the fake says no" in (folder / "build.log").read_text(encoding="utf-8")
    first = (folder / "engine.json").read_bytes()
    build.main("first")
    assert (folder / "engine.json").read_bytes() == first


def test_what_may_work_another_time_is_an_error_and_leaves_nothing(
    project: EngineProject,
) -> None:
    project.variant("first")["build"]["options"] = {"crashes": True}
    project.write()
    with pytest.raises(BackendError, match="no memory"):
        build.main("first")
    assert not artifacts.build("first").exists()
    assert list(artifacts.TEMPORARY.iterdir()) == []


def test_a_wrong_option_is_an_error_of_the_settings(project: EngineProject) -> None:
    project.variant("first")["backend"] = "onnxruntime"
    project.variant("first")["build"]["options"] = {"turbo": True}
    project.write()
    with pytest.raises(ConfigError, match="turbo"):
        build.main("first")


def test_a_source_that_was_not_made_names_the_stage(project: EngineProject) -> None:
    project.variant("first")["source"] = "artifacts/convert/fp16"
    project.write()
    with pytest.raises(MissingFileError, match=r"dvc repro convert@fp16"):
        build.main("first")


def test_the_sidecar_is_plain_json_with_a_seal(project: EngineProject) -> None:
    build.main("first")
    text = (artifacts.build("first") / "engine.json").read_text(encoding="utf-8")
    data = json.loads(text)
    assert data["schema"] == 1
    assert len(data["seal"]) == 64
    assert str(Path.cwd()) not in text
