"""One value per round, and the widths that decide how long a run is."""

from __future__ import annotations

import numpy as np
import pytest

from trtproof.benchmark_config import FigureConfig
from trtproof.measure.figures import FIGURES, find_widths, sessions_by_round, values_by_round
from trtproof.measure.samples import Block, make_samples
from trtproof.measure.schedule import Turn

WANTED = FigureConfig(minimum_effect=0.05, wanted_halfwidth=0.01)
SHOWN = FigureConfig(minimum_effect=0.05, wanted_halfwidth=None)


def block(contender: str, number: int, e2e_ns: list[int], *, cpu_ns: int = 5) -> Block:
    rows = np.array([(1, place, time, cpu_ns) for place, time in enumerate(e2e_ns)], dtype=np.int64)
    turn = Turn(session=number // 4, round=number, position=0, batch=1, contender=contender)
    return Block(turn, worker=0, device="d", rows=rows)


def samples_of(rounds: int, *, spread: int = 0, left_out: tuple[int, ...] = ()):
    blocks = []
    for number in range(rounds):
        blocks += [block("a", number, [100, 200, 300 + spread * number]), block("b", number, [50])]
    return make_samples(blocks, left_out=left_out)


def test_a_figure_is_a_percentile_of_each_round() -> None:
    samples = samples_of(3, spread=10)
    assert values_by_round(samples, FIGURES["wall_p50"], "a", 1) == {0: 200, 1: 200, 2: 200}
    assert values_by_round(samples, FIGURES["wall_p99"], "a", 1) == {0: 300, 1: 310, 2: 320}
    assert values_by_round(samples, FIGURES["wall_p10"], "a", 1) == {0: 100, 1: 100, 2: 100}
    assert values_by_round(samples, FIGURES["cpu_p50"], "a", 1) == {0: 5, 1: 5, 2: 5}
    assert values_by_round(samples, FIGURES["wall_p50"], "a", 8) == {}


def test_a_round_left_out_has_no_value() -> None:
    samples = samples_of(3, left_out=(1,))
    assert set(values_by_round(samples, FIGURES["wall_p50"], "a", 1)) == {0, 2}


def test_every_round_belongs_to_one_start_of_the_workers() -> None:
    assert sessions_by_round(samples_of(5)) == {0: 0, 1: 0, 2: 0, 3: 0, 4: 1}


def test_only_figures_with_a_wanted_width_decide() -> None:
    widths = find_widths(samples_of(8), {"wall_p50": WANTED, "wall_p99": SHOWN}, reference="a")
    assert [(width.name, width.wanted) for width in widths] == [("b batch 1 wall_p50", 0.01)]
    assert widths[0].halfwidth == pytest.approx(0.0)


def test_too_few_rounds_have_no_width() -> None:
    (width,) = find_widths(samples_of(4), {"wall_p50": WANTED}, reference="a")
    assert width.halfwidth is None


def test_without_a_reference_there_is_nothing_to_compare() -> None:
    assert find_widths(samples_of(8), {"wall_p50": WANTED}, reference="c") == []


def test_processor_time_that_was_not_measured_has_no_width() -> None:
    blocks = [block(name, number, [10], cpu_ns=0) for name in "ab" for number in range(8)]
    (width,) = find_widths(make_samples(blocks), {"cpu_p50": WANTED}, reference="a")
    assert width.halfwidth is None


def test_a_second_run_is_compared_with_the_first_of_the_same_variant() -> None:
    blocks = []
    for number in range(8):
        blocks += [block("a", number, [100 + 40 * (number % 2)])]
        blocks += [block(name, number, [50]) for name in ("b", "b/again")]
    found = find_widths(make_samples(blocks), {"wall_p50": WANTED}, reference="a")
    widths = {width.name: width.halfwidth or 0.0 for width in found}
    assert widths["b batch 1 wall_p50"] > 0.1
    assert widths["b/again batch 1 wall_p50"] == pytest.approx(0.0)
