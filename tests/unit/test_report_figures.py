"""Timing figures, checked by hand against made-up samples."""

from __future__ import annotations

import numpy as np
import pytest

from trtproof.measure.samples import Block, make_samples
from trtproof.measure.schedule import Turn
from trtproof.measure.stats import Ratio
from trtproof.report.figures import (
    NotMeasured,
    Timing,
    compare_rounds,
    measured_batches,
    samples_needed,
    time_contender,
)

MS = 1_000_000


def samples_of(rounds_ms, *, contender="a", batch=1, pause_ms=0.0, warmup_ms=(500.0,)):
    """Return samples with one block per round; requests follow each other after a pause."""
    blocks, now_ns = [], 0
    for number, latencies_ms in enumerate(rounds_ms):
        rows = []
        for counted, latency_ms in [(0, ms) for ms in warmup_ms] + [(1, ms) for ms in latencies_ms]:
            rows.append((counted, now_ns, int(latency_ms * MS), int(latency_ms * MS) // 2))
            now_ns += int((latency_ms + pause_ms) * MS)
        now_ns += 10**9
        turn = Turn(session=0, round=number, position=0, batch=batch, contender=contender)
        blocks.append(Block(turn, worker=0, device="d", rows=np.asarray(rows, dtype=np.int64)))
    return make_samples(blocks)


def timing_of(rounds_ms, **options) -> Timing:
    found = time_contender(samples_of(rounds_ms, **options), "a", options.get("batch", 1))
    assert isinstance(found, Timing)
    return found


def test_warm_up_and_disturbed_rounds_are_in_no_figure():
    samples = samples_of([[1.0, 2.0, 3.0], [40.0, 50.0, 60.0]])
    disturbed = (samples["round"] == 1) & (samples["status"] == "counted")
    samples["status"] = samples["status"].cat.add_categories(["disturbed"])
    samples.loc[disturbed, "status"] = "disturbed"
    found = time_contender(samples, "a", 1)
    assert isinstance(found, Timing)
    assert (found.samples_count, found.rounds_left_out_count) == (3, 1)
    assert (found.min_ms, found.p50_ms, found.max_ms, found.mean_ms) == (1.0, 2.0, 3.0, 2.0)
    assert found.rounds_ms == {0: 2.0}


def test_percentiles_are_values_that_were_measured():
    found = timing_of([[float(value) for value in range(1, 101)]])
    assert found.percentiles_ms == {"p50": 50.0, "p90": 90.0}


@pytest.mark.parametrize(("count", "names"), [(99, {"p50"}), (200, {"p50", "p90", "p95"})])
def test_a_percentile_needs_ten_samples_beyond_it(count, names):
    assert timing_of([[1.0] * count]).percentiles_ms.keys() == names


def test_the_number_of_samples_that_bound_a_percentile():
    assert [samples_needed(share) for share in (0.9, 0.99, 0.999)] == [100, 1000, 10000]


def test_throughput_is_samples_over_wall_time_with_the_pauses():
    found = timing_of([[2.0, 2.0], [2.0, 2.0]], batch=8, pause_ms=1.0)
    # a block lasts from its first counted start to its last end: 2 + 1 + 2 ms
    assert found.throughput_ips == pytest.approx(4 * 8 / 0.010)


def test_cpu_time_is_absent_where_it_was_not_recorded():
    samples = samples_of([[1.0, 2.0]])
    assert timing_of([[2.0]]).cpu_p50_ms == 1.0
    samples["cpu_ns"] = samples["cpu_ns"].where(samples["cpu_ns"] < 0)
    found = time_contender(samples, "a", 1)
    assert isinstance(found, Timing)
    assert found.cpu_p50_ms is None


def test_a_contender_without_samples_is_not_measured():
    found = time_contender(samples_of([[1.0]]), "b", 1)
    assert isinstance(found, NotMeasured)
    assert "b at batch 1" in found.reason


def test_the_ratio_is_taken_round_by_round():
    reference = timing_of([[2.0] * 3, [4.0] * 3, [8.0] * 3, [16.0] * 3, [32.0] * 3, [64.0] * 3])
    variant = timing_of([[1.0] * 3, [2.0] * 3, [4.0] * 3, [8.0] * 3, [16.0] * 3, [32.0] * 3])
    ratio = compare_rounds(reference, variant)
    assert isinstance(ratio, Ratio)
    assert ratio.value == pytest.approx(2.0)
    assert [ratio.low, ratio.high] == pytest.approx([2.0, 2.0])
    assert ratio.rounds_count == 6


def test_only_rounds_of_both_are_compared():
    ratio = compare_rounds(timing_of([[2.0], [4.0]]), timing_of([[1.0]]))
    assert isinstance(ratio, Ratio)
    assert ratio.value == pytest.approx(2.0)
    assert (ratio.rounds_count, ratio.low) == (1, None)


def test_the_curve_ends_where_ten_samples_lie_beyond():
    found = timing_of([[float(value) for value in range(1, 1001)]])
    assert found.curve_ms[0] == (0.0, 0.0, 1.0)
    assert list(found.curve_ms[-1]) == pytest.approx([2.0, 0.99, 990.0])


def test_batches_are_those_that_were_timed():
    assert measured_batches(samples_of([[1.0]], batch=8)) == (8,)
