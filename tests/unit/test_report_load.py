"""What the report makes of complete, partial and contradictory inputs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.report_inputs import REFERENCE, Inputs, Made, build, change, load

from trtproof import artifacts
from trtproof.errors import InputError, PlanCorruptError
from trtproof.reason import Reason
from trtproof.report import evaluated
from trtproof.report.figures import NotMeasured, Timing
from trtproof.report.findings import Scores
from trtproof.report.markdown import render_markdown
from trtproof.report.page import render_page
from trtproof.report.plots import render_plots
from trtproof.report.targets import judge_targets
from trtproof.scoring.difference import TensorDifference

SMALL = Inputs(batches=(1,), requests=40)
INT8 = "onnxruntime-int8_cpu"
TENSORRT = "tensorrt-fp16"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def find(findings, name):
    return next(variant for variant in findings.variants if variant.name == name)


def test_the_reference_comes_first_and_the_others_as_configured():
    variants = dict(list(SMALL.variants.items())[::-1])
    inputs = replace(SMALL, variants=variants)
    build(inputs)
    names = [variant.name for variant in load(inputs)[0].variants]
    assert names == [REFERENCE, *(name for name in variants if name != REFERENCE)]


def test_an_unavailable_variant_keeps_its_reason_everywhere():
    build(SMALL)
    variant = find(load(SMALL)[0], TENSORRT)
    assert variant.status == "unavailable"
    reason = "TensorRT is not installed; install trtproof[tensorrt]"
    for found in (variant.plan, variant.scores, variant.timings[1], variant.comparisons[1]):
        assert found == NotMeasured(reason)


def test_a_failed_build_says_so():
    reason = Reason("parse", "the graph has an unknown operator Foo", "remove it")
    inputs = change(SMALL, INT8, status="failed", reason=reason)
    build(inputs)
    findings, facts = load(inputs)
    text = "failed: the graph has an unknown operator Foo; remove it"
    assert find(findings, INT8).timings[1] == NotMeasured(text)
    assert text in render_page(findings, facts)
    assert text in render_markdown(findings, facts)


def test_samples_of_another_plan_are_not_this_variants():
    build(SMALL)
    path = artifacts.BENCHMARK / "run.json"
    record = artifacts.read_json(path, made_by="benchmark")
    record["variants"][INT8]["plan_sha256"] = "0" * 64
    artifacts.write_json(path, record)
    found = find(load(SMALL)[0], INT8).timings[1]
    assert found == NotMeasured("the timed plan is not the built one; run `dvc repro`")


def test_scores_of_another_plan_are_not_this_variants():
    build(SMALL)
    path = artifacts.evaluate(INT8) / "scores.json"
    artifacts.write_json(path, artifacts.read_json(path, made_by="e") | {"plan_sha256": "0" * 64})
    found = find(load(SMALL)[0], INT8).scores
    assert found == NotMeasured("the evaluated plan is not the built one; run `dvc repro`")


def test_without_labels_there_is_agreement_but_no_score():
    inputs = replace(SMALL, labelled=False)
    build(inputs)
    findings, facts = load(inputs)
    scores = find(findings, INT8).scores
    assert isinstance(scores, Scores)
    assert (scores.values, scores.drops) == ({}, {})
    assert scores.agreement_pct == pytest.approx(100 * 359 / 360)
    assert "have no labels" in render_page(findings, facts)


def test_samples_with_nan_are_counted_and_explained():
    inputs = replace(SMALL, nan_in=INT8)
    build(inputs)
    findings, facts = load(inputs)
    scores = find(findings, INT8).scores
    assert isinstance(scores, Scores)
    assert scores.missing_count == 1
    assert not isinstance(scores.differences, NotMeasured)
    difference = scores.differences["logits"]
    assert isinstance(difference, TensorDifference)
    assert difference.nan_count == 1
    assert difference.worst_indices[0] == 3
    assert "it counts as wrong" in render_page(findings, facts)


def test_the_drop_is_the_references_score_minus_the_variants():
    build(SMALL)
    scores = find(load(SMALL)[0], INT8).scores
    assert isinstance(scores, Scores)
    assert not isinstance(scores.drops, NotMeasured)
    assert scores.drops["top1_pct"].value == pytest.approx(100 / 360)


def test_the_second_run_of_the_reference_is_the_control():
    build(SMALL)
    findings = load(SMALL)[0]
    control = findings.reference.verdict(1)
    assert not isinstance(control, NotMeasured)
    assert control.shown.value == pytest.approx(1, abs=0.03)
    assert control.noise_floor is not None
    assert 0 < control.noise_floor < 0.05
    assert all(variant.name != f"{REFERENCE}/again" for variant in findings.variants)


MISSING = [
    "artifacts/benchmark",
    "artifacts/benchmark/samples.parquet",
    "artifacts/benchmark/run.json",
    "artifacts/evaluate",
    f"artifacts/evaluate/{REFERENCE}",
    f"artifacts/evaluate/{INT8}/predictions.json",
    f"artifacts/evaluate/{INT8}/outputs.npz",
    f"artifacts/evaluate/{REFERENCE}/outputs.npz",
    "artifacts/build",
    f"artifacts/build/{REFERENCE}",
    f"artifacts/build/{INT8}/engine.onnx",
    "artifacts/audit",
    "artifacts/audit/fp32",
    "artifacts/calibrate",
    "artifacts",
]


@pytest.mark.parametrize("missing", MISSING)
def test_whatever_is_missing_is_called_not_measured(missing):
    build(SMALL)
    path = Path(missing)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    findings, facts = load(SMALL)
    page, summary = render_page(findings, facts), render_markdown(findings, facts)
    assert "not measured" in page
    for text in (page, summary):
        assert "nan" not in text.lower().replace("samples with nan", "").replace(">nan<", "")
        assert "None" not in text
    for variant in SMALL.variants:
        assert variant in page


def test_without_the_references_timing_there_are_latencies_but_no_speed():
    build(SMALL)
    path = artifacts.BENCHMARK / "samples.parquet"
    from trtproof.measure.samples import read_samples, write_samples

    samples = read_samples(path)
    write_samples(path, samples[~samples["contender"].str.startswith(REFERENCE)])
    variant = find(load(SMALL)[0], INT8)
    assert isinstance(variant.timings[1], Timing)
    speedup = variant.verdict(1)
    assert isinstance(speedup, NotMeasured)
    assert "the reference was not timed" in speedup.reason


def test_only_configured_variants_are_loaded():
    build(SMALL)
    variants = {REFERENCE: SMALL.variants[REFERENCE], INT8: SMALL.variants[INT8]}
    findings = load(replace(SMALL, variants=variants))[0]
    assert [variant.name for variant in findings.variants] == [REFERENCE, INT8]


def test_a_broken_file_is_an_error_with_the_repair():
    build(SMALL)
    (artifacts.evaluate(INT8) / "scores.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=rf"dvc repro -f evaluate@{INT8}"):
        load(SMALL)


def test_an_edited_sidecar_is_an_error():
    build(SMALL)
    path = artifacts.build(INT8) / "engine.json"
    path.write_text(path.read_text(encoding="utf-8").replace("int8_cpu", "fp32"), encoding="utf-8")
    with pytest.raises(PlanCorruptError, match="was edited"):
        load(SMALL)


def test_every_file_that_was_read_is_a_source():
    build(SMALL)
    sources = {path.as_posix() for path in load(SMALL)[0].sources}
    assert f"artifacts/build/{TENSORRT}/engine.json" in sources
    assert "artifacts/benchmark/samples.parquet" in sources
    assert "artifacts/calibrate/coverage.json" in sources
    assert "metrics/hardware.json" in sources


def test_a_single_variant_is_a_report_too():
    inputs = replace(SMALL, variants={REFERENCE: Made("torch", "fp32")})
    build(inputs)
    findings, facts = load(inputs)
    assert "no other variant" in render_page(findings, facts)
    assert render_markdown(findings, facts)


UNTIMED = Reason(
    "not_timed_here",
    "evaluated, not timed: int8 is explicit quantisation, which a CPU only emulates",
    "time it with backend tensorrt",
)
BUDGET = {
    "latency_p50_ms": 5.0,
    "latency_p99_ms": 5.0,
    "speedup_ratio": 1.0,
    "speedup_p99_ratio": 1.0,
    "throughput_ips": 1.0,
    "throughput_ratio": 1.0,
    "host_peak_mib": 1e4,
    "host_peak_ratio": 9.0,
    "plan_mib": 99.0,
    "plan_size_ratio": 9.0,
    "top1_drop_pp": 9.0,
}


@pytest.mark.parametrize(
    "reason", [UNTIMED, replace(UNTIMED, text=UNTIMED.text.removeprefix("evaluated, not timed: "))]
)
def test_a_variant_that_is_evaluated_only_has_scores_and_no_time_and_says_so(reason):
    inputs = change(replace(SMALL, budget=BUDGET), INT8, status="evaluated_only", reason=reason)
    build(inputs)
    findings, facts = load(inputs)
    variant, text = find(findings, INT8), f"{UNTIMED.text}; {UNTIMED.repair}"
    assert isinstance(variant.scores, Scores)
    assert not isinstance(variant.scores.drops, NotMeasured)
    for found in (variant.timings[1], variant.comparisons[1], variant.plan):
        assert found == NotMeasured(text)
    for found in (
        variant.scenarios.throughput,
        variant.scenarios.cold,
        variant.scenarios.sustained,
    ):
        assert found == NotMeasured(text)
    metrics = facts.metrics[INT8]
    assert (metrics["status"], metrics["reason"]) == ("evaluated_only", "not_timed_here")
    nothing_timed = {"schema", "status", "reason", "scores", "outputs", "ladder"}
    assert set(metrics) == nothing_timed
    assert not any(INT8 in text for text in render_plots(findings, facts).values())
    for rendered in (render_page(findings, facts), render_markdown(findings, facts)):
        assert "evaluated, not timed: int8 is explicit quantisation" in rendered
        assert "evaluated_only:" not in rendered
    words = {item.target: item for item in judge_targets(findings, facts) if item.variant == INT8}
    drop = words.pop("Top-1 drop")
    assert drop.word == "met"
    assert {item.word for item in words.values()} == {"not measured"}
    assert len(words) == len(BUDGET) - 1


def test_scores_of_a_build_that_was_timed_are_not_those_of_one_that_is_not():
    build(SMALL)
    path = artifacts.evaluate(INT8) / "scores.json"
    status = {"status": "evaluated_only"}
    artifacts.write_json(path, artifacts.read_json(path, made_by="evaluate") | status)
    found = find(load(SMALL)[0], INT8).scores
    assert found == NotMeasured("the evaluated plan is not the built one; run `dvc repro`")


def test_the_scorer_that_is_compared_has_predictions():
    build(replace(SMALL, labelled=False))
    for name in (REFERENCE, INT8):
        path = artifacts.evaluate(name) / "predictions.json"
        stored = artifacts.read_json(path, made_by="evaluate")
        predictions = {"top1": [], "aaa": [], "words": stored["predictions"]["top1"]}
        artifacts.write_json(path, stored | {"predictions": predictions})
    scores = find(load(SMALL)[0], INT8).scores
    assert isinstance(scores, Scores)
    assert scores.agreement_pct == pytest.approx(100 * 359 / 360)


def test_a_scorer_that_is_not_here_leaves_scores_without_a_comparison():
    build(SMALL)
    for name in (REFERENCE, INT8):
        for file in ("scores.json", "predictions.json"):
            path = artifacts.evaluate(name) / file
            text = path.read_text(encoding="utf-8").replace('"top1"', '"nobodys.metrics:F1"')
            path.write_text(text, encoding="utf-8")
    scores = find(load(SMALL)[0], INT8).scores
    assert isinstance(scores, Scores)
    assert "top1_pct" in scores.values
    assert isinstance(scores.drops, NotMeasured)
    assert "there is no module 'nobodys'" in scores.drops.reason


def test_every_output_of_either_side_is_compared_or_says_why_not():
    build(SMALL)
    for name, shape in ((REFERENCE, (64, 3)), (INT8, (64, 4))):
        path = artifacts.evaluate(name) / "outputs.npz"
        with np.load(path) as arrays:
            logits = arrays["logits"]
        extra = {"boxes": np.zeros(shape), "flags": np.zeros(64, dtype=np.int64)}
        only = {"states": np.zeros(64)} if name == INT8 else {}
        np.savez(path, allow_pickle=False, logits=logits, **extra, **only)
    findings, facts = load(SMALL)
    scores = find(findings, INT8).scores
    assert isinstance(scores, Scores)
    found = scores.differences
    assert not isinstance(found, NotMeasured)
    assert isinstance(found["boxes"], NotMeasured)
    assert found["states"] == NotMeasured("the reference has no such output")
    assert set(facts.metrics[INT8]["outputs"]) == {"logits", "flags"}
    assert "(64, 3) and (64, 4)" in render_page(findings, facts)
    other = find(findings, "onnxruntime-fp32").scores
    assert isinstance(other, Scores)
    assert not isinstance(other.differences, NotMeasured)
    assert other.differences["boxes"] == NotMeasured("it has no such output")


def test_a_scorers_first_metric_comes_first_although_its_file_is_sorted(monkeypatch):
    stated = SimpleNamespace(metrics=("map_pct", "map50_pct"))
    monkeypatch.setattr(evaluated, "load_scorer", lambda _: stated)
    scores = {"scores": {"coco_map": {"map50_pct": 80.0, "map_pct": 60.0, "more_pct": 1.0}}}
    found = evaluated.Evaluation(scores=scores, predictions={}, outputs={}).values
    assert list(found) == ["map_pct", "map50_pct", "more_pct"]
    assert found["map50_pct"] == 80.0
