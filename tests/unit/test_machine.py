"""Reading the machine's state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trtproof.backends.host import resolve_threads, usable_cores
from trtproof.measure.disturbed import RoundEvidence
from trtproof.measure.machine import MachineState, compare_states, describe_setting, read_state

PRESSURE = "some avg10=0.00 avg60=0.10 avg300=0.20 total=123456\nfull avg10=0.00 total=0\n"


CPUINFO = "processor : 0\ncpu MHz\t\t: 2000.5\n\nprocessor : 1\ncpu MHz\t\t: 3000.5\n"


def make_proc(root: Path) -> Path:
    (root / "pressure").mkdir(parents=True)
    (root / "loadavg").write_text("1.50 1.00 0.50 2/300 4321\n", encoding="ascii")
    (root / "pressure" / "cpu").write_text(PRESSURE, encoding="ascii")
    (root / "stat").write_text("cpu  10 20 30 40 50 60 70 88 5 6\ncpu0 1\n", encoding="ascii")
    (root / "cpuinfo").write_text(CPUINFO, encoding="ascii")
    return root


def test_the_counters_are_read(tmp_path: Path) -> None:
    state = read_state(make_proc(tmp_path))
    assert replace(state, at_ns=0) == MachineState(0, 1.5, 123456, 88, 368, 2500.5)
    assert state.at_ns > 0


def test_what_the_system_does_not_say_is_absent_and_not_zero(tmp_path: Path) -> None:
    assert replace(read_state(tmp_path), at_ns=0) == MachineState(at_ns=0)


def test_a_round_is_the_difference_of_two_readings() -> None:
    before = MachineState(0, pressure_us=1000, steal_ticks=5, total_ticks=100)
    after = MachineState(2_000_000_000, pressure_us=401_000, steal_ticks=9, total_ticks=500)
    assert compare_states(before, after) == RoundEvidence(pressure_share=0.2, steal_share=0.01)


@pytest.mark.parametrize(
    "after",
    [
        MachineState(0, pressure_us=7, steal_ticks=5, total_ticks=100),  # no time passed
        MachineState(9, pressure_us=6, steal_ticks=4, total_ticks=200),  # counters set back
        MachineState(9),  # not told
    ],
)
def test_readings_that_say_nothing_are_no_evidence(after: MachineState) -> None:
    before = MachineState(0, pressure_us=7, steal_ticks=5, total_ticks=100)
    assert compare_states(before, after) == RoundEvidence()


def test_variables_that_change_speed_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("UNRELATED", "x")
    variables = describe_setting()["variables"]
    assert variables["OMP_WAIT_POLICY"] == "active"
    assert "UNRELATED" not in variables


def test_zero_threads_take_every_usable_core() -> None:
    assert resolve_threads(0) == len(usable_cores())
    assert resolve_threads(3) == 3
