from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.report_inputs import Inputs, build

from trtproof import artifacts
from trtproof.report.calibration import (
    calibration_facts,
    calibration_table,
    calibration_title,
    calibration_warnings,
)
from trtproof.report.cells import Facts
from trtproof.report.findings import Findings
from trtproof.report.load import load_findings
from trtproof.report.metrics import make_metrics
from trtproof.report.page import render_page

COVERAGE: dict[str, Any] = {
    "schema": 1,
    "samples_count": 100,
    "samples_sha256": "ab" * 32,
    "duplicates_count": 0,
    "class_counts": {"0": 60, "1": 40},
    "synthetic": False,
    "executor": {"device": "cpu", "provider": "CPUExecutionProvider"},
    "evaluation": {
        "samples_count": 500,
        "samples_sha256": "cd" * 32,
        "compared_count": 500,
        "not_finite_count": 0,
        "shared_count": 0,
    },
    "comparison": {
        "tensors_count": 2,
        "exceedance": {
            "mean_share": 0.05,
            "expected_share": 0.0099,
            "ratio": 5.5,
            "p_value": 0.001,
        },
        "differing_share": 0.5,
        "regret_db": {"mean": 0.5, "max": 3.0},
        "expected_loss_db": -0.8,
        "saturated_share_max": 0.0006,
        "zero_tensors": [],
        "tensors": {
            "relu_1": {
                "calibrated_largest": 2.0,
                "evaluation_largest": 3.0,
                "exceeding_share": 0.1,
                "differs": True,
                "regret_db": 3.0,
                "set_loss_db": 2.3,
                "saturated_share": 0.0006,
            },
            "input": {
                "calibrated_largest": 1.0,
                "evaluation_largest": 1.0,
                "exceeding_share": None,
                "differs": False,
                "regret_db": 0.0,
                "set_loss_db": 0.0,
                "saturated_share": 0.0,
            },
        },
    },
    "verdict": "different",
    "summary": "the calibration set differs, but harmlessly",
    "harms": [],
    "differences": ["one tensor reaches other sizes"],
    "remarks": ["one remark"],
    "worst_tensors": ["relu_1", "input"],
}


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    monkeypatch.chdir(tmp_path)
    return Inputs()


def read(inputs: Inputs, *, calibrated: bool = True, **changes: Any) -> tuple[Findings, Facts]:
    """Return what the report reads of a session whose int8 recipe is calibrated, or none is."""
    build(inputs)
    artifacts.write_json(artifacts.CALIBRATE / "coverage.json", COVERAGE | changes)
    settings = inputs.settings()
    if calibrated:
        recipes = {
            name: structs.replace(recipe, calibration="artifacts/calibrate")
            for name, recipe in settings.recipes.items()
        }
        settings = replace(settings, recipes=recipes)
    findings = load_findings(settings)
    return findings, Facts(make_metrics(findings), findings.hardware.slug)


def test_the_verdict_the_worst_tensors_and_every_reason_are_shown(inputs: Inputs) -> None:
    findings, facts = read(inputs)
    table = calibration_table(findings)
    assert [row[0].text for row in table.rows] == ["relu_1", "input"]
    assert [cell.text for cell in table.rows[0][3:]] == [
        "10.000 %",
        "0.060000 %",
        "2.3000 dB",
        "yes",
    ]
    assert "not by sample" in table.rows[1][3].text
    assert table.notes[-2:] == ["one tensor reaches other sizes", "one remark"]
    page = render_page(findings, facts)
    assert "Calibration: the calibration set differs, but harmlessly" in page
    assert "relu_1" in page


def test_the_facts_hold_no_tensors(inputs: Inputs) -> None:
    facts = calibration_facts(COVERAGE)
    assert facts["class_counts"] == "0: 60, 1: 40"
    assert facts["evaluation shared_count"] == 0
    assert not any("relu" in key for key in facts)


def test_a_set_that_differs_is_warned_of_where_a_recipe_uses_it(inputs: Inputs) -> None:
    used, _ = read(inputs)
    assert calibration_warnings(used) == [
        "Calibration: the calibration set differs, but harmlessly"
    ]
    unused, _ = read(inputs, calibrated=False)
    assert calibration_warnings(unused) == []


def test_shared_samples_and_another_device_are_warned_of(inputs: Inputs) -> None:
    evaluation = COVERAGE["evaluation"] | {"shared_count": 7}
    executor = {"device": "cuda", "provider": "CUDAExecutionProvider"}
    findings, _ = read(inputs, verdict="alike", evaluation=evaluation, executor=executor)
    first, second = calibration_warnings(findings)
    assert "7 of its 100 samples are evaluation inputs too" in first
    assert "on a GPU" in second


def test_figures_of_the_set_stand_with_the_variants_that_have_its_ranges(inputs: Inputs) -> None:
    _, facts = read(inputs)
    figures = facts.metrics["torch-fp32"]["calibration"]
    assert figures["expected_loss_db"] == -0.8
    assert figures["exceedance_ratio"] == 5.5
    assert figures["differing_pct"] == 50
    _, without = read(inputs, calibrated=False)
    assert all("calibration" not in metrics for metrics in without.metrics.values())


def test_an_uncompared_calibration_is_called_so(inputs: Inputs) -> None:
    findings, _ = read(inputs, comparison=None, verdict="not compared", summary="not compared: x")
    assert calibration_title(findings) == "Calibration: not compared: x"
    (row,) = calibration_table(findings).rows
    assert "not measured" in row[0].text
