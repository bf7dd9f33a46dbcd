from __future__ import annotations

from pathlib import Path

import pytest
from stages import calibrate
from tests.stages.precision_project import SAMPLES, make_project

from trtproof import artifacts
from trtproof.calibration import Calibration
from trtproof.errors import ConfigError, MissingFileError


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
