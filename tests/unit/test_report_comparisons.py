"""Contenders against the reference: which figures, which word, and whether it decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trtproof.measure.disturbed import Cause, Selection
from trtproof.measure.quantiles import estimate_quantile
from trtproof.measure.verdict import Word
from trtproof.report.comparisons import Judge
from trtproof.report.figures import NotMeasured, Timing

EFFECTS = {"wall_p50": 0.02, "wall_p10": 0.05, "wall_p99": 0.05, "cpu_p50": 0.03}
ROUNDS = range(12)
QUIVER = (0.0, 0.002, -0.001, 0.001, -0.002, 0.0015, -0.0005, 0.0005, 0.0, 0.001, -0.001, 0.0)
ALL = Selection(kept=tuple(ROUNDS), causes={}, mostly_disturbed=False)


def timing(factor=1.0, *, slow_rounds=(), session_rounds=4, figures=tuple(EFFECTS)) -> Timing:
    """Return a contender that takes `factor` ms, and three times that in slow rounds."""
    values = {
        number: factor * (1 + QUIVER[number % 12]) * (3 if number in slow_rounds else 1)
        for number in ROUNDS
    }
    quantile = estimate_quantile([np.full(20, value) for value in values.values()], 0.5)
    assert quantile is not None
    return Timing(
        batch=1,
        latencies_ms=np.sort(np.fromiter(values.values(), dtype=np.float64)),
        left_out=(),
        percentiles={"p50": quantile},
        decisive_p50_ms=None,
        all_p50_ms=factor,
        mean_ms=factor,
        cpu_p50=None,
        throughput_ips=1000.0,
        values_ms=dict.fromkeys(figures, values),
        sessions={number: number // session_rounds for number in ROUNDS},
        curve_ms=(),
    )


CPU_JUDGE = Judge("cpu", "full", ALL, EFFECTS)


def compare(judge=CPU_JUDGE, *, again=1.0, contender=None, **options):
    found = judge.compare(timing(**options), timing(again), contender or timing(0.8))
    assert not isinstance(found, NotMeasured)
    return found


def test_on_a_processor_p10_and_cpu_time_decide_and_the_median_is_shown():
    found = compare()
    assert {key: one.decides for key, one in found.items()} == {
        "wall_p50": False,
        "wall_p10": True,
        "cpu_p50": True,
    }
    assert {one.verdict.word for one in found.values()} == {Word.FASTER}


def test_on_a_gpu_the_median_and_p99_decide():
    found = compare(replace(CPU_JUDGE, device="gpu"))
    assert {key: one.decides for key, one in found.items()} == {"wall_p50": True, "wall_p99": True}


@pytest.mark.parametrize("profile", ["quick", "smoke"])
def test_a_short_profile_never_decides_and_says_indicative(profile):
    found = compare(replace(CPU_JUDGE, profile=profile))
    assert not any(one.decides for one in found.values())
    assert all(f"indicative (profile {profile})" in one.verdict.reason for one in found.values())


def test_one_start_of_the_workers_never_decides():
    assert not any(one.decides for one in compare(session_rounds=99).values())


def test_each_figure_has_its_own_smallest_effect():
    found = compare(contender=timing(1 / 1.04))
    assert found["wall_p10"].verdict.word is Word.SAME
    assert found["cpu_p50"].verdict.word is Word.FASTER


def test_a_noisy_control_widens_what_counts():
    noisy = compare(again=1.2)["wall_p10"].verdict
    assert noisy.delta == pytest.approx(0.2, abs=0.02)
    assert compare(again=1.3)["wall_p10"].verdict.word is Word.INCONCLUSIVE


def test_disturbed_rounds_are_left_out_and_the_result_with_them_stands_beside():
    kept = tuple(number for number in ROUNDS if number not in {4, 5})
    selection = Selection(kept, dict.fromkeys((4, 5), (Cause.PRESSURE,)), mostly_disturbed=False)
    slow = timing(0.8, slow_rounds=(4, 5))
    verdict = compare(replace(CPU_JUDGE, selection=selection), contender=slow)["wall_p10"].verdict
    assert verdict.shown.rounds_count == 10
    assert verdict.shown_all is not None
    assert verdict.shown_all.rounds_count == 12
    assert verdict.shown.low == pytest.approx(1.25)
    assert verdict.shown_all.low is not None
    assert verdict.shown_all.low < 1


def test_a_mostly_disturbed_session_is_inconclusive():
    causes = dict.fromkeys(range(7), (Cause.STEAL,))
    selection = Selection(tuple(ROUNDS), causes, mostly_disturbed=True)
    found = compare(replace(CPU_JUDGE, selection=selection))
    assert {one.verdict.word for one in found.values()} == {Word.INCONCLUSIVE}


def test_a_figure_that_a_contender_lacks_is_not_compared():
    assert compare(contender=timing(0.8, figures=("wall_p50",))).keys() == {"wall_p50"}


def test_without_a_common_round_nothing_is_compared():
    nothing = replace(CPU_JUDGE, selection=replace(ALL, kept=()))
    found = nothing.compare(timing(), timing(), timing())
    assert found == NotMeasured("no round counted for both it and the reference")
