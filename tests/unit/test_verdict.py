"""The four words and what they follow from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.errors import InputError
from trtproof.measure.disturbed import Cause, DisturbanceRule, choose_rounds
from trtproof.measure.ratios import Ratio
from trtproof.measure.verdict import (
    Better,
    RoundValues,
    VerdictRule,
    Word,
    choose_word,
    judge,
)

FULL = VerdictRule(minimum_effect=0.02, profile="full")
QUIVER = (0.0, 0.002, -0.001, 0.001, -0.002, 0.0015, -0.0005, 0.0005, 0.0, 0.001, -0.001, 0.0)


def run(*, change=1.0, again=1.0, rounds=12, session_rounds=4):
    """Return a quiet run in which the contender takes `change` times the reference's time."""
    numbers = range(rounds)
    return RoundValues(
        reference=dict.fromkeys(numbers, 10.0),
        again={n: 10.0 * again * (1 + QUIVER[(n + 5) % 12]) for n in numbers},
        contender={n: 10.0 * change * (1 + QUIVER[n % 12]) for n in numbers},
        sessions={n: n // session_rounds for n in numbers},
    )


def word_of(low, high, *, floor=0.001, shown=None):
    middle = (low * high) ** 0.5
    shown_low, shown_high = shown or (low, high)
    seen = Ratio(middle, shown_low, shown_high, rounds_count=12)
    decisive = Ratio(middle, low, high, rounds_count=12)
    return choose_word(seen, decisive, floor, minimum_effect=0.02)[0]


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (1.021, 1.05, Word.FASTER),
        (1.019, 1.05, Word.INCONCLUSIVE),
        (1 / 1.05, 1 / 1.021, Word.SLOWER),
        (1 / 1.05, 1 / 1.019, Word.INCONCLUSIVE),
        (1 / 1.019, 1.019, Word.SAME),
        (1 / 1.021, 1.019, Word.INCONCLUSIVE),
        (0.9, 1.1, Word.INCONCLUSIVE),
        (0.9, 3.0, Word.INCONCLUSIVE),
    ],
)
def test_a_word_needs_the_whole_range_on_its_side_of_the_margin(low, high, word):
    assert word_of(low, high) is word


def test_the_noise_floor_raises_the_margin():
    assert word_of(1.03, 1.05, floor=0.02) is Word.FASTER
    assert word_of(1.03, 1.05, floor=0.04) is Word.INCONCLUSIVE


def test_a_noisy_machine_never_says_same():
    assert word_of(0.999, 1.001, floor=0.021) is Word.INCONCLUSIVE
    assert word_of(0.999, 1.001, floor=0.019) is Word.SAME


def test_no_word_contradicts_the_interval_that_is_shown():
    assert word_of(1.05, 1.06, shown=(0.99, 1.12)) is Word.INCONCLUSIVE
    assert word_of(0.94, 0.95, shown=(0.90, 1.01)) is Word.INCONCLUSIVE
    assert word_of(0.999, 1.001, shown=(0.97, 1.03)) is Word.INCONCLUSIVE


@pytest.mark.parametrize(
    ("change", "word"),
    [(1.0, Word.SAME), (1.03, Word.SLOWER), (0.97, Word.FASTER), (0.5, Word.FASTER)],
)
def test_on_a_quiet_run_the_word_is_the_truth(change, word):
    found = judge(run(change=change), FULL)
    assert (found.word, found.gates) == (word, True)
    assert found.shown.value == pytest.approx(1 / change, rel=0.002)


def test_figures_where_more_is_better_turn_the_words_round():
    rule = replace(FULL, better=Better.HIGHER)
    assert judge(run(change=1.03), rule).word is Word.FASTER
    assert judge(run(change=1.03), rule).shown.value == pytest.approx(1.03, rel=0.002)
    assert judge(run(change=0.97), rule).word is Word.SLOWER


def test_the_margin_is_the_larger_of_effect_and_noise_and_both_are_kept():
    quiet, noisy = judge(run(), FULL), judge(run(again=1.05), FULL)
    assert quiet.delta == 0.02
    assert quiet.noise_floor is not None
    assert quiet.noise_floor < 0.005
    assert noisy.delta == noisy.noise_floor
    assert noisy.delta == pytest.approx(0.05, abs=0.005)
    assert "may differ by 5" in noisy.reason


@pytest.mark.parametrize("profile", ["quick", "smoke"])
def test_quick_and_smoke_never_gate_and_say_indicative(profile):
    found = judge(run(change=0.5), replace(FULL, profile=profile))
    assert found.word is Word.FASTER
    assert not found.gates
    assert found.reason.startswith(f"indicative (profile {profile})")


def test_fewer_than_three_starts_of_the_workers_never_gate():
    assert judge(run(change=0.5, rounds=12, session_rounds=4), FULL).gates
    found = judge(run(change=0.5, rounds=12, session_rounds=6), FULL)
    assert not found.gates
    assert "2 of at least 3 starts" in found.reason


