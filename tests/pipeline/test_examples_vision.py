"""The worked examples of computer vision, each from an empty repository to its first report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.example_project import reach_first_report


@pytest.mark.slow
def test_an_image_classifier_of_transformers_comes_to_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = reach_first_report("image_classifier", tmp_path)
    first.tell(capsys)
    assert first.project.adapter_lines <= 40
    assert "pixel_values  float32 [batch, 3, 32, 32]" in first.tried
    assert first.project.report.is_file()
    scores = first.project.scores("onnxruntime-fp32")
    assert scores["top1_pct"] > 95
    assert scores["agreement_pct"] == 100


@pytest.mark.slow
def test_a_detector_whose_scorer_suppresses_boxes_comes_to_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = reach_first_report("detector", tmp_path)
    first.tell(capsys)
    assert first.project.adapter_lines <= 40
    assert "picture  uint8 [batch, 3, 64, 64]" in first.tried
    assert first.project.report.is_file()
    scores = first.project.scores("onnxruntime-fp32")
    assert 80 < scores["map_pct"] < scores["map75_pct"] <= scores["map50_pct"]
    assert abs(scores["map_drop_pp"]) < 0.1


@pytest.mark.slow
def test_segmentation_of_pictures_of_any_size_comes_to_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = reach_first_report("segmentation", tmp_path)
    first.tell(capsys)
    assert first.project.adapter_lines <= 40
    assert "batch 1..8..16, height 32..48..96, width 32..64..96" in first.tried
    assert first.project.report.is_file()
    scores = first.project.scores("onnxruntime-fp32")
    assert 80 < scores["mean_iou_pct"] < 95
    assert scores["pixel_accuracy_pct"] > 90
    assert abs(scores["mean_iou_drop_pp"]) < 0.1
