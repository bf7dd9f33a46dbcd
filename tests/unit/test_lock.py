"""One measurement at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtproof.errors import BackendError
from trtproof.measure.lock import hold_device


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_a_held_device_is_refused_after_the_patience_and_said_once() -> None:
    notes: list[str] = []
    with (
        hold_device("gpu", note=notes.append),
        pytest.raises(BackendError, match="another measurement has held"),
        hold_device("gpu", note=notes.append, patience_s=0.6),
    ):
        pass
    assert len(notes) == 1


def test_another_device_is_free() -> None:
    with (
        hold_device("gpu", note=pytest.fail),
        hold_device("cpu", note=pytest.fail, patience_s=0.0) as path,
    ):
        assert path.name == "cpu.lock"


def test_a_released_device_is_free_again() -> None:
    for _ in range(2):
        with hold_device("gpu", note=pytest.fail, patience_s=0.0):
            pass
