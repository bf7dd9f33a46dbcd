"""Reading the machine's state."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtproof.backends.host import resolve_threads, usable_cores
from trtproof.measure.machine import MachineState, describe_setting, read_state

PRESSURE = "some avg10=0.00 avg60=0.10 avg300=0.20 total=123456\nfull avg10=0.00 total=0\n"


def make_proc(root: Path) -> Path:
    (root / "pressure").mkdir(parents=True)
    (root / "loadavg").write_text("1.50 1.00 0.50 2/300 4321\n", encoding="ascii")
    (root / "pressure" / "cpu").write_text(PRESSURE, encoding="ascii")
    (root / "stat").write_text("cpu  10 20 30 40 50 60 70 88 0 0\n", encoding="ascii")
    return root


def test_load_pressure_and_stolen_time_are_read(tmp_path: Path) -> None:
    assert read_state(make_proc(tmp_path)) == MachineState(1.5, 123456, 88)


def test_what_the_system_does_not_say_is_absent_and_not_zero(tmp_path: Path) -> None:
    assert read_state(tmp_path) == MachineState(None, None, None)


def test_variables_that_change_speed_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("UNRELATED", "x")
    variables = describe_setting()["variables"]
    assert variables["OMP_WAIT_POLICY"] == "active"
    assert "UNRELATED" not in variables


def test_zero_threads_take_every_usable_core() -> None:
    assert resolve_threads(0) == len(usable_cores())
    assert resolve_threads(3) == 3
