"""The metrics files: what DVC can show and compare, traced back to the raw samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report_inputs import REFERENCE, SLUG, Inputs, build, change, load

from trtproof import artifacts
from trtproof.measure.samples import read_samples
from trtproof.measure.targets import Outcome, check_target
from trtproof.report.cells import format_number
from trtproof.report.metrics import drop_name, round_significant

INPUTS = Inputs()
INT8 = "onnxruntime-int8_cpu"
UNITS = {"ms", "s", "pct", "pp", "mib", "ips", "ratio", "count", "db"}
OWN_UNIT = "max_abs"
"""In the unit of the output that it is about."""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("metrics"))
        build(INPUTS)
        yield dict(load(INPUTS)[1].metrics)


@pytest.mark.parametrize("captured", [0, 1])
def test_a_cuda_graph_is_a_figure_where_one_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, captured: int
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = change(INPUTS, INT8, engine={"cuda_graph_captured": captured})
    build(inputs)
    metrics = load(inputs)[1].metrics
    assert metrics[INT8][SLUG]["cuda_graph_captured"] == captured
    assert "cuda_graph_captured" not in metrics[REFERENCE][SLUG]


def leaves(data, path=()):
    for key, value in data.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def test_there_are_only_numbers_and_two_texts_and_no_dots_in_keys(made):
    for variant, metrics in made.items():
        for path, value in leaves(metrics):
            assert all("." not in key for key in path)
            if path[-1] in {"status", "reason"}:
                assert isinstance(value, str)
                continue
            assert type(value) in {int, float}, (variant, path)
        json.dumps(metrics, allow_nan=False)


def test_every_figure_names_its_unit(made):
    for metrics in made.values():
        for path, _ in leaves(metrics):
            if path[-1] in {"schema", "status", "reason", OWN_UNIT}:
                continue
            ends = [re.sub("_(ci|gate)_(lo|hi)$", "", key) for key in path]
            words = [key.rpartition("_")[2] for key in ends]
            assert UNITS & set(words), path


def test_numbers_have_five_significant_digits(made):
    for metrics in made.values():
        for path, value in leaves(metrics):
            if isinstance(value, float):
                assert float(f"{value:.5g}") == value, path


def test_device_figures_lie_under_the_slug_and_scores_do_not(made):
    assert set(made[INT8]) == {"schema", "status", SLUG, "scores", "outputs", "ladder"}
    assert "latency_b1_ms" in made[INT8][SLUG]
    assert "top1_pct" in made[INT8]["scores"]


def test_an_unavailable_variant_has_its_reason_and_no_figure(made):
    unavailable = {"schema": 1, "status": "unavailable", "reason": "no-bindings"}
    assert made["tensorrt-fp16"] == unavailable


def test_the_reference_has_a_control_and_no_speedup_or_drop(made):
    keys = set(made[REFERENCE][SLUG])
    assert "control_b1_ratio" in keys
    assert not any(key.startswith("speedup") for key in keys)
    assert "top1_drop_pp" not in made[REFERENCE]["scores"]
    assert "agreement_pct" not in made[REFERENCE]["scores"]


def test_a_drop_stands_with_both_intervals_and_the_counts_behind_it(made):
    scores = made["onnxruntime-int8"]["scores"]  # two of 360 more are wrong than the reference's
    low, high = (scores[f"top1_drop_pp_{end}"] for end in ("ci_lo", "ci_hi"))
    assert scores["top1_drop_pp_gate_lo"] < low < scores["top1_drop_pp"] < high
    assert high < scores["top1_drop_pp_gate_hi"]
    assert (scores["top1_lost_count"], scores["top1_gained_count"]) == (2, 0)
    assert scores["top1_mcnemar_p_ratio"] == 0.5


def test_output_differences_stand_with_the_figures_of_every_variant(made):
    assert "outputs" not in made[REFERENCE]
    for name in ("onnxruntime-fp32", INT8, "onnxruntime-int8"):
        found = made[name]["outputs"]["logits"]
        keys = {"max_abs", "cosine_ratio", "sqnr_db", "nan_count", "inf_count"}
        assert set(found) == keys
        assert found["max_abs"] > 0


def test_relative_figures_stand_beside_the_absolute_ones(made):
    figures, before = made[INT8][SLUG], made[REFERENCE][SLUG]
    assert figures["plan_size_ratio"] == pytest.approx(340_000 / 1_200_000, rel=1e-4)
    rate = figures["throughput_ratio"]
    assert rate["gate_lo"] <= rate["ci_lo"] <= rate["value"] <= rate["ci_hi"] <= rate["gate_hi"]
    assert figures["host_peak_mib"] == 120.0
    assert figures["host_peak_ratio"] == 1.2
    assert "throughput_ratio" not in before
    assert "plan_size_ratio" not in before


def test_latencies_can_be_recomputed_from_the_raw_samples(made):
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    for batch in INPUTS.batches:
        rows = samples[
            (samples["contender"] == INT8)
            & (samples["batch"] == batch)
            & (samples["status"] == "counted")
        ]
        ordered = np.sort(rows["e2e_ns"].to_numpy()) / 1e6
        figures = made[INT8][SLUG][f"latency_b{batch}_ms"]
        count = len(ordered)
        assert made[INT8][SLUG][f"samples_b{batch}_count"] == count
        for name, excluded in (("p50", count // 2), ("p90", count // 10), ("p99", count // 100)):
            assert figures[name] == float(f"{ordered[count - 1 - excluded]:.5g}")
        assert figures["max"] == float(f"{ordered[-1]:.5g}")


def test_a_failed_score_never_becomes_zero(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = replace(INPUTS, labelled=False, requests=20, batches=(1,))
    build(inputs)
    scores = load(inputs)[1].metrics[INT8]["scores"]
    assert set(scores) == {"agreement_pct", "samples_count", "missing_count"}


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.0, 0.0), (123456.0, 123460.0), (0.000123456, 0.00012346), (-2.999999, -3.0)],
)
def test_rounding(value, rounded):
    assert round_significant(value) == rounded


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_no_metric(value):
    with pytest.raises(ValueError, match=r"nan|inf"):
        round_significant(value)


def test_names_of_drops():
    assert drop_name("top1_pct") == "top1_drop_pp"
    assert drop_name("f1_ratio") == "f1_drop_ratio"


@given(st.floats(-1e7, 1e7).filter(lambda value: abs(value) > 1e-9))
def test_the_text_of_a_number_is_the_number_of_the_metrics(value):
    assert float(format_number(value)) == round_significant(value)


@given(st.integers(0, 10**9))
def test_counts_keep_all_their_digits(value):
    assert int(format_number(value).replace(",", "")) == value


def test_the_deciding_interval_of_a_p99_judges_any_limit_as_the_report_does(made):
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    rows = samples[(samples["contender"] == INT8) & (samples["batch"] == 1)]
    taken_ms = rows[rows["status"] == "counted"]["e2e_ns"].to_numpy() / 1e6
    figures = made[INT8][SLUG]["latency_b1_ms"]
    low, high = figures["p99_gate_lo"], figures["p99_gate_hi"]
    assert low < figures["p99"] < high
    for limit, outcome in (
        (1.001 * high, Outcome.MET),
        (0.999 * high, Outcome.INCONCLUSIVE),
        (1.001 * low, Outcome.INCONCLUSIVE),
        (0.999 * low, Outcome.MISSED),
    ):
        assert check_target(taken_ms, limit, 0.99).outcome is outcome
    assert figures["p50_gate_lo"] <= figures["p50"] <= figures["p50_gate_hi"]


def test_a_mostly_disturbed_session_says_so_in_the_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, Any]
) -> None:
    assert "mostly_disturbed_count" not in made[INT8][SLUG]
    monkeypatch.chdir(tmp_path)
    disturbed = replace(INPUTS, mostly_disturbed=True, disturbed={1: ("foreign",)})
    build(disturbed)
    assert load(disturbed)[1].metrics[INT8][SLUG]["mostly_disturbed_count"] == 1
