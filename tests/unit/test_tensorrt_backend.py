"""Why TensorRT cannot be used here, in the order of what to repair first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trtproof.backends.base import RunOptions
from trtproof.backends.tensorrt import BACKEND
from trtproof.errors import BackendError

WHOLE: dict[str, Any] = {"bindings": "11.4", "libraries": "11.4", "gpu": "H200"}


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, "no_bindings"),
        ({"bindings": "11.4"}, "no_libraries"),
        ({"bindings": "11.4", "libraries": "11.4"}, "no_gpu"),
        (WHOLE, "not_yet"),
    ],
)
def test_the_first_thing_missing_is_named(facts: dict[str, Any], code: str) -> None:
    reason = BACKEND.unavailable(facts, "fp16")
    assert reason is not None
    assert reason.code == code


def test_opening_is_refused_in_the_same_words(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="cannot build TensorRT engines yet"):
        BACKEND.open(tmp_path, "engine.plan", RunOptions(threads=1))
