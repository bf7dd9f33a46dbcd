"""The worked examples of computer vision, each from an empty repository to its first report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.example_project import reach_first_report


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
