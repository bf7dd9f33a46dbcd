"""The budget's targets: met, missed, inconclusive, not measured, and what would settle them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.report_inputs import REFERENCE, Inputs, build, change, load
from tests.report_made import SAMPLES

from trtproof import artifacts
from trtproof.errors import ConfigError
from trtproof.measure.targets import requests_needed
from trtproof.report import evaluated
from trtproof.report.targets import judge_targets
from trtproof.scoring.proportions import Discordance, is_below

INPUTS = Inputs(batches=(1,), requests=60)
FAST, SLOW = "onnxruntime-int8_cpu", "onnxruntime-int8"
MEDIAN, P99, SPEED = (
    "Median latency, batch 1",
    "P99 latency, batch 1",
    "Speed-up over torch-fp32, batch 1",
)
DROP, SCORE = "Top-1 drop", "Top-1 score"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def judge(inputs):
    build(inputs)
    return {(item.target, item.variant): item for item in judge_targets(*load(inputs))}


def words(inputs):
    return {key: item.word for key, item in judge(inputs).items()}


def plant(inputs, name, *, lost, gained=0):
    """Rewrite a variant's predictions: so many right ones become wrong, and wrong ones right."""
    path = artifacts.evaluate(name) / "predictions.json"
    stored = artifacts.read_json(path, made_by="evaluate")
    reference = artifacts.read_json(artifacts.evaluate(REFERENCE) / path.name, made_by="evaluate")
    labels, rows = stored["labels"], [list(row) for row in reference["predictions"]["top1"]]
    right = [place for place, row in enumerate(rows) if row == [labels[place]]]
    wrong = [place for place, row in enumerate(rows) if row != [labels[place]]]
    for place in right[:lost]:
        rows[place] = [labels[place] + 1]
    for place in wrong[:gained]:
        rows[place] = [labels[place]]
    artifacts.write_json(path, stored | {"predictions": {"top1": rows}})
    hits = sum(row == [label] for row, label in zip(rows, labels, strict=True))
    path = path.with_name("scores.json")
    scores = {"top1": {"top1_pct": 100.0 * hits / len(rows)}}
    artifacts.write_json(path, artifacts.read_json(path, made_by="evaluate") | {"scores": scores})


def test_every_target_is_judged_for_every_variant():
    found = words(replace(INPUTS, budget={"speedup_ratio": 1.2, "top1_drop_pp": 3.0}))
    assert found == {
        (SPEED, "onnxruntime-fp32"): "met",
        (SPEED, FAST): "met",
        (SPEED, SLOW): "missed",
        (SPEED, "tensorrt-fp16"): "not measured",
        (DROP, "onnxruntime-fp32"): "met",
        (DROP, FAST): "met",
        (DROP, SLOW): "met",
        (DROP, "tensorrt-fp16"): "not measured",
    }


@pytest.mark.parametrize(
    ("limit_ms", "word"), [(0.3, "met"), (0.21, "inconclusive"), (0.1, "missed")]
)
def test_a_median_is_judged_by_its_interval_at_the_smallest_batch(limit_ms, word):
    found = words(replace(INPUTS, batches=(8, 1), budget={"latency_p50_ms": limit_ms}))
    assert found[MEDIAN, FAST] == word


def test_an_inconclusive_median_says_how_many_more_rounds_would_settle_it():
    found = judge(replace(INPUTS, budget={"latency_p50_ms": 0.2105}))[MEDIAN, FAST]
    assert found.word == "inconclusive"
    more = re.search(r"about ([\d,]+) more rounds like these would settle it", found.why)
    assert more, found.why
    assert int(more[1].replace(",", "")) > 0


def test_a_speed_up_at_its_limit_is_inconclusive():
    same = change(INPUTS, FAST, median_ms=INPUTS.variants[REFERENCE].median_ms)
    assert words(replace(same, budget={"speedup_ratio": 1.0}))[SPEED, FAST] == "inconclusive"


@pytest.mark.parametrize(("limit_ms", "word"), [(5.0, "met"), (0.2, "missed")])
def test_p99_is_judged_by_the_requests_over_it(limit_ms, word):
    found = judge(replace(INPUTS, budget={"latency_p99_ms": limit_ms}))[P99, FAST]
    assert found.word == word
    assert "of 540 requests over it, 99 % confidence" in found.why


def test_an_inconclusive_p99_says_how_many_more_requests_would_settle_it():
    few = replace(INPUTS, requests=40, budget={"latency_p99_ms": 5.0})
    found = judge(few)[P99, FAST]
    assert found.word == "inconclusive"
    missing = requests_needed(0.99, 0) - 360
    said = f"about {missing:,} more requests at this rate would settle it"
    assert found.why == f"0 of 360 requests over it; {said}"


