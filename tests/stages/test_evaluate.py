"""The evaluate stage: scores and outputs, the same bytes for the same inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stages import build, evaluate
from tests.engine_project import (
    SAMPLES_COUNT,
    EngineProject,
    make_engine_project,
    make_variant,
    write_samples,
)
from tests.fakes import TESTS

from trtproof import artifacts
from trtproof.backends import BACKENDS
from trtproof.backends.base import RunOptions, run_once
from trtproof.errors import InputError, PlanCorruptError, PlanForeignError
from trtproof.scoring import evaluation, load_scorer


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineProject:
    # The guard cannot be taken back in this process; one test runs it for itself.
    monkeypatch.setattr(evaluation, "guard_inputs", lambda *_: None)
    return make_engine_project(monkeypatch, tmp_path)


def run(project: EngineProject, variant: str = "first") -> dict[str, Any]:
    project.write()
    build.main(variant)
    evaluate.main(variant)
    return artifacts.read_json(artifacts.evaluate(variant) / "scores.json", made_by="evaluate")


def test_scores_are_those_of_the_plan_on_every_sample(project: EngineProject) -> None:
    project.params["variants"]["first"] = make_variant("onnxruntime")
    scores = run(project)
    folder = artifacts.evaluate("first")
    stored = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    assert stored["indices"] == list(range(SAMPLES_COUNT))
    with np.load("samples.npz") as samples:
        feeds, labels = {"input": samples["input"]}, samples["labels"]
    backend = BACKENDS.load("onnxruntime")
    built = artifacts.build("first")
    with backend.open(built, "engine.onnx", RunOptions(threads=1)) as engine:
        logits = run_once(engine.runner(0), feeds)["logits"]
    assert stored["labels"] == labels.tolist()
    assert [entry[0] for entry in stored["predictions"]["top1"]] == logits.argmax(1).tolist()
    hits = 100 * float((logits.argmax(1) == labels).mean())
    assert scores["scores"]["top1"]["top1_pct"] == pytest.approx(hits)
    with np.load(folder / "outputs.npz") as outputs:
        np.testing.assert_allclose(outputs["logits"], logits[:6], atol=1e-6)
    assert scores["plan_sha256"] == artifacts.sha256_file(built / "engine.onnx")
    assert scores["samples_count"] == SAMPLES_COUNT
    assert scores["executor"] == "onnxruntime"
    assert scores["labelled"]
    assert not scores["synthetic"]


def test_a_plan_that_is_not_timed_is_scored_and_says_what_computed_it(
    project: EngineProject,
) -> None:
    stated = {"schema": 1, "precision": "int8", "executor": "onnxruntime-unoptimized"}
    artifacts.write_json(artifacts.EXPORT / "record.json", stated)
    project.params["variants"]["first"] = make_variant("onnxruntime")
    scores = run(project)
    assert scores["status"] == "evaluated_only"
    assert scores["reason"]["text"].startswith("evaluated, not timed")
    assert scores["executor"] == "onnxruntime-unoptimized"
    assert scores["samples_count"] == SAMPLES_COUNT
    assert "top1_pct" in scores["scores"]["top1"]
    assert (artifacts.evaluate("first") / "outputs.npz").exists()


def test_the_same_plan_and_samples_give_the_same_bytes(project: EngineProject) -> None:
    project.params["variants"]["first"] = make_variant("onnxruntime")
    run(project)
    before = artifacts.sha256_folder(artifacts.evaluate("first"))
    evaluate.main("first")
    assert artifacts.sha256_folder(artifacts.evaluate("first")) == before
    assert list(before) == ["outputs.npz", "predictions.json", "scores.json"]


def test_the_batch_size_changes_no_score(project: EngineProject) -> None:
    results = []
    for batch in (1, 3, 64):  # 64 is beyond the profile: as many as the plan takes
        project.params["evaluate"]["batch"] = batch
        results.append(run(project)["scores"])
    assert results[0] == results[1] == results[2]


def test_a_batch_smaller_than_the_plan_takes_is_filled_up_and_cut(project: EngineProject) -> None:
    project.variant("first")["build"]["profiles"] = [{"batch": {"min": 4, "opt": 4, "max": 4}}]
    scores = run(project)
    assert scores["samples_count"] == SAMPLES_COUNT
    predictions = (artifacts.evaluate("first") / "predictions.json").read_text(encoding="utf-8")
    assert len(json.loads(predictions)["predictions"]["top1"]) == SAMPLES_COUNT


def test_a_variant_without_a_plan_has_only_its_reason(project: EngineProject) -> None:
    project.variant("first")["backend"] = "tensorrt"
    scores = run(project)
    assert scores["status"] == "unavailable"
    assert scores["reason"]["code"] == "no_bindings"
    assert [path.name for path in artifacts.evaluate("first").iterdir()] == ["scores.json"]


def test_a_failed_build_has_only_its_cause(project: EngineProject) -> None:
    project.variant("first")["build"]["options"] = {"fails": True}
    assert run(project)["reason"]["text"] == "the fake says no"


def test_samples_without_labels_are_predicted_and_not_scored(project: EngineProject) -> None:
    write_samples()
    scores = run(project)
    assert not scores["labelled"]
    assert scores["scores"] == {}
    assert scores["skipped"]["top1"]["code"] == "no_labels"
    assert (artifacts.evaluate("first") / "outputs.npz").exists()


class Picky:
    """Cannot read the tiny model's outputs, as top5 those of a model with two classes."""

    def predictions(self, outputs: Any, batch: Any) -> list[int]:
        problem = "picky needs 99 classes; take it out of `evaluate.scorers`"
        raise InputError(problem)


