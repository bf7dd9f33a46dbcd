"""Groups, ranking, and the last session's finalists and overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.sweep_made import (
    REFERENCE,
    MadeJob,
    MadeResults,
    Variant,
    make_result,
    record_sweep,
    with_variant,
)

from trtproof.choice.choose import Choice, choose, choose_in_group
from trtproof.choice.figures import make_vocabulary
from trtproof.choice.finals import FinalPlan, plan_final, to_override
from trtproof.choice.question import parse_question
from trtproof.choice.results import JobResult
from trtproof.choice.settings import read_settings
from trtproof.compose import compose
from trtproof.config import parse_params
from trtproof.settings_check import check_settings
from trtproof.sweep.record import Status

REPOSITORY = Path(__file__).parents[2]
INT8, FP32 = "onnxruntime-int8", "onnxruntime-fp32"
LIMITS = ("p99_ms<=4", "top1_drop_pp<=1")
JOB = MadeJob(
    {
        REFERENCE: Variant(p50_ms=4.0),
        FP32: Variant(p50_ms=2.0),
        INT8: Variant(recipe="int8", p50_ms=1.0, drop_pp=0.5),
    }
)


def chosen(jobs: Sequence[MadeJob], *limits: str, objective: str = "throughput_ips") -> Choice:
    question = parse_question(objective, limits or LIMITS, make_vocabulary(["top1"]))
    return choose(record_sweep(jobs), question, MadeResults(jobs))


def planned(jobs: Sequence[MadeJob], *limits: str) -> FinalPlan:
    plan = plan_final(chosen(jobs, *limits).groups[0])
    assert plan is not None
    return plan


def names(plan: FinalPlan) -> list[tuple[str, int, int]]:
    return [(cell.variant, cell.batch, cell.streams) for cell in plan.finalists]


def parsed(overrides: Sequence[str]) -> dict[str, Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found = OverridesParser.create().parse_overrides(list(overrides))
    return {str(item.input_line).partition("=")[0]: item.value() for item in found}


def test_what_misses_a_constraint_is_not_ranked_however_fast():
    wrong = with_variant(JOB, INT8, drop_pp=3.0)
    group = chosen([wrong]).groups[0]
    assert [group.judged[number].cell.variant for number in group.ranked] == [FP32, FP32]


def test_the_ranking_follows_the_direction_of_the_objective():
    group = chosen([JOB], objective="p50_ms").groups[0]
    best = group.judged[group.ranked[0]].cell
    assert (best.variant, best.streams) == (INT8, 1)
    group = chosen([JOB]).groups[0]
    best = group.judged[group.ranked[0]].cell
    assert (best.variant, best.streams) == (INT8, 2)


def test_models_and_machines_are_never_weighed_against_each_other():
    choice = chosen([JOB, replace(JOB, model="resnet50")])
    assert [group.name for group in choice.groups] == [
        "digits_resnet on digits, cpu-example-8c",
        "resnet50 on digits, cpu-example-8c",
    ]
    for number, group in enumerate(choice.groups):
        assert {item.cell.result.job.number for item in group.judged} == {number}


def test_a_configuration_of_two_jobs_is_one_row():
    group = chosen([JOB, replace(JOB, batches=(1, 2))]).groups[0]
    cells = [(item.cell.variant, item.cell.batch, item.cell.streams) for item in group.judged]
    assert len(cells) == len(set(cells)) == 3 * 2 * 2


def test_jobs_without_a_result_are_told_with_their_reason():
    failed = replace(JOB, status=Status.FAILED, reason="no memory")
    assert [job.reason for job in chosen([JOB, failed]).unfinished] == ["no memory"]


def test_the_front_of_a_question_without_constraints_has_a_second_axis():
    question = parse_question("throughput_ips", [], make_vocabulary(["top1"]))
    group = choose(record_sweep([JOB]), question, MadeResults([JOB])).groups[0]
    assert [figure.name for figure in group.axes] == ["throughput_ips", "p99_ms"]


def test_the_three_best_of_one_job_need_nothing_but_their_loads():
    plan = planned([replace(JOB, overrides=("model=digits_resnet", "benchmark.batches=[1]"))])
    assert names(plan) == [(INT8, 1, 2), (INT8, 1, 1), (FP32, 1, 2)]
    assert plan.overrides == (
        "model=digits_resnet",
        "benchmark.batches=[1]",
        "benchmark.throughput.batches=[1]",
        "benchmark.throughput.streams=[1,2]",
        "++benchmark.repetition=1",
    )


def test_finalists_of_other_jobs_are_brought_with_their_settings_and_losers_go():
    own = {key: JOB.variants[key] for key in (REFERENCE, INT8)}
    other = {REFERENCE: JOB.variants[REFERENCE], FP32: JOB.variants[FP32]}
    slow = {**own, "tensorrt-fp16": Variant(status="unavailable", reason="no-bindings")}
    plan = planned([replace(JOB, variants=slow), replace(JOB, variants=other)])
    assert names(plan)[2] == (FP32, 1, 2)
    found = parsed(plan.overrides[1:])
    brought = found[f"++variants.{FP32}"]
    assert brought["run"] == {"cuda_graph": False, "threads": 0}
    assert brought["build"]["profiles"] == [{"batch": {"min": 1}}]
    assert "~variants.tensorrt-fp16" in found


def test_one_name_with_two_settings_cannot_share_a_session():
    threads = with_variant(JOB, INT8, threads=2, p50_ms=0.9)
    plan = planned([JOB, threads])
    assert names(plan) == [(INT8, 1, 2), (INT8, 1, 1), (FP32, 1, 2)]
    assert {cell.result.job.number for cell in plan.finalists[:2]} == {1}
    assert {(cell.result.job.number, cell.variant) for cell, _ in plan.left_out} == {(0, INT8)}
    assert "give each a name of its own" in plan.left_out[0][1]


def test_jobs_that_differ_in_more_cannot_share_a_session():
    other = replace(with_variant(JOB, INT8, p50_ms=0.9), extra={"calibrate": {"batch": 4}})
    plan = planned([JOB, other])
    assert {cell.result.job.number for cell in plan.finalists} == {1}
    assert all("more than variants and recipes" in why for _, why in plan.left_out)


def test_nobody_who_may_win_means_no_last_session():
    assert plan_final(chosen([JOB], "p99_ms<=0.1").groups[0]) is None


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-1000, 1000)
        | st.floats(-1e3, 1e3)
        | st.text("abc /.:,'[]{}=-_9\\", max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_any_setting_survives_as_an_override_of_hydra(value):
    assert parsed([f"key={to_override(value)}"])["key"] == value


def composed(number: int, *overrides: str) -> JobResult:
    """Return a job of the shipped conf/ whose variants were measured as made up."""
    data = yaml.safe_load(compose(overrides))
    own = {
        name: Variant(config["recipe"], p50_ms=1.0 + place)
        for place, (name, config) in enumerate(data["variants"].items())
    }
    made = MadeJob({REFERENCE: Variant(p50_ms=4.0)} | own, overrides, batches=(1, 8))
    result = make_result(number, made)
    return replace(result, settings=read_settings(data, "a job"))


def test_hydra_composes_the_last_session_to_the_very_settings_of_its_finalists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    results = [
        composed(0, "recipe=[fp32,fp16]", f"variant=[{FP32},{REFERENCE},tensorrt-fp16]"),
        composed(1, "recipe=[fp32,int8_cpu]", f"variant=[onnxruntime-int8_cpu,{REFERENCE}]"),
    ]
    question = parse_question("p50_ms", ["p99_ms<=9"], make_vocabulary(["top1"]))
    plan = plan_final(choose_in_group("group", results, question))
    assert plan is not None
    assert {cell.variant for cell in plan.finalists} == {FP32, "onnxruntime-int8_cpu"}
    text = compose(plan.overrides)
    check_settings(parse_params(text))
    data = yaml.safe_load(text)
    assert set(data["variants"]) == {REFERENCE, *(cell.variant for cell in plan.finalists)}
    for cell in plan.finalists:
        own = cell.result.settings
        assert data["variants"][cell.variant] == own.variants[cell.variant]
        for name, recipe in own.recipes_of(cell.variant).items():
            assert data["recipes"][name] == recipe
    assert data["benchmark"]["batches"] == data["benchmark"]["throughput"]["batches"] == [1]
    assert data["benchmark"]["repetition"] == 1  # an equal session is not restored
