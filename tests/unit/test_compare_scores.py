"""Scores, sizes and variants of two revisions, from files as the stages write them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fakes import SIGNATURE, write_signature

from trtproof import artifacts
from trtproof.budget_config import CompareConfig
from trtproof.compare.pairs import Matching, match_variants
from trtproof.compare.result import ScoreWord
from trtproof.compare.revision import Revision
from trtproof.compare.scores import compare_scores, judge_loss
from trtproof.compare.sizes import compare_sizes
from trtproof.reason import Reason
from trtproof.scoring.drops import Drop
from trtproof.sidecar import EngineRecord, write_record

SAMPLES = 400
CONFIG = CompareConfig(score=0.005, plan_size=0.005, memory=0.005, build_time=0.2)
RUN = {"cuda_graph": False, "threads": 0}
UNAVAILABLE = Reason("no-bindings", "TensorRT is not installed", "install it")


def write_revision(root: Path, variants: dict[str, dict[str, Any]]) -> Revision:
    """Write what both build and evaluate leave; a variant's `status`, `wrong`, `plan` ... vary."""
    params = {"variants": {name: {"run": made.get("run", RUN)} for name, made in variants.items()}}
    artifacts.write_text(root / "params.yaml", yaml.safe_dump(params))
    for name, made in variants.items():
        write_build(root / artifacts.build(name), name, made)
        write_scores(root / artifacts.evaluate(name), made)
    return Revision(name=root.name, commit="", root=root)


def write_build(folder: Path, name: str, made: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    write_signature(folder)
    built = made.get("status", "built") == "built"
    if built:
        (folder / "engine.onnx").write_bytes(made.get("plan", b"plan" * 1000))
        artifacts.write_json(
            folder / "layers.json", {"schema": 1, "layers": made.get("layers", [])}
        )
    record = EngineRecord(
        variant=name,
        backend="onnxruntime",
        recipe="fp32",
        precision="fp32",
        status=made.get("status", "built"),
        facts={},
        key={},
        settings={},
        reason=None if built else UNAVAILABLE,
        plan="engine.onnx" if built else None,
        files=artifacts.sha256_folder(folder) if built else {},
        details=made.get("details", {}),
        made={"seconds": made.get("seconds", 10.0)},
    )
    write_record(folder, record)
    made["sha"] = record.plan_sha256


def write_scores(folder: Path, made: dict[str, Any]) -> None:
    labels = [number % 10 for number in range(SAMPLES)]
    wrong = set(made.get("wrong", range(5)))
    answers = [[(label + (place in wrong)) % 10] for place, label in enumerate(labels)]
    top1 = 100.0 * (SAMPLES - len(wrong)) / SAMPLES
    scores = {
        "scores": {"top1": {"top1_pct": top1}},
        "plan_sha256": made.get("scored", made["sha"]),
    }
    predictions = {
        "indices": made.get("indices", list(range(SAMPLES))),
        "labels": labels,
        "predictions": {"top1": answers},
    }
    artifacts.write_json(folder / "scores.json", scores)
    artifacts.write_json(folder / "predictions.json", predictions)


def both(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> tuple[Revision, Revision]:
    return (
        write_revision(tmp_path / "before", {"a": before}),
        write_revision(tmp_path / "after", {"a": after}),
    )


def compared(tmp_path: Path, before: dict[str, Any], after: dict[str, Any], margin=0.005):
    base, work = both(tmp_path, before, after)
    (pair,) = match_variants(base, work).pairs
    return compare_scores(base, work, pair, margin)


def test_the_same_predictions_are_the_same_whatever_the_number_of_samples(tmp_path):
    (change,), absent = compared(tmp_path, {}, {})
    assert change.word is ScoreWord.SAME
    assert change.reason == "the same prediction for all 400 samples"
    assert not absent


def test_a_large_loss_is_worse_and_a_large_gain_better(tmp_path):
    (worse,), _ = compared(tmp_path / "1", {}, {"wrong": range(60)})
    assert worse.word is ScoreWord.WORSE
    assert worse.loss == pytest.approx(100 * 55 / SAMPLES)
    (better,), _ = compared(tmp_path / "2", {"wrong": range(60)}, {})
    assert better.word is ScoreWord.BETTER


def test_a_few_other_answers_are_inconclusive_and_not_the_same(tmp_path):
    (change,), _ = compared(tmp_path, {}, {"wrong": [*range(5), 17, 18]})
    assert change.word is ScoreWord.INCONCLUSIVE
    assert change.gate[0] < 0.5 < change.gate[1]


def test_equal_scores_by_other_answers_are_not_called_the_same(tmp_path):
    (change,), _ = compared(tmp_path, {}, {"wrong": range(20, 25)})
    assert change.loss == 0
    assert change.word is ScoreWord.INCONCLUSIVE


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({"indices": list(range(1, SAMPLES + 1))}, "other samples"),
        ({"scored": "another"}, "the scored plan of a is not the built one"),
    ],
)
def test_scores_of_other_samples_or_plans_are_not_subtracted(tmp_path, after, why):
    changes, (absent,) = compared(tmp_path, {}, after)
    assert not changes
    assert why in absent.reason
    assert not absent.blocks