def add_picky(project: EngineProject, monkeypatch: pytest.MonkeyPatch) -> None:
    project.params["evaluate"]["scorers"] = ["top1", "picky"]
    monkeypatch.setattr(
        evaluation, "load_scorer", lambda name: Picky() if name == "picky" else load_scorer(name)
    )


def test_without_labels_a_scorer_that_cannot_read_the_outputs_is_skipped_with_its_reason(
    project: EngineProject,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_picky(project, monkeypatch)
    write_samples()
    skipped = run(project)["skipped"]
    assert skipped["top1"]["code"] == "no_labels"
    assert skipped["picky"] == {
        "code": "scorer_refused",
        "text": "picky needs 99 classes",
        "repair": "take it out of `evaluate.scorers`",
    }
    stored = json.loads((artifacts.evaluate("first") / "predictions.json").read_text("utf-8"))
    assert len(stored["predictions"]["top1"]) == SAMPLES_COUNT  # what agreement compares
    assert stored["predictions"]["picky"] == []
    assert capsys.readouterr().err.count("scorer picky is skipped: picky needs 99 classes") == 1


def test_with_labels_a_scorer_that_cannot_read_the_outputs_is_an_error(
    project: EngineProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_picky(project, monkeypatch)
    with pytest.raises(InputError, match="picky needs 99 classes"):
        run(project)


def test_outputs_that_are_not_numbers_are_counted_and_said(
    project: EngineProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project.variant("first")["build"]["options"] = {"nan": True}
    scores = run(project)
    assert scores["outputs"]["logits"] == {"nan_count": 3, "inf_count": 0}  # one per batch of 4
    assert "first: output 'logits' has 3 NaN and 0 infinite values" in capsys.readouterr().err


def test_a_score_that_is_no_number_is_an_error(
    project: EngineProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def predictions(self, outputs: Any, batch: Any) -> list[int]:
            return [0] * len(batch.indices)

        def score(self, predictions: Any, labels: Any) -> dict[str, float]:
            return {"odd_pct": float("nan")}

    monkeypatch.setattr(evaluation, "load_scorer", lambda _: Broken())
    with pytest.raises(InputError, match="odd_pct = nan"):
        run(project)
    assert not artifacts.evaluate("first").exists()


def test_a_truncated_plan_is_not_evaluated(project: EngineProject) -> None:
    run(project)
    (artifacts.build("first") / "engine.fake").write_text("", encoding="utf-8")
    with pytest.raises(PlanCorruptError):
        evaluate.main("first")


def test_a_plan_of_another_machine_is_not_evaluated(project: EngineProject) -> None:
    run(project)
    project.hardware["engine"]["fake"] = {"device": "cuda"}
    project.write()
    with pytest.raises(PlanForeignError):
        evaluate.main("first")


def test_no_outputs_are_kept_when_none_are_wanted(project: EngineProject) -> None:
    project.params["evaluate"]["keep_outputs"] = 0
    run(project)
    with np.load(artifacts.evaluate("first") / "outputs.npz") as outputs:
        assert outputs.files == []


STAGE = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from stages import evaluate
from trtproof import stage
def main():
    evaluate.main("first")
    Path("notes.txt").read_text()
stage.run(main)
"""


def test_the_guard_knows_the_samples_and_stops_at_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_engine_project(monkeypatch, tmp_path)
    project.params["variants"]["first"] = make_variant("onnxruntime")
    project.write()
    build.main("first")
    Path("notes.txt").write_text("x", encoding="utf-8")
    code = STAGE.format(path=[str(TESTS.parent)])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    wanted = "error: opened notes.txt, which is not in the key; add it to dataset.files\n"
    assert (done.returncode, done.stderr) == (1, wanted)
    assert (artifacts.evaluate("first") / "scores.json").exists()  # samples.npz is keyed
