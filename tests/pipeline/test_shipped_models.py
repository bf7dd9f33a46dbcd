"""Models that the repository ships beside the default one go through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pipeline.project import Project, make_project

CHOICES = {
    "dataset: digits\n": "dataset: synthetic\n",
    "model: digits_resnet\n": "model: bert_mini\n",
    "benchmark: quick\n": "benchmark: smoke\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with the default recipes and variants, of BERT-Mini on random tokens."""
    project = make_project(tmp_path / "project", {})
    for old, new in CHOICES.items():
        project.edit("conf/config.yaml", old, new)
    return project


@pytest.mark.slow
def test_bert_mini_is_measured_with_the_default_recipes_and_labelled_as_what_it_is(
    project: Project,
) -> None:
    project.compose()
    outcome = project.command("dvc", "repro", timeout=900)
    assert outcome.code == 0, outcome.output
    report = (project.root / "metrics/report.md").read_text(encoding="utf-8")
    assert "Synthetic" in report
    assert "Random weights" in report
    built = project.json("artifacts/build/onnxruntime-int8_cpu/engine.json")
    assert (built["status"], built["reason"]) == ("built", None)
    scores = project.json("artifacts/evaluate/onnxruntime-int8_cpu/scores.json")
    assert {name: item["code"] for name, item in scores["skipped"].items()} == {
        "top1": "no_labels",
        "top5": "scorer_refused",
    }
    kept = project.json("artifacts/convert/int8_cpu/record.json")["kept"]
    assert any("zero in every calibration sample" in reason for reason in kept.values())
    same = project.json("metrics/variants/onnxruntime-fp32.json")["scores"]["agreement_pct"]
    assert same == 100  # the reference takes its two inputs in the model's own order
