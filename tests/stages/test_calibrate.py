from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stages import calibrate
from tests.stages.precision_project import REPOSITORY, SAMPLES, make_project

from trtproof import artifacts
from trtproof.calibration import Calibration
from trtproof.errors import BackendError, CalibrationError, ConfigError, MissingFileError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path)
    return tmp_path


def test_ranges_histograms_and_coverage_of_the_split_are_written(project: Path) -> None:
    calibrate.main()
    found = Calibration.load(artifacts.CALIBRATE)
    assert set(found.ranges) == {"input", "c1", "r1", "flat", "logits"}
    assert found.ranges["input"][1] == 1.0
    assert found.ranges["r1"][0] == 0.0
    assert found.coverage["samples_count"] == SAMPLES
    assert found.coverage["synthetic"] is False
    assert sum(found.coverage["class_counts"].values()) == SAMPLES
    assert sorted(path.name for path in artifacts.CALIBRATE.iterdir()) == [
        "coverage.json",
        "float16.json",
        "histograms.npz",
        "ranges.json",
    ]


def test_batch_and_threads_of_the_setting_do_not_change_the_bytes(project: Path) -> None:
    calibrate.main()
    before = artifacts.sha256_folder(artifacts.CALIBRATE)
    make_project(project, calibrate={"batch": 5, "threads": 2})
    calibrate.main()
    assert artifacts.sha256_folder(artifacts.CALIBRATE) == before


def test_without_an_export_the_stage_that_makes_it_is_named(project: Path) -> None:
    (artifacts.EXPORT / "model.onnx").unlink()
    with pytest.raises(MissingFileError, match="dvc repro export"):
        calibrate.main()
    assert not artifacts.CALIBRATE.exists()


def test_a_wrong_setting_is_refused(project: Path) -> None:
    make_project(project, calibrate={"batch": 0})
    with pytest.raises(ConfigError, match=r"calibrate\.batch"):
        calibrate.main()


DARK = {"split": "calibration", "count": 100, "brightness": 0.05}


def coverage() -> dict[str, Any]:
    return artifacts.read_json(artifacts.CALIBRATE / "coverage.json", made_by="calibrate")


def test_the_calibration_is_compared_with_the_evaluation_inputs(project: Path) -> None:
    make_project(project, dataset={"evaluation": {"split": "test", "count": 40}})
    calibrate.main()
    found = coverage()
    assert found["verdict"] in {"alike", "different"}
    assert found["executor"] == {"device": "cpu", "provider": "CPUExecutionProvider"}
    assert found["evaluation"]["samples_count"] == found["evaluation"]["compared_count"] == 40
    assert found["evaluation"]["shared_count"] == 0
    comparison = found["comparison"]
    assert set(comparison["tensors"]) == {"input", "flat"}
    assert comparison["tensors_count"] == 2
    assert comparison["exceedance"]["expected_share"] == pytest.approx(1 / (SAMPLES + 1), rel=1e-3)
    assert set(found["worst_tensors"]) == {"input", "flat"}


def test_fewer_evaluation_inputs_are_compared_where_the_setting_says_so(project: Path) -> None:
    splits = {"evaluation": {"split": "test", "count": 40}}
    make_project(project, dataset=splits, calibrate={"check_count": 7})
    calibrate.main()
    assert coverage()["evaluation"]["compared_count"] == 7
    assert coverage()["evaluation"]["samples_count"] == 40


def test_a_harmful_set_stops_and_writes_nothing(project: Path) -> None:
    make_project(project, dataset={"calibration": DARK})
    with pytest.raises(CalibrationError, match=r"harmful.*'input'.*calibrate\.harmful: warn"):
        calibrate.main()
    assert not artifacts.CALIBRATE.exists()


def test_a_harmful_set_is_only_told_where_the_setting_says_so(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_project(project, dataset={"calibration": DARK}, calibrate={"harmful": "warn"})
    calibrate.main()
    assert coverage()["verdict"] == "harmful"
    assert coverage()["harms"]
    assert "the calibration set is harmful" in capsys.readouterr().err


SCALES = {"input": 1.0 / 127, "c1": {"amax": 9.0}, "r1": {"amax": 9.0}, "flat": {"amax": 9.0}}


def test_a_file_gives_the_ranges_and_is_compared_with_the_evaluation_inputs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_project(project, calibrate={"from": "scales.json", "harmful": "warn"})
    Path("scales.json").write_text(json.dumps(SCALES), encoding="utf-8")
    calibrate.main()
    found = Calibration.load(artifacts.CALIBRATE)
    assert found.ranges["r1"] == (-9.0, 9.0)
    assert found.coverage["given"]["file"] == "scales.json"
    assert "given by scales.json, not calibrated here" in found.coverage["summary"]
    assert "only 0 samples" not in " ".join(found.coverage["remarks"])
    assert "took the ranges of 4 tensors from scales.json" in capsys.readouterr().err


def test_ranges_of_a_file_that_cut_the_evaluation_inputs_are_harmful(project: Path) -> None:
    make_project(project, calibrate={"from": "scales.json"})
    Path("scales.json").write_text(json.dumps(SCALES | {"input": 0.1 / 127}), encoding="utf-8")
    with pytest.raises(CalibrationError, match=r"given by scales\.json.*cut"):
        calibrate.main()


def test_calibration_samples_that_are_evaluated_too_are_counted(project: Path) -> None:
    same = {"split": "test", "count": 30}
    splits = {"calibration": same, "evaluation": same | {"count": 40}}
    make_project(project, dataset=splits)
    calibrate.main()
    assert coverage()["evaluation"]["shared_count"] == 30


def test_cuda_without_a_cuda_provider_is_refused_and_never_the_cpu(project: Path) -> None:
    make_project(project, calibrate={"device": "cuda"})
    with pytest.raises(BackendError, match=r"no CUDAExecutionProvider.*trtproof\[cuda\]") as found:
        calibrate.main()
    assert "\n" not in str(found.value)
    assert not artifacts.CALIBRATE.exists()


def test_the_float16_report_names_tensors_and_nodes(project: Path) -> None:
    make_project(
        project,
        dataset={"calibration": {"split": "calibration", "count": 12, "brightness": 1e6}},
        calibrate={"harmful": "warn"},
    )
    calibrate.main()
    found = artifacts.read_json(artifacts.CALIBRATE / "float16.json", made_by="calibrate")
    assert found["activations"]["input"]["overflow"] > 0
    assert "beyond 65504" in found["keep_fp32"]["conv"]


def test_folders_and_hash_seeds_do_not_change_the_bytes(tmp_path: Path) -> None:
    hashes = []
    for seed, name in (("0", "a"), ("1", "another folder")):
        folder = tmp_path / name
        folder.mkdir()
        previous = Path.cwd()
        os.chdir(folder)
        try:
            make_project(folder)
        finally:
            os.chdir(previous)
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "stages" / "calibrate.py")],
            cwd=folder,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        hashes.append(artifacts.sha256_folder(folder / artifacts.CALIBRATE))
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 4
