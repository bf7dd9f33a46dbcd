"""Where a job may run, and that one device does one thing at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from trtproof.config import TargetConfig
from trtproof.sweep import devices
from trtproof.sweep.devices import CPU, VISIBLE, find_uuids, hold, list_devices, place_job

GPUS = ["GPU-aaaa", "GPU-bbbb"]


def target(device: str, index: int = 0) -> TargetConfig:
    return TargetConfig(device=device, gpu_index=index, require=[])  # type: ignore[arg-type]


def never() -> bool:
    return False


def test_a_job_for_the_first_gpu_takes_any_and_sees_only_that_one() -> None:
    placement = place_job(target("auto"), GPUS)
    assert placement.devices == frozenset(GPUS)
    assert placement.variables["GPU-bbbb"] == {VISIBLE: "GPU-bbbb"}


def test_a_job_for_a_later_gpu_gets_that_one_and_sees_all_of_them() -> None:
    placement = place_job(target("cuda", 1), GPUS)
    assert placement.devices == frozenset({"GPU-bbbb"})
    assert not placement.variables


@pytest.mark.parametrize(
    ("wanted", "gpus"),
    [(target("cpu"), GPUS), (target("auto"), []), (target("cuda"), []), (target("cuda", 2), GPUS)],
)
def test_else_it_is_the_cpu_where_the_probe_says_what_is_wrong(wanted, gpus) -> None:
    assert place_job(wanted, gpus).devices == frozenset({CPU})


def test_devices_are_those_that_some_job_may_run_on() -> None:
    both = [place_job(target("auto"), GPUS), place_job(target("cpu"), GPUS)]
    assert list_devices(both, GPUS) == [*GPUS, CPU]
    assert list_devices([place_job(target("cuda", 1), GPUS)], GPUS) == ["GPU-bbbb"]


def test_no_gpu_is_asked_for_where_no_job_wants_one(monkeypatch) -> None:
    monkeypatch.setattr(devices, "find_gpus", lambda: [SimpleNamespace(uuid=uuid) for uuid in GPUS])
    assert find_uuids([target("cpu")]) == []
    assert find_uuids([target("cpu"), target("auto")]) == GPUS


def is_free(device: str, folder: Path) -> bool:
    """Say whether a device can be had at once."""
    asked: dict[int, int] = {}

    def after_the_first_try() -> bool:
        asked[0] = asked.get(0, -1) + 1
        return asked[0] > 1

    with hold(device, give_up=after_the_first_try, folder=folder) as held:
        return held


@pytest.mark.parametrize(
    ("first", "second"),
    [(CPU, CPU), (CPU, "GPU-aaaa"), ("GPU-aaaa", CPU), ("GPU-aaaa", "GPU-aaaa")],
)
def test_jobs_that_would_disturb_each_other_wait(tmp_path, first, second) -> None:
    with hold(first, give_up=never, folder=tmp_path) as held:
        assert held
        assert not is_free(second, tmp_path)
    assert is_free(second, tmp_path)


def test_two_gpus_are_held_at_the_same_time(tmp_path) -> None:
    with (
        hold("GPU-aaaa", give_up=never, folder=tmp_path) as first,
        hold("GPU-bbbb", give_up=never, folder=tmp_path) as second,
    ):
        assert first
        assert second


def test_a_waiting_job_gets_the_device_when_it_is_free(tmp_path, capsys) -> None:
    got = threading.Event()

    def wait() -> None:
        with hold(CPU, give_up=never, folder=tmp_path):
            got.set()

    with hold(CPU, give_up=never, folder=tmp_path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(0.4)
    assert got.wait(20)
    waiting.join(20)
    assert "waiting for cpu" in capsys.readouterr().err
