"""The worked examples of texts, speech and tables, each from an empty repository to its report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.example_project import reach_first_report


@pytest.mark.slow
def test_a_bert_for_texts_of_any_length_comes_to_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = reach_first_report("bert", tmp_path)
    first.tell(capsys)
    assert first.project.adapter_lines <= 40
    assert "input_ids  int64 [batch, sequence]" in first.tried
    assert "sequence 4..32..64" in first.tried
    assert first.project.report.is_file()
    for variant in ("torch-fp32", "onnxruntime-fp32"):
        scores = first.project.scores(variant)
        assert 95 < scores["top1_pct"] <= 100
        assert scores["f1_micro_pct"] == pytest.approx(scores["top1_pct"])
    assert first.project.scores("onnxruntime-fp32")["agreement_pct"] == 100


@pytest.mark.slow
def test_a_speech_recogniser_comes_to_a_report_with_its_word_error_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = reach_first_report("speech", tmp_path)
    first.tell(capsys)
    assert first.project.adapter_lines <= 40
    assert "features  float32 [batch, frames, 80]" in first.tried
    assert first.project.report.is_file()
    stored = first.project.json("artifacts/evaluate/onnxruntime-fp32/predictions.json")
    said, labels = stored["predictions"]["dictation.scorer:SCORER"], stored["labels"]
    right = sum(text == label for text, label in zip(said, labels, strict=True))
    assert right > 0.7 * len(labels)
    assert {len(label.split()) for label in labels} == {1, 2, 3}
    for variant in ("torch-fp32", "onnxruntime-fp32"):
        scores = first.project.scores(variant)
        assert 0 <= scores["cer_pct"] <= scores["wer_pct"] < 20


@pytest.mark.slow
def test_a_regression_with_two_inputs_comes_to_a_report_with_its_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = reach_first_report("tabular", tmp_path)
    first.tell(capsys)
    assert first.project.adapter_lines <= 40
    assert "numbers  float32 [batch, 3]" in first.tried
    assert "categories  int64 [batch, 2]" in first.tried
    assert first.project.report.is_file()
    for variant in ("torch-fp32", "onnxruntime-fp32"):
        scores = first.project.scores(variant)
        # The noise has a deviation of 40 euros, so a mean absolute value of 40 * sqrt(2 / pi).
        assert 36 < scores["rmse_euros"] < 48
        assert 29 < scores["mae_euros"] < 38
