"""The sensitivity stage and the command that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from stages import calibrate, sensitivity
from tests.stages.precision_project import make_project

from trtproof import artifacts, cli
from trtproof.sensitivity import Layer
from trtproof.sensitivity_advice import render_sweep

INT8 = {
    "int8": {
        "pass": "int8",
        "source": "artifacts/export",
        "calibration": "artifacts/calibrate",
        "options": {"exclude": []},
    }
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, recipes=INT8, sensitivity={"recipes": ["int8"], "samples": 8})
    calibrate.main()
    return tmp_path


def run() -> dict[str, Any]:
    sensitivity.main("int8")
    found: dict[str, Any] = json.loads(
        (artifacts.sensitivity("int8") / "sensitivity.json").read_text()
    )
    return found


def test_the_ranking_has_every_layer_and_what_it_was_measured_on(project: Path) -> None:
    found = run()
    assert (found["schema"], found["recipe"], found["precision"]) == (1, "int8", "int8")
    assert [layer["node"] for layer in found["layers"]] == ["conv"]  # the head has ten outputs only
    assert found["layers"][0]["sqnr_db"] == found["predicted_sqnr_db"]
    assert found["sqnr_db"] > 20


def test_the_same_inputs_give_the_same_bytes(project: Path) -> None:
    run()
    before = artifacts.sha256_folder(artifacts.sensitivity("int8"))
    run()
    assert artifacts.sha256_folder(artifacts.sensitivity("int8")) == before


def test_the_command_shows_the_ranking_and_runs_the_list_that_meets_a_budget(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = run()["sqnr_db"]
    capsys.readouterr()
    assert cli.main(["sensitivity", "int8"]) == 0
    shown = capsys.readouterr().out
    assert f"{measured:.1f} dB with all 1 layers quantised" in shown
    assert "conv" in shown
    assert cli.main(["sensitivity", "int8", "--budget-db", str(measured - 1)]) == 0
    listed = capsys.readouterr().out
    assert yaml.safe_load(listed[listed.index("exclude:") :]) == {"exclude": []}
    assert f"run: {measured:.1f} dB" in listed
    assert cli.main(["sensitivity", "int8", "--budget-db", str(measured + 1)]) == 0
    listed = capsys.readouterr().out
    assert yaml.safe_load(listed[listed.index("exclude:") :]) == {"exclude": ["conv"]}
    assert "run: no error" in listed


def test_a_ranking_that_was_not_made_says_how_to_make_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sensitivity", "int8"]) == 1
    assert "list int8 in `sensitivity.recipes`" in capsys.readouterr().err


def test_a_sweeps_axis_leaves_out_ever_more_of_the_worst() -> None:
    layers = [Layer(name, "Conv", 1.0) for name in "abcde"]
    axis = render_sweep("int8", layers, {"exclude": ["x"]})
    assert axis == "recipes.int8.options.exclude=[x],[x,a],[x,a,b],[x,a,b,c,d]"
