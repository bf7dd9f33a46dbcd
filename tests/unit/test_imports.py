"""Timing import statements."""

from __future__ import annotations

import builtins

import pytest
from tests.fakes import FakeClock

from trtproof.measure.imports import ImportTimer


def test_only_imports_are_timed_and_nested_ones_once() -> None:
    clock = FakeClock([10])
    with ImportTimer(clock) as timer:
        clock.now_ns()
        import json.tool  # noqa: F401 - imports others in turn, at least the first time
    assert timer.spent_ns == 10


def test_a_failed_import_counts_and_the_statement_is_itself_again() -> None:
    original = builtins.__import__
    timer = ImportTimer(FakeClock([10]))
    with pytest.raises(ModuleNotFoundError), timer:
        import no_such_module_here  # type: ignore[import-not-found]  # noqa: F401
    assert timer.spent_ns == 10
    assert builtins.__import__ is original
