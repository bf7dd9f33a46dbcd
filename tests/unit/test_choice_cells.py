"""What a cell has of a figure, and its verdict on a limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.sweep_made import REFERENCE, SLUG, MadeJob, Variant, make_result

from trtproof.choice.cells import Cell, Value, list_cells, measure
from trtproof.choice.figures import make_vocabulary
from trtproof.choice.question import parse_constraint, parse_question
from trtproof.choice.verdicts import judge_cell, judge_constraint
from trtproof.report.figures import NotMeasured

WORDS = make_vocabulary(["top1"])
FAST = "onnxruntime-int8"
JOB = MadeJob(
    {
        REFERENCE: Variant(p50_ms=4.0),
        FAST: Variant(recipe="int8", drop_pp=0.5),
        "tensorrt-fp16": Variant(status="unavailable", reason="no-bindings"),
    },
    batches=(1, 4),
)


def cell(variant: str = FAST, batch: int = 1, streams: int = 1, job: MadeJob = JOB) -> Cell:
    return Cell(make_result(0, job), variant, batch, streams)


def on_device(one: Cell, **changes: Any) -> Cell:
    """Return the cell with other figures on the device; None takes one away."""
    device = {**one.device, **changes}
    kept = {key: value for key, value in device.items() if value is not None}
    metrics = {**one.result.metrics, one.variant: {**one.metrics, SLUG: kept}}
    return replace(one, result=replace(one.result, metrics=metrics))


def word(text: str, one: Cell) -> str:
    return judge_constraint(one, parse_constraint(text, WORDS)).word


def test_a_job_has_a_cell_per_variant_batch_and_number_of_streams():
    cells = list_cells(make_result(0, JOB))
    assert len(cells) == 3 * 2 * 2
    assert {(item.batch, item.streams) for item in cells} == {(1, 1), (1, 2), (4, 1), (4, 2)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99_ms<=1.2", "met"),  # 1.1 +- 1 %
        ("p99_ms<=1.105", "inconclusive"),
        ("p99_ms<=1.08", "missed"),
        ("p50_ms<=1.02", "met"),
        ("p50_ms<=0.98", "missed"),
        ("throughput_ips>=980", "met"),  # 1000 +- 1 %
        ("throughput_ips>=1000", "inconclusive"),
        ("throughput_ips>=1020", "missed"),
        ("speedup_ratio>=3.9", "met"),
        ("speedup_ratio>=4", "inconclusive"),
        ("top1_drop_pp<=0.7", "met"),  # 0.3 to 0.7
        ("top1_drop_pp<=0.6", "inconclusive"),
        ("top1_drop_pp<=0.2", "missed"),
        ("plan_mib<=2", "met"),
        ("plan_mib<=1.9", "missed"),
        ("plan_size_ratio<=1", "not measured"),
        ("top1_pct>=90", "inconclusive"),  # the report made no interval
    ],
)
def test_a_limit_is_judged_by_the_whole_interval(text, said):
    assert word(text, cell()) == said


def test_a_verdict_says_what_it_is_made_of():
    found = judge_constraint(cell(), parse_constraint("p99_ms<=1.105", WORDS))
    assert found.value == pytest.approx(1.1)
    assert found.ends == pytest.approx((1.089, 1.111))
    assert "more rounds, requests or samples would settle it" in found.why
    score = judge_constraint(cell(), parse_constraint("top1_pct>=90", WORDS))
    assert "budget.scores.top1_pct" in score.why


def test_latency_under_streams_is_the_loads_own():
    found = measure(WORDS.figures["p99_ms"], cell(batch=4, streams=2))
    assert isinstance(found, Value)
    assert found.value == pytest.approx(1.1 * 2.5 * 1.5)


def test_a_p99_that_requests_cannot_publish_is_still_confirmed_or_not():
    latency = dict(cell().device["latency_b1_ms"])
    del latency["p99"]
    found = measure(WORDS.figures["p99_ms"], on_device(cell(), latency_b1_ms=latency))
    assert isinstance(found, Value)
    assert found.value == pytest.approx(1.111)
    assert "too few requests" in found.why


def test_too_few_requests_for_any_p99_say_so():
    few = on_device(cell(), latency_b1_ms={"p50": 1.0, "p50_gate_lo": 0.9, "p50_gate_hi": 1.1})
    found = measure(WORDS.figures["p99_ms"], few)
    assert found == NotMeasured("too few requests for a P99: it takes 459")


def test_a_median_needs_both_of_its_intervals():
    median = {"p50": 1.0, "p50_gate_lo": 0.99, "p50_gate_hi": 1.01}
    wide = median | {"p50_ci_lo": 0.8, "p50_ci_hi": 1.2}  # luck at the start of workers
    assert word("p50_ms<=1.1", on_device(cell(), latency_b1_ms=wide)) == "inconclusive"
    assert word("p50_ms<=1.3", on_device(cell(), latency_b1_ms=wide)) == "met"


def test_counted_requests_alone_decide_a_p99():
    tail = {"p99": 2.0, "p99_gate_lo": 1.9, "p99_gate_hi": 2.1, "p99_ci_lo": 1.0, "p99_ci_hi": 3.0}
    assert word("p99_ms<=2.2", on_device(cell(), latency_b1_ms=tail)) == "met"
    assert word("p99_ms<=1.8", on_device(cell(), latency_b1_ms=tail)) == "missed"


def test_what_was_not_measured_has_its_reason():
    absent = measure(WORDS.figures["p99_ms"], cell("tensorrt-fp16"))
    assert absent == NotMeasured("unavailable (no-bindings)")
    assert word("p99_ms<=99", cell("tensorrt-fp16")) == "not measured"
    load = measure(WORDS.figures["throughput_ips"], cell(batch=7, streams=3))
    assert load == NotMeasured("no throughput at batch 7 with 3 streams")
    speed = measure(WORDS.figures["speedup_ratio"], cell(streams=2))
    assert isinstance(speed, NotMeasured)


def test_without_an_interval_nothing_is_decided():
    load = on_device(cell(), load_b1_s1_ips={"value": 1000.0})
    assert word("throughput_ips>=1", load) == "inconclusive"
    plain = on_device(cell(), load_b1_s1_ips=None, throughput_b1_ips=990.0)
    found = measure(WORDS.figures["throughput_ips"], plain)
    assert isinstance(found, Value)
    assert (found.value, found.bounds) == (990.0, ())


def test_a_mostly_disturbed_session_decides_no_time_and_every_size():
    disturbed = on_device(cell(), mostly_disturbed_count=1)
    assert word("p99_ms<=99", disturbed) == "inconclusive"
    assert word("throughput_ips>=1", disturbed) == "inconclusive"
    assert word("plan_mib<=2", disturbed) == "met"


def test_energy_and_memory_of_a_gpu_are_figures_where_they_were_measured():
    gpu = on_device(cell(), energy_b1={"gpu_mj_per_sample": 42.0}, gpu_memory_mib={"peak": 512.0})
    energy = measure(WORDS.figures["energy_mj"], gpu)
    assert isinstance(energy, Value)
    assert (energy.value, energy.bounds) == (42.0, ())
    assert word("energy_mj<=99", gpu) == "inconclusive"
    assert word("gpu_peak_mib<=512", gpu) == "met"
    assert word("gpu_peak_mib<=511", gpu) == "missed"
    assert word("gpu_peak_mib<=512", cell()) == word("energy_mj<=9", cell()) == "not measured"
    assert word("energy_mj<=99", cell(streams=2)) == "not measured"


def test_the_reference_loses_nothing_against_itself():
    assert word("top1_drop_pp<=0", cell(REFERENCE)) == "met"
    assert word("speedup_ratio>=1.01", cell(REFERENCE)) == "missed"


def test_a_short_run_is_indicative_of_times_alone():
    quick = cell(job=replace(JOB, profile="quick"))
    assert judge_constraint(quick, parse_constraint("p99_ms<=9", WORDS)).is_indicative
    assert not judge_constraint(quick, parse_constraint("top1_drop_pp<=9", WORDS)).is_indicative


def test_a_cell_is_as_good_as_its_gravest_verdict():
    def judged(*texts: str) -> str:
        question = parse_question("throughput_ips", texts, WORDS)
        return judge_cell(cell(), question, question.figures).word

    assert judged("p99_ms<=9", "top1_drop_pp<=1") == "met"
    assert judged("p99_ms<=9", "top1_drop_pp<=0.6") == "inconclusive"
    assert judged("p99_ms<=1.08", "top1_drop_pp<=0.6") == "missed"
    assert judged("plan_size_ratio<=1") == "not measured"
    question = parse_question("throughput_ratio", [], WORDS)
    assert judge_cell(cell(), question, question.figures).word == "not measured"


def test_the_same_configuration_of_two_jobs_is_recognised():
    first, second = make_result(0, JOB), make_result(1, replace(JOB, batches=(1, 4, 8)))
    assert Cell(first, FAST, 1, 1).configuration == Cell(second, FAST, 1, 1).configuration
    other = make_result(2, replace(JOB, method="entropy"))
    assert Cell(first, FAST, 1, 1).configuration != Cell(other, FAST, 1, 1).configuration
    same = Cell(other, REFERENCE, 1, 1).configuration
    assert Cell(first, REFERENCE, 1, 1).configuration == same
