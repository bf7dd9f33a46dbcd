"""Stages run in this process here, so the guard against unkeyed files stays off: it is for good.

Real runs of the stages, and the tests of the guard itself, have it on.
"""

from __future__ import annotations

import pytest

from trtproof import stage


@pytest.fixture(autouse=True)
def guard_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stage in this process open any file."""
    monkeypatch.setattr(stage, "guard_opens", lambda *_, **__: None)
