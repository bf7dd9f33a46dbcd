from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from stages import calibrate, convert
from tests.stages.precision_project import make_project

from trtproof import artifacts
from trtproof.errors import ConfigError, MissingFileError, UnknownNameError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path)
    return tmp_path


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "int8_cpu"])
def test_a_recipe_becomes_model_signature_and_record(recipe: str, project: Path) -> None:
    calibrate.main()
    convert.main(recipe)
    folder = artifacts.convert(recipe)
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.onnx",
        "record.json",
        "signature.json",
    ]
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    signature = (artifacts.EXPORT / "signature.json").read_bytes()
    assert (folder / "signature.json").read_bytes() == signature
    record = json.loads((folder / "record.json").read_text())
    assert (record["schema"], record["precision"]) == (1, recipe)
    before = artifacts.sha256_folder(folder)
    convert.main(recipe)
    assert artifacts.sha256_folder(folder) == before


@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_a_pass_that_needs_no_ranges_runs_without_calibration(recipe: str, project: Path) -> None:
    convert.main(recipe)
    assert (artifacts.convert(recipe) / "model.onnx").exists()


def test_a_pass_that_needs_ranges_names_the_stage_that_makes_them(project: Path) -> None:
    with pytest.raises(MissingFileError, match="dvc repro calibrate"):
        convert.main("int8_cpu")
    assert not artifacts.convert("int8_cpu").exists()


def test_a_recipe_may_start_from_another_recipes_folder(project: Path) -> None:
    chained = {"pass": "fp16", "source": "artifacts/convert/fp32", "options": {}}
    make_project(project, recipes={"late": chained | {"calibration": "artifacts/export"}})
    convert.main("fp32")
    convert.main("late")
    assert json.loads((artifacts.convert("late") / "record.json").read_text())["precision"] == (
        "fp16"
    )


def test_an_option_reaches_the_pass(project: Path) -> None:
    calibrate.main()
    recipe = {
        "pass": "int8_cpu",
        "source": "artifacts/export",
        "calibration": "artifacts/calibrate",
        "options": {"exclude": ["head"]},
    }
    make_project(project, recipes={"int8_cpu": recipe})
    convert.main("int8_cpu")
    record = json.loads((artifacts.convert("int8_cpu") / "record.json").read_text())
    assert record["kept"] == {"head": "excluded by the recipe"}


def test_unknown_recipes_and_passes_are_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="int4"):
        convert.main("int4")
    wrong = {"pass": "int4", "source": "artifacts/export", "options": {}}
    make_project(project, recipes={"tiny": wrong | {"calibration": "artifacts/export"}})
    with pytest.raises(UnknownNameError, match="no precision pass 'int4'"):
        convert.main("tiny")


def test_what_the_pass_warns_of_is_said(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = artifacts.EXPORT / "model.onnx"
    proto = onnx.load(path)
    bias = next(item for item in proto.graph.initializer if item.name == "b2")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) - 1e30, "b2"))
    path.write_bytes(proto.SerializeToString())
    convert.main("fp16")
    assert "fp16: 10 of 10 values of 'b2' are beyond float16" in capsys.readouterr().err