def test_seven_rounds_are_too_few_for_any_word():
    found = judge(run(change=0.5, rounds=7, session_rounds=2), FULL)
    assert found.word is Word.INCONCLUSIVE
    assert "7 rounds" in found.reason
    assert found.shown.low is not None


def test_without_a_second_run_of_the_reference_nothing_is_decided():
    found = judge(replace(run(change=0.5), again={}), FULL)
    assert (found.word, found.control, found.noise_floor) == (Word.INCONCLUSIVE, None, None)


def test_a_session_that_disagrees_makes_it_inconclusive():
    values = run(change=0.95)
    contender = {n: (10.0 if n >= 8 else time) for n, time in values.contender.items()}
    assert judge(values, FULL).word is Word.FASTER
    assert judge(replace(values, contender=contender), FULL).word is Word.INCONCLUSIVE


def test_disturbed_rounds_are_left_out_and_the_result_with_them_is_kept():
    values = run(change=0.97)
    contender = values.contender | {3: 100.0}
    selection = choose_rounds(range(12), {3: [Cause.STEAL]}, DisturbanceRule())
    found = judge(replace(values, contender=contender), FULL, selection)
    assert found.word is Word.FASTER
    assert found.shown.rounds_count == found.gate.rounds_count == 11
    assert found.control is not None
    assert found.control.rounds_count == 11
    assert found.shown_all is not None
    assert found.shown_all.rounds_count == 12
    assert judge(values, FULL).shown_all is None


def test_more_than_half_disturbed_is_inconclusive_whatever_was_measured():
    causes = {number: [Cause.PRESSURE] for number in range(7)}
    selection = choose_rounds(range(12), causes, DisturbanceRule())
    found = judge(run(change=0.5), FULL, selection)
    assert found.word is Word.INCONCLUSIVE
    assert found.reason == "more than half of the rounds were disturbed"
    assert found.shown.rounds_count == 12


def test_only_rounds_that_every_contender_has_are_compared():
    values = run(change=0.97, rounds=16)
    del values.again[5], values.contender[9]
    assert judge(values, FULL).gate.rounds_count == 14


def test_no_common_round_is_an_error():
    values = replace(run(), contender={99: 1.0})
    with pytest.raises(InputError, match="0 rounds"):
        judge(values, FULL)


times = st.lists(st.floats(0.5, 2.0), min_size=12, max_size=12)
MIRROR = {Word.FASTER: Word.SLOWER, Word.SLOWER: Word.FASTER}


def values_of(reference, contender, again):
    reference, contender, again = (
        dict(enumerate(column)) for column in (reference, contender, again)
    )
    return RoundValues(reference, again, contender, sessions={n: n // 4 for n in range(12)})


@given(times, times, st.floats(0.8, 1.25), st.floats(0, 0.02))
def test_the_words_of_a_time_and_of_a_rate_mirror_each_other(noise, other, change, size):
    contender = [change * (1 + size * value) for value in noise]
    values = values_of([1.0] * 12, contender, [1 + size * value for value in other])
    time, rate = judge(values, FULL), judge(values, replace(FULL, better=Better.HIGHER))
    assert rate.word is MIRROR.get(time.word, time.word)
    assert rate.delta == pytest.approx(time.delta)
    assert rate.shown.value == pytest.approx(1 / time.shown.value)


@given(times, times, times, st.integers(-6, 6))
def test_the_unit_of_time_changes_no_verdict(reference, contender, again, exponent):
    columns = (reference, contender, again)
    plain = judge(values_of(*columns), FULL)
    scaled = judge(values_of(*([2.0**exponent * v for v in column] for column in columns)), FULL)
    assert (scaled.word, scaled.gates) == (plain.word, plain.gates)
    assert scaled.shown.value == pytest.approx(plain.shown.value)


def test_a_contender_that_differs_from_itself_by_more_is_the_noise():
    steady = run(change=0.9)
    assert judge(steady, FULL).word is Word.FASTER
    restless = {n: value * (1 + 0.3 * (n % 2)) for n, value in steady.contender.items()}
    for contender_again, word in ((steady.contender, Word.FASTER), (restless, Word.INCONCLUSIVE)):
        found = judge(replace(steady, contender_again=contender_again), FULL)
        assert found.word is word
        assert found.noise_floor is not None
        assert (found.noise_floor > 0.1) is (word is Word.INCONCLUSIVE)
        assert found.control == judge(steady, FULL).control  # the reference's, as ever


def test_a_second_run_of_the_contender_is_no_control_without_the_references():
    values = run(change=0.9)
    alone = replace(values, again={}, contender_again=values.contender)
    assert judge(alone, FULL).noise_floor is None
