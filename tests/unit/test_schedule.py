"""The order of blocks: mirrored, rotated, balanced."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trtproof.measure.schedule import (
    RoundPlace,
    list_sessions,
    list_turns,
    name_contenders,
    order_round,
)

contenders = st.integers(1, 7).map(lambda count: [f"v{place}" for place in range(count)])


@given(contenders, st.integers(0, 40))
def test_every_contender_runs_once_in_every_round(names: list[str], number: int) -> None:
    assert sorted(order_round(names, number)) == sorted(names)


@given(contenders, st.integers(0, 20))
def test_every_second_round_mirrors_the_one_before(names: list[str], pair: int) -> None:
    assert order_round(names, 2 * pair + 1) == order_round(names, 2 * pair)[::-1]


@given(contenders)
def test_every_contender_has_every_position_equally_often(names: list[str]) -> None:
    rounds = [order_round(names, number) for number in range(2 * len(names))]
    for position in range(len(names)):
        assert Counter(order[position] for order in rounds) == dict.fromkeys(names, 2)


@given(contenders, st.integers(1, 10))
def test_a_linear_drift_is_the_same_for_all_contenders(names: list[str], pairs: int) -> None:
    times: dict[str, int] = dict.fromkeys(names, 0)
    for number in range(2 * pairs):
        for position, name in enumerate(order_round(names, number)):
            times[name] += number * len(names) + position
    assert len(set(times.values())) == 1


def test_the_starting_contender_changes_every_two_rounds() -> None:
    firsts = [order_round(["a", "b", "c"], number)[0] for number in range(0, 8, 2)]
    assert firsts == ["a", "b", "c", "a"]


def test_the_reference_runs_twice() -> None:
    assert name_contenders(["torch", "ort"], "torch") == ["torch", "ort", "torch/again"]


def test_controls_run_twice_after_the_reference_each_once() -> None:
    variants = ["ort", "torch", "graph"]
    found = name_contenders(variants, "torch", ["graph", "torch", "gone"])
    assert found == [*variants, "torch/again", "graph/again"]


def test_without_the_reference_nothing_runs_twice() -> None:
    assert name_contenders(["ort"], "torch") == ["ort"]


@given(st.integers(2, 40), st.integers(0, 12))
def test_sessions_hold_every_round_once_in_order(rounds: int, restart_every: int) -> None:
    sessions = list_sessions(rounds, restart_every)
    assert [number for session in sessions for number in session] == list(range(rounds))
    if restart_every:
        assert max(len(session) for session in sessions) <= restart_every


def test_all_batches_are_measured_in_every_round() -> None:
    turns = list(list_turns(["a", "b"], [1, 8], RoundPlace(session=1, round=5, slot=2)))
    assert [(turn.round, turn.batch, turn.contender) for turn in turns] == [
        (5, 1, "b"), (5, 1, "a"), (5, 8, "b"), (5, 8, "a"),
    ]  # fmt: skip
    assert {turn.session for turn in turns} == {1}
    assert [turn.position for turn in turns] == [0, 1] * 2


def test_a_round_measured_again_has_the_order_of_the_first_try() -> None:
    first = list(list_turns(["a", "b", "c"], [1], RoundPlace(session=0, round=3, slot=3)))
    again = list(list_turns(["a", "b", "c"], [1], RoundPlace(session=0, round=4, slot=3)))
    assert [turn.contender for turn in again] == [turn.contender for turn in first]
    assert {turn.round for turn in again} == {4}
