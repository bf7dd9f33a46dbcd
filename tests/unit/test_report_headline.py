"""Verdicts and tiles."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report_inputs import Inputs, build, change, load

from trtproof import artifacts
from trtproof.measure.samples import read_samples, write_samples
from trtproof.report.headline import fastest_variant, make_tiles, make_verdicts, make_warnings
from trtproof.report.tables import separation

INPUTS = Inputs(batches=(1,), requests=30)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def words(inputs):
    build(inputs)
    return {
        (verdict.target, verdict.variant): verdict.word for verdict in make_verdicts(*load(inputs))
    }


def test_every_target_is_judged_for_every_variant():
    found = words(replace(INPUTS, budget={"speedup_ratio": 1.2, "top1_drop_pp": 0.4}))
    speed, drop = "Speed-up over torch-fp32, batch 1", "Top-1 drop"
    assert found == {
        (speed, "onnxruntime-fp32"): "met",
        (speed, "onnxruntime-int8_cpu"): "met",
        (speed, "onnxruntime-int8"): "missed",
        (speed, "tensorrt-fp16"): "not measured",
        (drop, "onnxruntime-fp32"): "met",
        (drop, "onnxruntime-int8_cpu"): "met",
        (drop, "onnxruntime-int8"): "missed",
        (drop, "tensorrt-fp16"): "not measured",
    }


@pytest.mark.parametrize(("limit_ms", "word"), [(0.3, "met"), (0.1, "missed")])
def test_latency_is_judged_at_the_smallest_batch(limit_ms, word):
    found = words(replace(INPUTS, batches=(8, 1), budget={"latency_p50_ms": limit_ms}))
    assert found["Median latency, batch 1", "onnxruntime-int8_cpu"] == word


def test_without_a_budget_there_is_no_verdict():
    assert words(INPUTS) == {}


def test_the_fastest_variant_may_be_slower_than_the_reference():
    slow = INPUTS
    for name in ("onnxruntime-fp32", "onnxruntime-int8_cpu", "onnxruntime-int8"):
        slow = change(slow, name, median_ms=1.0 + len(name) / 10)
    build(slow)
    findings, facts = load(slow)
    fastest = fastest_variant(findings)
    assert fastest is not None
    assert fastest.name == "onnxruntime-int8"
    assert separation(findings, fastest, 1) == ("slower", "bad")
    speed = make_tiles(findings, facts)[1]
    assert speed.value.startswith("0.2")


def test_a_variant_like_the_reference_is_not_told_apart():
    same = change(INPUTS, "onnxruntime-fp32", median_ms=INPUTS.variants["torch-fp32"].median_ms)
    build(same)
    findings, _ = load(same)
    assert separation(findings, findings.variants[1], 1)[0] == "not told apart"


def test_fewer_than_six_rounds_judge_nothing():
    few = replace(INPUTS, rounds=4)
    build(few)
    findings, facts = load(few)
    assert separation(findings, findings.variants[1], 1)[0] == "too few rounds"
    assert "too few rounds for an interval" in make_tiles(findings, facts)[1].detail


def test_a_session_that_speaks_against_its_figures_says_so_first(tmp_path):
    build(INPUTS)
    path = tmp_path / "artifacts" / "benchmark"
    record = artifacts.read_json(path / "run.json", made_by="benchmark")
    record["variants"]["onnxruntime-fp32"]["warmup_converged"] = False
    record["schedule"] = {"fits_budget": False}
    artifacts.write_json(path / "run.json", record)
    samples = read_samples(path / "samples.parquet")
    again = samples["contender"] == "torch-fp32/again"
    odd = again & (samples["round"] % 2 == 1)
    samples.loc[odd, "e2e_ns"] = samples.loc[odd, "e2e_ns"] * 3 // 2
    write_samples(path / "samples.parquet", samples)
    busy, warm_up, short = make_warnings(load(INPUTS)[0])
    assert busy.startswith("Busy machine: torch-fp32 against its own second run is uncertain by 3")
    assert warm_up == "Warm-up did not settle for onnxruntime-fp32"
    assert "benchmark.max_minutes" in short


def test_a_full_run_on_real_data_has_no_warning():
    build(INPUTS)
    assert make_warnings(load(INPUTS)[0]) == []
