"""Energy of one inference: windows of the counter, cross-checked, or why there are none."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.benchmark_settings import ENERGY, benchmark_config
from tests.fake_machine.fake_nvml import FakeGpu, FakeNvml, make_gpus
from tests.fakes import make_feeds
from tests.unit.test_gpu_state import SW_THERMAL, Bench
from tests.unit.test_session import contender, quiet

from trtproof.measure.energy import measure_energy
from trtproof.measure.launch import Launcher, SessionInputs


@pytest.fixture(autouse=True)
def _pynvml_is_a_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())


def make_gpu(**facts: Any) -> FakeGpu:
    """Return a GPU whose counters follow the real clock."""
    begun = time.monotonic()
    return make_gpus(1, clock=lambda: time.monotonic() - begun, **facts)[0]


def measure(folder: Path, bench: Bench | None, **changes: Any) -> list[dict[str, Any]]:
    first = contender(folder, "a", slow_s=0.001)
    contenders = [first, contender(folder, "b", slow_s=0.001), replace(first, name="a/again")]
    config = benchmark_config(batches=[1], energy=ENERGY | changes)
    monitor = bench.monitor if bench else None
    inputs = SessionInputs(contenders, make_feeds(4), config, "device", quiet, gpu=monitor)
    assert config.energy
    return measure_energy(Launcher(inputs, folder), config.energy)


def test_energy_is_the_counters_growth_over_what_was_answered(tmp_path: Path) -> None:
    idle, *windows = measure(tmp_path, Bench(make_gpu(power_w=300.0)))
    assert idle["contender"] is None
    assert idle["power_w"] == pytest.approx(300.0, rel=0.1)
    assert [note["contender"] for note in windows] == ["a", "b", "b", "a"]  # mirrored
    for note in windows:
        spent_s = note["spent_ns"] / 1e9
        assert spent_s >= ENERGY["seconds"]
        assert note["counted_mj"] == pytest.approx(300.0 * spent_s * 1000, rel=0.1)
        assert note["mj_per_inference"] == note["counted_mj"] / note["completed_count"]
        assert 5 <= note["completed_count"] <= spent_s / 0.001
        assert (note["agrees"], note["causes"]) == (True, [])
        assert note["gpu"]["sm_mhz"] == 1980


def test_every_batch_has_its_windows(tmp_path: Path) -> None:
    _, *windows = measure(tmp_path, Bench(make_gpu()), batches=[1, 2], windows=1)
    assert [(note["batch"], note["contender"]) for note in windows] == [
        (1, "a"), (1, "b"), (2, "a"), (2, "b"),
    ]  # fmt: skip


def test_power_that_tells_otherwise_than_the_counter_is_flagged(tmp_path: Path) -> None:
    bench = Bench(make_gpu(power_w=300.0, answers={"nvmlDeviceGetPowerUsage": 150_000}))
    notes = measure(tmp_path, bench, windows=1)
    assert [note["agrees"] for note in notes] == [False, False, False]


def test_power_that_is_not_told_checks_nothing(tmp_path: Path) -> None:
    bench = Bench(make_gpu(refuses={"nvmlDeviceGetPowerUsage"}))
    note = measure(tmp_path, bench, windows=1)[1]
    assert (note["agrees"], note["polled_mj"]) == (None, None)
    assert note["mj_per_inference"] > 0


def test_what_disturbed_a_window_is_named(tmp_path: Path) -> None:
    bench = Bench(make_gpu(throttling={SW_THERMAL: 0.5}))
    assert measure(tmp_path, bench, windows=1)[1]["causes"] == ["throttled"]


@pytest.mark.parametrize(
    ("bench", "reason"),
    [
        (lambda: None, "on the CPU"),
        (lambda: Bench(make_gpu(refuses={"nvmlDeviceGetTotalEnergyConsumption"})), "no energy"),
        (lambda: Bench(FakeGpu("MIG-a", board=make_gpu())), "of the whole board"),
    ],
)
def test_without_a_counter_there_is_a_reason_and_no_figure(
    tmp_path: Path, bench: Any, reason: str
) -> None:
    (note,) = measure(tmp_path, bench())
    assert reason in note["reason"]
    assert set(note) == {"reason"}