def test_with_too_few_rounds_nothing_is_decided_and_the_missing_ones_are_counted():
    few = replace(INPUTS, rounds=6, budget={"speedup_ratio": 1.2, "latency_p50_ms": 9.0})
    found = judge(few)
    for key in (SPEED, MEDIAN):
        assert found[key, FAST].word == "inconclusive"
        assert "too few rounds for an interval: 2 more rounds" in found[key, FAST].why


def test_a_mostly_disturbed_session_decides_no_timing_but_scores():
    budget = {"speedup_ratio": 1.2, "latency_p50_ms": 9.0, "latency_p99_ms": 9.0}
    disturbed = {number: ["steal"] for number in range(6)}
    inputs = replace(
        INPUTS, disturbed=disturbed, mostly_disturbed=True, budget=budget | {"top1_drop_pp": 9.0}
    )
    found = words(inputs)
    assert {found[key, FAST] for key in (SPEED, MEDIAN, P99)} == {"inconclusive"}
    assert found[DROP, FAST] == "met"


def test_a_short_run_says_that_its_words_are_indicative():
    found = judge(replace(INPUTS, profile="quick", budget={"speedup_ratio": 1.2}))
    assert found[SPEED, FAST].why.endswith("indicative: a short run")


def test_without_a_budget_there_is_no_verdict():
    assert words(INPUTS) == {}


@pytest.mark.parametrize(
    ("lost", "gained", "limit_pp", "word"),
    [
        (0, 0, 2.0, "met"),
        (0, 0, 0.5, "inconclusive"),  # 360 samples cannot exclude a loss of 0.5 pp
        (2, 0, 0.5, "inconclusive"),
        (40, 0, 5.0, "missed"),
        (40, 5, 15.0, "met"),
    ],
)
def test_a_drop_is_judged_by_its_interval_and_not_by_what_is_shown(lost, gained, limit_pp, word):
    inputs = replace(INPUTS, budget={"score_drops": {"top1_pct": limit_pp}})
    build(inputs)
    plant(inputs, FAST, lost=lost, gained=gained)
    (found,) = [item for item in judge_targets(*load(inputs)) if item.variant == FAST]
    assert found.word == word
    assert f"{lost} lost and {gained} gained of 360" in found.why


def test_an_inconclusive_drop_says_how_many_more_samples_would_settle_it():
    found = judge(replace(INPUTS, budget={"top1_drop_pp": 0.5}))[DROP, "onnxruntime-fp32"]
    more = re.search(r"about ([\d,]+) more samples like these would settle it", found.why)
    assert more, found.why
    samples = SAMPLES + int(more[1].replace(",", ""))
    assert is_below(Discordance(0, 0, samples), 0.005, 0.99)
    assert not is_below(Discordance(0, 0, samples - 20), 0.005, 0.99)


def test_a_drop_at_its_limit_is_never_settled():
    inputs = replace(INPUTS, budget={"score_drops": {"top1_pct": 0.0}})
    found = judge(inputs)[DROP, "onnxruntime-fp32"]
    assert found.word == "inconclusive"
    assert "not even 1,000,000 samples like these would settle it" in found.why


@pytest.mark.parametrize(
    ("least", "word"), [(90.0, "met"), (98.0, "inconclusive"), (99.9, "missed")]
)
def test_a_score_by_itself_is_judged_by_its_own_interval(least, word):
    inputs = replace(INPUTS, budget={"scores": {"top1_pct": least}})
    found = judge(change(inputs, FAST, wrong=12))[SCORE, FAST]
    assert found.word == word
    assert (found.limit, "more samples" in found.why) == (
        f"at least {least:g} %",
        word == "inconclusive",
    )


def test_a_limit_of_a_score_that_nobody_gave_is_refused():
    inputs = replace(INPUTS, budget={"score_drops": {"f1_pct": 1.0}})
    with pytest.raises(ConfigError, match=r"budget\.score_drops\.f1_pct: no scorer gave f1_pct"):
        judge(inputs)


def test_without_labels_a_limit_of_a_score_is_not_measured():
    budget = {"score_drops": {"top1_pct": 1.0}, "scores": {"top1_pct": 90.0}}
    found = judge(replace(INPUTS, labelled=False, budget=budget))
    for title in (DROP, SCORE):
        assert (found[title, FAST].word, found[title, FAST].why) == (
            "not measured",
            "the data have no labels",
        )


