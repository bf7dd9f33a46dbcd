"""What is known of a job before it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtproof.sweep.plan import Plan, claims, plan_job
from trtproof.sweep.record import Job

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_project(monkeypatch):
    monkeypatch.chdir(PROJECT)


def plan(*overrides: str) -> Plan | str:
    return plan_job(Job(number=0, overrides=overrides))


def claimed(*overrides: str) -> frozenset[str]:
    found = plan(*overrides)
    assert isinstance(found, Plan), found
    return claims(found.params)


def test_settings_that_do_not_fit_together_are_a_reason_not_an_error() -> None:
    reason = plan("variant=[torch-fp32,onnxruntime-fp32]", "recipe=[int8_cpu]")
    assert isinstance(reason, str)
    assert "fp32" in reason
    assert "\n" not in reason


def test_a_plan_has_the_settings_of_its_overrides() -> None:
    found = plan("benchmark.requests=77")
    assert isinstance(found, Plan)
    assert found.params.benchmark.requests == 77
    assert "requests: 77" in found.text


def test_jobs_that_measure_the_same_plans_another_way_claim_the_same() -> None:
    assert claimed() == claimed("benchmark=full") == claimed("budget=example")


def test_what_jobs_share_has_one_name_and_what_differs_another() -> None:
    small = claimed("variant=[torch-fp32]")
    both = claimed("variant=[torch-fp32,onnxruntime-fp32]")
    assert small < both
    assert not claimed("model=resnet50") & both
    one = "variants.onnxruntime-fp32.build.workspace_mib=1"
    changed = claimed("variant=[torch-fp32,onnxruntime-fp32]", one)
    assert changed & both >= small
    assert changed != both


def test_running_a_plan_another_way_builds_nothing_else() -> None:
    cell = "variant=[torch-fp32,onnxruntime-fp32]"
    run = claimed(cell, "variants.onnxruntime-fp32.run.threads=1")
    assert len(run ^ claimed(cell)) == 2  # the two evaluations


def test_another_recipe_option_is_another_conversion_build_and_evaluation() -> None:
    cell = "variant=[torch-fp32,onnxruntime-int8_cpu]"
    other = claimed(cell, "+recipes.int8_cpu.options.exclude=[fc]")
    assert len(claimed(cell) - other) == 3
    chained = "recipe=[fp32,int8,int8_fp16]"
    fp32 = ("variant=[torch-fp32]", chained)
    assert len(claimed(*fp32) - claimed(*fp32, "+recipes.int8.options.exclude=[fc]")) == 2


def test_other_calibration_samples_matter_to_what_is_calibrated_alone() -> None:
    cell = "variant=[torch-fp32,onnxruntime-int8_cpu]"
    changed = claimed(cell) - claimed(cell, "calibrate.batch=8")
    # the ranges, int8_cpu's conversion and build, and both evaluations
    assert len(changed) == 5
