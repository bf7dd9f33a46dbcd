"""Reading the machine's state."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trtproof.backends.host import resolve_threads
from trtproof.cores import usable_cores
from trtproof.measure import machine
from trtproof.measure.disturbed import RoundEvidence
from trtproof.measure.machine import MachineState, compare_states, describe_setting, read_state

PRESSURE = "some avg10=0.00 avg60=0.10 avg300=0.20 total=123456\nfull avg10=0.00 total=0\n"
STAT = """cpu  10 20 30 40 50 60 70 88 5 6
cpu0 1 2 3 1000 1000 4 5 9000
cpu1 10 20 30 1000 1000 40 50 9000
cpu2 9000 9000 9000 9000 9000 9000 9000 9000
intr 1
"""
CPUINFO = "processor : 0\ncpu MHz\t\t: 2000.5\n\nprocessor : 1\ncpu MHz\t\t: 3000.5\n"


CLEAR: dict[str, Any] = {"at_ns": 0, "busy_ns": None, "own_ns": None, "cores_count": None}


def make_proc(root: Path) -> Path:
    (root / "pressure").mkdir(parents=True)
    (root / "loadavg").write_text("1.50 1.00 0.50 2/300 4321\n", encoding="ascii")
    (root / "pressure" / "cpu").write_text(PRESSURE, encoding="ascii")
    (root / "stat").write_text(STAT, encoding="ascii")
    (root / "cpuinfo").write_text(CPUINFO, encoding="ascii")
    return root


def test_the_counters_are_read(tmp_path: Path) -> None:
    state = read_state(make_proc(tmp_path))
    assert replace(state, **CLEAR) == MachineState(0, 1.5, 123456, 88, 368, 2500.5)
    assert state.at_ns > 0


def test_only_the_usable_cores_count_as_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: [0, 1])
    state = read_state(make_proc(tmp_path))
    assert state.busy_ns == 165 * 10**9 // os.sysconf("SC_CLK_TCK")
    assert state.cores_count == 2


def test_time_that_children_take_is_our_own() -> None:
    before = read_state()
    code = "from time import process_time as t\nwhile t() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        after = read_state()
        child.kill()
    assert before.own_ns is not None
    assert after.own_ns is not None
    assert after.own_ns - before.own_ns >= 250_000_000


def test_what_the_system_does_not_say_is_absent_and_not_zero(tmp_path: Path) -> None:
    state = read_state(tmp_path)
    assert state.busy_ns is None
    assert replace(state, **CLEAR) == MachineState(at_ns=0)


def test_a_round_is_the_difference_of_two_readings() -> None:
    before = MachineState(0, pressure_us=1000, steal_ticks=5, total_ticks=100)
    after = MachineState(2_000_000_000, pressure_us=401_000, steal_ticks=9, total_ticks=500)
    assert compare_states(before, after) == RoundEvidence(pressure_share=0.2, steal_share=0.01)


def busy(at_s: float, busy_s: float, own_s: float, cores: int = 2) -> MachineState:
    times = (int(value * 1e9) for value in (at_s, busy_s, own_s))
    at_ns, busy_ns, own_ns = times
    return MachineState(at_ns, busy_ns=busy_ns, own_ns=own_ns, cores_count=cores)


def test_what_others_took_of_our_cores_is_foreign() -> None:
    found = compare_states(busy(10, 5, 1), busy(14, 10, 4))
    assert found.foreign_share == pytest.approx((5 - 3) / (4 * 2))


def test_coarse_ticks_never_give_a_negative_share() -> None:
    assert compare_states(busy(0, 0, 0), busy(1, 0.99, 1.0)).foreign_share == 0


def test_an_unknown_part_gives_no_foreign_share() -> None:
    assert compare_states(MachineState(0, busy_ns=0), busy(1, 1, 1)).foreign_share is None


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
