"""The budget's targets: met, missed, undecided, not measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report_inputs import Inputs, build, change, load

from trtproof.measure.targets import requests_needed
from trtproof.report.targets import judge_targets

INPUTS = Inputs(batches=(1,), requests=60)
FAST = "onnxruntime-int8_cpu"
MEDIAN, P99, SPEED = (
    "Median latency, batch 1",
    "P99 latency, batch 1",
    "Speed-up over torch-fp32, batch 1",
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def judge(inputs):
    build(inputs)
    return {(item.target, item.variant): item for item in judge_targets(*load(inputs))}


def words(inputs):
    return {key: item.word for key, item in judge(inputs).items()}


def test_every_target_is_judged_for_every_variant():
    found = words(replace(INPUTS, budget={"speedup_ratio": 1.2, "top1_drop_pp": 0.4}))
    drop = "Top-1 drop"
    assert found == {
        (SPEED, "onnxruntime-fp32"): "met",
        (SPEED, FAST): "met",
        (SPEED, "onnxruntime-int8"): "missed",
        (SPEED, "tensorrt-fp16"): "not measured",
        (drop, "onnxruntime-fp32"): "met",
        (drop, FAST): "met",
        (drop, "onnxruntime-int8"): "missed",
        (drop, "tensorrt-fp16"): "not measured",
    }


@pytest.mark.parametrize(("limit_ms", "word"), [(0.3, "met"), (0.21, "undecided"), (0.1, "missed")])
def test_a_median_is_judged_by_its_interval_at_the_smallest_batch(limit_ms, word):
    found = words(replace(INPUTS, batches=(8, 1), budget={"latency_p50_ms": limit_ms}))
    assert found[MEDIAN, FAST] == word


def test_a_speed_up_at_its_limit_is_undecided():
    same = change(INPUTS, FAST, median_ms=INPUTS.variants["torch-fp32"].median_ms)
    assert words(replace(same, budget={"speedup_ratio": 1.0}))[SPEED, FAST] == "undecided"


@pytest.mark.parametrize(("limit_ms", "word"), [(5.0, "met"), (0.2, "missed")])
def test_p99_is_judged_by_the_requests_over_it(limit_ms, word):
    found = judge(replace(INPUTS, budget={"latency_p99_ms": limit_ms}))[P99, FAST]
    assert found.word == word
    assert "of 540 requests over it, 99 % confidence" in found.why


def test_an_undecided_p99_says_how_many_more_requests_would_confirm_it():
    few = replace(INPUTS, requests=40, budget={"latency_p99_ms": 5.0})
    found = judge(few)[P99, FAST]
    assert found.word == "undecided"
    missing = requests_needed(0.99, 0) - 360
    more = f"{missing} more, none of them over it, would confirm it"
    assert found.why == f"0 of 360 requests over it; {more}"


def test_with_too_few_rounds_nothing_is_decided():
    few = replace(INPUTS, rounds=6, budget={"speedup_ratio": 1.2, "latency_p50_ms": 9.0})
    assert {judge(few)[key, FAST].why for key in (SPEED, MEDIAN)} == {
        "too few rounds for an interval"
    }
    assert {judge(few)[key, FAST].word for key in (SPEED, MEDIAN)} == {"undecided"}


def test_a_mostly_disturbed_session_decides_no_timing_but_scores():
    budget = {"speedup_ratio": 1.2, "latency_p50_ms": 9.0, "latency_p99_ms": 9.0}
    disturbed = {number: ["steal"] for number in range(6)}
    inputs = replace(
        INPUTS, disturbed=disturbed, mostly_disturbed=True, budget=budget | {"top1_drop_pp": 9.0}
    )
    found = words(inputs)
    assert {found[key, FAST] for key in (SPEED, MEDIAN, P99)} == {"undecided"}
    assert found["Top-1 drop", FAST] == "met"


def test_without_a_budget_there_is_no_verdict():
    assert words(INPUTS) == {}