def test_scores_that_are_missing_are_named(tmp_path):
    base, work = both(tmp_path, {}, {})
    (work.root / artifacts.evaluate("a") / "scores.json").unlink()
    (pair,) = match_variants(base, work).pairs
    changes, (absent,) = compare_scores(base, work, pair, 0.005)
    assert not changes
    assert "run `dvc repro evaluate@a`" in absent.reason


@pytest.mark.parametrize(
    ("gate", "word"),
    [
        ((0.6, 2.0), ScoreWord.WORSE),
        ((-2.0, -0.6), ScoreWord.BETTER),
        ((-0.5, 0.5), ScoreWord.SAME),
        ((0.1, 0.4), ScoreWord.SAME),
        ((0.4, 0.6), ScoreWord.INCONCLUSIVE),
        (None, ScoreWord.INCONCLUSIVE),
    ],
)
def test_the_word_is_the_intervals_place_beside_the_margin(gate, word):
    drop = Drop(value=0.0, samples_count=9, level=0.99, gate=gate, reason="too few")
    assert judge_loss(drop, 0.5)[0] is word


def sizes(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    base, work = both(tmp_path, before, after)
    (pair,) = match_variants(base, work).pairs
    return {item.what: item for item in compare_sizes(pair, CONFIG)}


def test_sizes_memory_time_and_layers_are_plain_differences(tmp_path):
    found = sizes(
        tmp_path,
        {"details": {"device_memory_bytes": 2**20}, "layers": [{}]},
        {
            "plan": b"plan" * 1006,
            "details": {"device_memory_bytes": 2**21},
            "layers": [{}, {}],
            "seconds": 11.9,
        },
    )
    words = {what: item.word for what, item in found.items()}
    assert words == {
        "plan": "LARGER", "device memory": "LARGER", "layers": "LARGER", "build": "SAME"
    }  # fmt: skip
    assert found["device memory"].after == 2.0


def test_an_inspected_engine_counts_its_reformats(tmp_path):
    found = sizes(
        tmp_path,
        {"details": {"inspection": {"layers": 5, "reformats": 0, "half_share": 1.0}}},
        {"details": {"inspection": {"layers": 5, "reformats": 2, "half_share": 1.0}}},
    )
    assert found["reformats"].word == "LARGER"
    assert "half_share" not in found


def match(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> Matching:
    return match_variants(
        write_revision(tmp_path / "before", before), write_revision(tmp_path / "after", after)
    )


def reasons(matching: Matching) -> dict[str, tuple[str, bool]]:
    assert not matching.pairs
    return {item.variant: (item.reason, item.blocks) for item in matching.absent}


def test_added_and_removed_variants_are_said_and_do_not_block(tmp_path):
    found = match(tmp_path, {"old": {}}, {"new": {}})
    assert reasons(found) == {"new": ("only in after", False), "old": ("only in before", False)}


def test_a_variant_that_cannot_run_on_either_side_does_not_block(tmp_path):
    gone = {"status": "unavailable"}
    found = match(tmp_path, {"a": dict(gone)}, {"a": dict(gone)})
    assert reasons(found) == {"a": ("unavailable: TensorRT is not installed", False)}


def test_a_variant_that_was_lost_blocks(tmp_path):
    found = match(tmp_path, {"a": {}}, {"a": {"status": "failed"}})
    assert reasons(found) == {"a": ("built before, failed now (TensorRT is not installed)", True)}


def test_other_inputs_and_settings_of_another_version_block(tmp_path, monkeypatch):
    first = write_revision(tmp_path / "before", {"a": {}, "b": {}})
    second = write_revision(tmp_path / "after", {"a": {}, "b": {"run": {"streams": 2}}})
    other = replace(SIGNATURE, inputs=(replace(SIGNATURE.inputs[0], shape=(1, 1, 9, 9)),))
    artifacts.write_json(second.root / artifacts.build("a") / "signature.json", other.to_json())
    found = reasons(match_variants(first, second))
    assert found["a"] == ("its inputs are not the same", True)
    assert "its settings at after are of another version" in found["b"][0]
    assert found["b"][1]


def test_the_same_plan_run_otherwise_is_not_identical(tmp_path):
    found = match(tmp_path, {"a": {}, "b": {}}, {"a": {}, "b": {"run": {**RUN, "threads": 1}}})
    assert {pair.variant: pair.is_identical for pair in found.pairs} == {"a": True, "b": False}
    assert not found.absent
