"""Timing figures, checked by hand against made-up samples."""

from __future__ import annotations

import numpy as np
import pytest

from trtproof.measure.quantiles import Method
from trtproof.measure.samples import Block, make_samples
from trtproof.measure.schedule import Turn
from trtproof.report.figures import NotMeasured, Timing, measured_batches, time_contender

MS = 1_000_000


def samples_of(rounds_ms, *, batch=1, pause_ms=0.0, warmup_ms=(500.0,), session_rounds=99):
    """Return samples with one block per round; requests follow each other after a pause."""
    blocks, now_ns = [], 0
    for number, latencies_ms in enumerate(rounds_ms):
        rows = []
        for counted, latency_ms in [(0, ms) for ms in warmup_ms] + [(1, ms) for ms in latencies_ms]:
            rows.append((counted, now_ns, int(latency_ms * MS), int(latency_ms * MS) // 2))
            now_ns += int((latency_ms + pause_ms) * MS)
        now_ns += 10**9
        turn = Turn(number // session_rounds, number, position=0, batch=batch, contender="a")
        blocks.append(Block(turn, worker=0, device="d", rows=np.asarray(rows, dtype=np.int64)))
    return make_samples(blocks)


def timing_of(rounds_ms, **options) -> Timing:
    found = time_contender(samples_of(rounds_ms, **options), "a", options.get("batch", 1))
    assert isinstance(found, Timing)
    return found


def values_of(timing) -> dict[str, float]:
    return {name: quantile.value for name, quantile in timing.percentiles.items()}


def test_warm_up_and_disturbed_rounds_are_in_no_figure_but_are_kept_beside():
    samples = samples_of([[1.0, 2.0, 3.0], [40.0, 50.0, 60.0]])
    disturbed = (samples["round"] == 1) & (samples["status"] == "counted")
    samples["status"] = samples["status"].cat.add_categories(["disturbed"])
    samples.loc[disturbed, "status"] = "disturbed"
    found = time_contender(samples, "a", 1)
    assert isinstance(found, Timing)
    assert (found.samples_count, found.left_out) == (3, (1,))
    assert (list(found.latencies_ms), found.p50_ms, found.mean_ms) == ([1.0, 2.0, 3.0], 2.0, 2.0)
    assert found.rounds_ms == {0: 2.0}
    assert found.values_ms["wall_p50"] == {0: 2.0, 1: 50.0}
    assert found.all_p50_ms == 3.0


def test_percentiles_are_values_that_were_measured():
    found = timing_of([[float(value) for value in range(1, 101)]])
    assert values_of(found) == {"p10": 10.0, "p50": 50.0, "p90": 90.0}


@pytest.mark.parametrize(("count", "names"), [(99, {"p10", "p50"}), (200, {"p90", "p95"})])
def test_a_percentile_needs_ten_samples_beyond_it(count, names):
    assert timing_of([[1.0] * count]).percentiles.keys() == names | {"p10", "p50"}


def test_intervals_cover_worker_starts():
    rounds = [[10.0 + 2 * (number // 3) + number / 100] * 20 for number in range(9)]
    apart = timing_of(rounds, session_rounds=3).percentiles["p50"]
    alike = timing_of(rounds).percentiles["p50"]
    assert apart.method is alike.method is Method.ROUNDS
    assert apart.bounds is not None
    assert alike.bounds is not None
    assert apart.bounds[1] > alike.bounds[1]


def test_the_far_tail_is_bounded_by_order_statistics():
    values = [float(value) for value in range(1, 5001)]
    found = timing_of([values, values]).percentiles["p99_9"]
    assert found.method is Method.ORDER_STATISTICS


def test_a_round_states_p99_only_from_a_thousand_requests():
    values = [float(value) for value in range(1, 1001)]
    assert timing_of([values, values]).values_ms["wall_p99"] == {0: 990.0, 1: 990.0}
    assert "wall_p99" not in timing_of([values, values[:999]]).values_ms


def test_a_clock_that_stands_still_measures_no_cpu_time():
    samples = samples_of([[2.0, 2.0]])
    samples["cpu_ns"] = 0
    found = time_contender(samples, "a", 1)
    assert isinstance(found, Timing)
    assert found.cpu_p50 is None
    assert "cpu_p50" not in found.values_ms


def test_throughput_is_samples_over_wall_time_with_the_pauses():
    found = timing_of([[2.0, 2.0], [2.0, 2.0]], batch=8, pause_ms=1.0)
    # a block lasts from its first counted start to its last end: 2 + 1 + 2 ms
    assert found.throughput_ips == pytest.approx(4 * 8 / 0.010)


def test_cpu_time_is_absent_where_it_was_not_recorded():
    samples = samples_of([[1.0, 2.0]])
    stated = timing_of([[2.0]]).cpu_p50
    assert stated is not None
    assert stated.value == 1.0
    samples["cpu_ns"] = samples["cpu_ns"].where(samples["cpu_ns"] < 0)
    found = time_contender(samples, "a", 1)
    assert isinstance(found, Timing)
    assert found.cpu_p50 is None


def test_a_contender_without_samples_is_not_measured():
    found = time_contender(samples_of([[1.0]]), "b", 1)
    assert isinstance(found, NotMeasured)
    assert "b at batch 1" in found.reason


def test_the_curve_ends_where_ten_samples_lie_beyond():
    found = timing_of([[float(value) for value in range(1, 1001)]])
    assert found.curve_ms[0] == (0.0, 0.0, 1.0)
    assert list(found.curve_ms[-1]) == pytest.approx([2.0, 0.99, 990.0])


def test_batches_are_those_that_were_timed():
    assert measured_batches(samples_of([[1.0]], batch=8)) == (8,)
