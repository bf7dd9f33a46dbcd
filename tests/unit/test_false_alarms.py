"""Proof by simulation: how often a verdict is wrong, and how often a true change is found.

The truth is known in tests/simulation.py. The seeds are fixed, so that a failure is a change of
the code; the margins are wide enough that other seeds agree.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.simulation import (
    BIMODAL,
    NOISY_CPU,
    QUIET,
    THERMAL_RAMP,
    Plan,
    modes,
    normal_luck,
    round_values,
    simulate_medians,
    skewed_luck,
)

from trtproof.measure.ratios import ratio_of_rounds
from trtproof.measure.stopping import StopRule, Width, decide_extension
from trtproof.measure.verdict import VerdictRule, Word, judge

FULL = VerdictRule(minimum_effect=0.02, profile="full")
CHANGED = (Word.FASTER, Word.SLOWER)
MACHINES = {
    "quiet": QUIET,
    "thermal ramp": THERMAL_RAMP,
    "noisy processor": NOISY_CPU,
    "bimodal workers": BIMODAL,
    "rarely slow workers": replace(QUIET, luck=modes(22.5, 25.5, weights=[0.8, 0.2])),
    "close modes": replace(QUIET, luck=modes(22.5, 23.4)),
    "three modes": replace(QUIET, luck=modes(20.0, 22.5, 25.5)),
    "far modes": replace(QUIET, luck=modes(10.0, 20.0)),
    "normal luck": replace(QUIET, luck=normal_luck(0.05)),
    "a little luck": replace(QUIET, luck=normal_luck(0.01)),
    "skewed luck": replace(QUIET, luck=skewed_luck(0.05)),
    "bimodal on a ramp": replace(THERMAL_RAMP, luck=modes(22.5, 25.5)),
    "bimodal on a noisy processor": replace(NOISY_CPU, luck=modes(22.5, 25.5)),
}
SPINE = ["quiet", "thermal ramp", "noisy processor", "bimodal workers"]


@cache
def words(machine: str, changes: tuple[float, ...], *, runs: int, seed: int) -> np.ndarray:
    """Return the words of all runs, shape (runs, variants)."""
    medians = simulate_medians(MACHINES[machine], changes, runs=runs, seed=seed)
    return np.asarray(
        [
            [judge(round_values(run, place), FULL).word for place in range(len(changes))]
            for run in medians
        ]
    )


def alarms(found: np.ndarray) -> np.ndarray:
    return np.isin(found, CHANGED)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("machine", SPINE)
def test_without_a_change_at_most_one_run_in_twenty_says_there_is_one(machine, seed):
    found = alarms(words(machine, (1.0, 1.0), runs=120, seed=seed))
    assert found.mean() <= 0.03
    assert found.any(axis=1).mean() <= 0.05  # either of two variants


@pytest.mark.parametrize("machine", [name for name in MACHINES if name not in SPINE])
def test_other_kinds_of_luck_raise_no_more_alarms(machine):
    found = alarms(words(machine, (1.0,), runs=150, seed=3))
    assert found.mean() <= 0.05


@pytest.mark.parametrize("variants", [1, 4])
def test_more_contenders_raise_no_more_alarms_each(variants):
    found = alarms(words("bimodal workers", (1.0,) * variants, runs=100, seed=4))
    assert found.mean() <= 0.03
    assert found.any(axis=1).mean() <= 0.05


def test_without_regard_to_worker_starts_bimodal_workers_would_raise_alarms():
    """What the rule protects from: the same runs judged by their rounds alone, without A/A."""
    medians = simulate_medians(BIMODAL, [1.0], runs=200, seed=1)
    ratios = [ratio_of_rounds(run[0], run[1], confidence=0.95) for run in medians]
    excluded = [(ratio.low or 0) > 1 or (ratio.high or 2) < 1 for ratio in ratios]
    assert np.mean(excluded) > 0.2


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("change", "word"), [(1.03, Word.SLOWER), (1 / 1.03, Word.FASTER)])
def test_three_percent_on_the_quiet_machine_is_found(change, word, seed):
    found = words("quiet", (change,), runs=120, seed=seed)
    assert (found == word).mean() >= 0.95


def test_on_the_quiet_machine_no_change_is_called_the_same():
    assert (words("quiet", (1.0, 1.0), runs=120, seed=1) == Word.SAME).mean() >= 0.95


def test_a_large_change_is_found_despite_bimodal_workers():
    found = words("bimodal workers", (0.4,), runs=100, seed=5)
    assert (found == Word.FASTER).mean() >= 0.7
    assert not (found == Word.SLOWER).any()


def test_a_noisy_machine_finds_no_small_change_and_does_not_claim_its_absence():
    found = words("noisy processor", (1.03,), runs=80, seed=6)
    assert (found == Word.INCONCLUSIVE).mean() >= 0.95


@pytest.mark.parametrize("machine", [*SPINE, "normal luck", "three modes"])
def test_the_shown_interval_of_two_equal_contenders_holds_one(machine):
    medians = simulate_medians(MACHINES[machine], [], runs=300, seed=7)
    sessions = [number // 4 for number in range(12)]
    ratios = [ratio_of_rounds(run[0], run[-1], sessions=sessions) for run in medians]
    excluded = [(ratio.low or 0) > 1 or (ratio.high or 2) < 1 for ratio in ratios]
    assert np.mean(excluded) <= 0.075  # 5 % and two standard errors


def test_the_stop_rule_raises_no_alarms_by_extending():
    """Sessions that go on until they are narrow enough, up to 32 rounds."""
    plan = Plan(rounds=32)
    wrong, lengths = [], []
    for machine in (NOISY_CPU, BIMODAL, MACHINES["a little luck"], replace(QUIET, block=0.01)):
        for run in simulate_medians(machine, [1.0], runs=40, seed=8, plan=plan):
            rounds, word = extend(run, plan)
            wrong.append(word in CHANGED)
            lengths.append(rounds)
    assert np.mean(wrong) <= 0.05
    assert min(lengths) == 12
    assert max(lengths) == 32


def extend(run: np.ndarray, plan: Plan) -> tuple[int, Word]:
    """Run 12 rounds, then four more at a time while the stop rule says so."""
    rounds = 12
    while True:
        found = judge(round_values(run[:, :rounds], 0, plan), FULL)
        width = Width("p50", halfwidth=found.gate.halfwidth, wanted=0.01)
        more = decide_extension(
            [width], StopRule(), rounds_done=rounds, seconds_left=1e6, seconds_per_step=1.0
        )
        if not more.rounds_count:
            return rounds, found.word
        rounds += more.rounds_count


def test_quick_never_gates_however_large_the_change():
    plan = Plan(rounds=8, requests=40, restart_every=0)
    rule = replace(FULL, profile="quick")
    for machine in (QUIET, BIMODAL):
        for run in simulate_medians(machine, [1.0, 0.5], runs=20, seed=9, plan=plan):
            found = [judge(round_values(run, place, plan), rule) for place in (0, 1)]
            assert not any(verdict.gates for verdict in found)
            assert all("indicative" in verdict.reason for verdict in found)
