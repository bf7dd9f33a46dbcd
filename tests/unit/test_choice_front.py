"""The Pareto front as a mathematical object."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trtproof.choice.front import dominates, find_dominators, find_front
from trtproof.measure.verdict import Better

H, L = Better.HIGHER, Better.LOWER
directions = st.lists(st.sampled_from([H, L]), min_size=1, max_size=4)


@st.composite
def clouds(draw):
    better = draw(directions)
    place = st.tuples(*[st.integers(0, 6).map(float) for _ in better])
    return draw(st.lists(place, max_size=12)), better


def test_more_throughput_at_less_latency_dominates():
    assert dominates((200, 3), (100, 4), (H, L))
    assert not dominates((200, 5), (100, 4), (H, L))
    assert not dominates((100, 4), (100, 4), (H, L))


def test_a_known_front_and_who_dominates_the_rest():
    places = [(100, 1), (200, 2), (150, 3), (300, 9), (90, 9)]
    assert find_front(places, (H, L)) == [0, 1, 3]
    assert find_dominators(places, (H, L)) == {2: 1, 4: 0}


@given(clouds())
def test_nobody_dominates_the_front_and_it_dominates_everyone_else(made):
    places, better = made
    front = set(find_front(places, better))
    for index, place in enumerate(places):
        beaten = any(dominates(other, place, better) for other in places)
        assert beaten == (index not in front)
    dominators = find_dominators(places, better)
    assert set(dominators) == set(range(len(places))) - front
    assert set(dominators.values()) <= front
    assert all(dominates(places[by], places[index], better) for index, by in dominators.items())


@given(clouds(), st.data())
def test_the_front_does_not_depend_on_the_order(made, data):
    places, better = made
    order = data.draw(st.permutations(range(len(places))))
    turned = [places[index] for index in order]
    before = {places[index] for index in find_front(places, better)}
    assert before == {turned[index] for index in find_front(turned, better)}


@given(clouds())
def test_turning_every_direction_turns_the_values(made):
    places, better = made
    turned = [L if one is H else H for one in better]
    negative = [tuple(-value for value in place) for place in places]
    assert find_front(places, better) == find_front(negative, turned)


@given(clouds())
def test_domination_is_transitive_and_one_sided(made):
    places, better = made
    for one in places:
        for other in places:
            if dominates(one, other, better):
                assert not dominates(other, one, better)
                assert all(
                    dominates(one, third, better)
                    for third in places
                    if dominates(other, third, better)
                )