def test_other_samples_than_the_references_give_a_reason_and_no_number():
    inputs = replace(INPUTS, budget={"top1_drop_pp": 5.0})
    build(inputs)
    path = artifacts.evaluate(FAST) / "predictions.json"
    stored = artifacts.read_json(path, made_by="evaluate")
    for changed in ({"indices": [*stored["indices"][1:], 999]}, {"labels": stored["labels"][::-1]}):
        artifacts.write_json(path, stored | changed)
        findings, facts = load(inputs)
        assert not [key for key in facts.metrics[FAST]["scores"] if "drop" in key]
        (found,) = [item for item in judge_targets(findings, facts) if item.variant == FAST]
        assert (found.word, found.measured) == ("not measured", "not measured")
        assert "than the reference" in found.why


@pytest.mark.parametrize(
    ("budget", "title", "word"),
    [
        ({"plan_mib": 0.4}, "Plan size", "met"),
        ({"plan_mib": 0.3}, "Plan size", "missed"),
        ({"plan_size_ratio": 0.3}, "Plan size over torch-fp32", "met"),
        ({"plan_size_ratio": 0.25}, "Plan size over torch-fp32", "missed"),
        ({"host_peak_mib": 121.0}, "Host memory, peak", "met"),
        ({"host_peak_mib": 119.0}, "Host memory, peak", "missed"),
        ({"host_peak_ratio": 1.25}, "Host memory over torch-fp32", "met"),
        ({"host_peak_ratio": 1.0}, "Host memory over torch-fp32", "missed"),
        ({"throughput_ips": 1000.0}, "Throughput, best load", "met"),
        ({"throughput_ips": 90_000.0}, "Throughput, best load", "missed"),
        ({"throughput_ratio": 2.0}, "Throughput over torch-fp32, best loads", "met"),
        ({"throughput_ratio": 4.0}, "Throughput over torch-fp32, best loads", "missed"),
    ],
)
def test_memory_size_and_throughput_have_limits_too(budget, title, word):
    found = judge(replace(INPUTS, budget=budget))
    assert found[title, FAST].word == word
    assert found[title, "tensorrt-fp16"].word == "not measured"


def test_a_throughput_at_its_limit_says_how_many_more_windows_would_settle_it():
    # two windows of 7143 and 7214 samples per second
    found = judge(replace(INPUTS, budget={"throughput_ips": 7200.0}))
    verdict = found["Throughput, best load", FAST]
    assert verdict.word == "inconclusive"
    assert re.search(r"about \d+ more windows like these would settle it", verdict.why)


def test_a_p99_speed_up_takes_a_thousand_requests_a_round():
    title = "P99 speed-up over torch-fp32, batch 1"
    found = judge(replace(INPUTS, budget={"speedup_p99_ratio": 1.5}))[title, FAST]
    assert (found.word, "1,000 requests" in found.why) == ("not measured", True)
    long = replace(INPUTS, requests=1000, budget={"speedup_p99_ratio": 1.5})
    findings = judge(long)[title, FAST]
    assert findings.word == "met"
    assert np.isfinite(float(findings.measured.rstrip("\N{MULTIPLICATION SIGN}")))


class Errors:
    """An error rate: the share of wrong answers."""

    lower_is_better = ("error_pct",)

    def score(self, predictions, labels):
        return {"error_pct": float(self.per_sample(predictions, labels)["error_pct"].mean())}

    def per_sample(self, predictions, labels):
        wrong = [row != [label] for row, label in zip(predictions, labels, strict=True)]
        return {"error_pct": np.where(wrong, 100.0, 0.0)}


def test_of_an_error_rate_more_is_a_loss_and_the_limit_is_the_most(monkeypatch):
    monkeypatch.setattr(evaluated, "load_scorer", lambda _: Errors())
    budget = {"scores": {"error_pct": 8.0}, "score_drops": {"error_pct": 5.0}}
    inputs = change(replace(INPUTS, budget=budget), FAST, wrong=51)
    build(inputs)
    for name in (REFERENCE, FAST, SLOW, "onnxruntime-fp32"):
        path = artifacts.evaluate(name) / "scores.json"
        stored = artifacts.read_json(path, made_by="evaluate")
        error = 100.0 - stored["scores"]["top1"]["top1_pct"]
        artifacts.write_json(path, stored | {"scores": {"top1": {"error_pct": error}}})
    findings, facts = load(inputs)
    found = {item.target: item for item in judge_targets(findings, facts) if item.variant == FAST}
    assert facts.metrics[FAST]["scores"]["error_drop_pp"] == pytest.approx(46 / 3.6, rel=1e-4)
    assert found["error drop"].word == "missed"
    assert (found["error score"].word, found["error score"].limit) == ("missed", "at most 8 %")
