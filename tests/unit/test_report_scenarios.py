"""Load, sustained use and cold starts; and that what is timed is what is scored."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.report_inputs import REFERENCE, Inputs, build, load

from trtproof import artifacts
from trtproof.report.figures import NotMeasured, Timing
from trtproof.report.findings import AnswerCheck
from trtproof.report.markdown import render_markdown
from trtproof.report.page import render_page
from trtproof.report.scenarios import ColdStart, Scenarios
from trtproof.report.session_texts import answers_text

INPUTS = Inputs(batches=(1,), requests=30)
INT8 = "onnxruntime-int8_cpu"
TENSORRT = "tensorrt-fp16"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def scenarios_of(inputs, name) -> Scenarios:
    build(inputs)
    return next(item for item in load(inputs)[0].variants if item.name == name).scenarios


def test_a_load_is_the_median_window_and_its_latency():
    loads = scenarios_of(INPUTS, INT8).throughput
    assert not isinstance(loads, NotMeasured)
    assert [(load.batch, load.streams) for load in loads] == [(1, 1), (1, 2)]
    one, two = loads
    assert one.rate_ips == pytest.approx(1e9 / 210_000 * 1.005)
    assert two.rate_ips == pytest.approx(1.5 * one.rate_ips)
    assert (one.cores, two.cores) == pytest.approx((0.9, 1.8))
    assert one.latencies_ms.keys() == {"p50", "p90"}  # 120 requests bound no more


def change_windows(streams, round_number, **values):
    """Change what run.json says of these windows of the throughput scenario."""
    path = artifacts.BENCHMARK / "run.json"
    record = artifacts.read_json(path, made_by="benchmark")
    for note in record["scenarios"]["throughput"]:
        if (note["streams"], note["round"]) == (streams, round_number):
            note.update(values)
    artifacts.write_json(path, record)


def test_a_disturbed_window_counts_in_no_rate_and_is_said():
    build(INPUTS)
    change_windows(2, 1, left_out=True, samples_per_s=1.0)
    findings, facts = load(INPUTS)
    variant = next(item for item in findings.variants if item.name == INT8)
    loads = variant.scenarios.throughput
    assert not isinstance(loads, NotMeasured)
    one, two = loads
    assert (one.left_out_count, two.left_out_count) == (0, 1)
    assert two.rates_ips == pytest.approx([1.5e9 / 210_000])
    assert two.cores == pytest.approx(1.8)
    page = render_page(findings, facts)
    assert "1 disturbed and left out" in page
    assert "a single window" in page
    assert "ci_lo" not in facts.metrics[INT8][facts.slug]["load_b1_s2_ips"]


def test_where_most_windows_are_disturbed_all_count_and_it_is_said():
    build(INPUTS)
    change_windows(2, 0, mostly_disturbed=True)
    findings, facts = load(INPUTS)
    assert "mostly disturbed, so none left out" in render_page(findings, facts)


def test_what_disturbs_sustained_load_is_named():
    build(INPUTS)
    page = render_page(*load(INPUTS))
    assert page.count("disturbed: other processes used the device") == 1


def test_the_second_run_of_the_reference_stands_in_the_load_table():
    assert scenarios_of(INPUTS, REFERENCE).again
    assert not scenarios_of(INPUTS, INT8).again
    findings, facts = load(INPUTS)
    assert f"{REFERENCE}/again" in render_page(findings, facts)


def test_a_cold_start_is_split_into_its_phases():
    cold = scenarios_of(INPUTS, INT8).cold
    assert isinstance(cold, ColdStart)
    assert (cold.processes_count, cold.least_ms, cold.total_ms, cold.most_ms) == pytest.approx(
        (3, 1018, 1021, 1024)
    )
    assert sum(cold.phases_ms.values()) - cold.phases_ms["rest"] == pytest.approx(1016)


def test_a_variant_that_did_not_settle_alone_says_so():
    build(INPUTS)
    findings, facts = load(INPUTS)
    page = render_page(findings, facts)
    assert page.count("did not settle") == 1
    metrics = facts.metrics[INT8][facts.slug]
    assert metrics["sustained_b1_ms"]["p50"] == pytest.approx(0.42, rel=0.05)
    assert metrics["cold_ms"]["first"] == 6.0
    rates = metrics["load_b1_s2_ips"]
    ends = {"min", "max", "ci_lo", "ci_hi", "gate_lo", "gate_hi"}
    assert rates.keys() == {"value"} | ends
    assert rates["gate_lo"] < rates["ci_lo"] < rates["min"] < rates["value"] < rates["max"]
    assert rates["max"] < rates["ci_hi"] < rates["gate_hi"]  # two windows say little


def test_a_scenario_that_the_profile_leaves_out_is_not_measured():
    found = scenarios_of(replace(INPUTS, scenarios=("cold",), profile="quick"), INT8)
    reason = "profile quick leaves it out (benchmark.{} is null)"
    assert found.sustained == NotMeasured(reason.format("sustained"))
    assert found.throughput == NotMeasured(reason.format("throughput"))
    assert isinstance(found.cold, ColdStart)


def test_a_scenario_that_its_time_ran_out_for_says_so_everywhere():
    build(INPUTS)
    path = artifacts.BENCHMARK / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    names = ("throughput", "cold", "sustained", "device", "parts", "energy", "memory", "trtexec")
    reason = "benchmark.scenario_minutes (2) were over before it could start"
    notes = {name: [{"code": "out_of_time", "reason": reason}] for name in names}
    artifacts.write_json(path, record | {"scenarios": notes})
    findings, facts = load(INPUTS)
    absent = NotMeasured(reason)
    for variant in findings.variants:
        if variant.name == TENSORRT:
            continue
        scenarios = variant.scenarios
        assert scenarios.throughput == scenarios.sustained == scenarios.cold == absent
        assert variant.device.launches == variant.device.parts == absent
        assert variant.protocols == absent
        assert not {"cold_ms", "load_b1_s1_ips"} & facts.metrics[variant.name][facts.slug].keys()
    assert findings.gpu.energy == findings.gpu.memory == absent
    assert reason in render_page(findings, facts)
    assert (
        f"scenario_minutes were over: not measured: {', '.join(sorted(names))}"
        in render_markdown(findings, facts).replace("\\_", "_")
    )


def test_an_unavailable_variant_keeps_its_reason_in_every_scenario():
    found = scenarios_of(INPUTS, TENSORRT)
    reason = NotMeasured("TensorRT is not installed; install trtproof[tensorrt]")
    assert found.throughput == found.sustained == found.cold == reason


def test_scenarios_are_in_no_latency_figure():
    build(INPUTS)
    plain = replace(INPUTS, scenarios=())
    latency = load(INPUTS)[0].variants[1].timings[1]
    build(plain)
    assert isinstance(latency, Timing)
    alone = load(plain)[0].variants[1].timings[1]
    assert isinstance(alone, Timing)
    assert np.array_equal(latency.latencies_ms, alone.latencies_ms)


def test_the_timed_answers_are_compared_with_the_evaluated_ones():
    build(INPUTS)
    findings, facts = load(INPUTS)
    check = findings.variants[1].answers
    assert isinstance(check, AnswerCheck)
    assert check.samples_count == 8
    assert 0 < check.error < 1e-5
    assert "on 8 samples" in render_page(findings, facts)


def test_times_of_an_engine_that_answers_otherwise_are_not_this_variants():
    inputs = replace(INPUTS, other_answers_of=INT8)
    build(inputs)
    findings, facts = load(inputs)
    variant = next(item for item in findings.variants if item.name == INT8)
    found = variant.timings[1]
    assert isinstance(found, NotMeasured)
    assert found.reason.startswith("the timed engine answers otherwise than the evaluated one: by ")
    assert "benchmark.answer_tolerance" in found.reason
    assert variant.verdict(1) == variant.scenarios.cold == found
    assert not any(key.startswith("latency") for key in facts.metrics[INT8][facts.slug])


def test_answers_that_cannot_be_compared_are_named():
    build(INPUTS)
    (artifacts.BENCHMARK / "answers.npz").unlink()
    findings = load(INPUTS)[0]
    assert isinstance(findings.variants[1].timings[1], Timing)
    text = "onnxruntime-fp32 not compared (the benchmark stored no answers)"
    assert text in answers_text(findings)
