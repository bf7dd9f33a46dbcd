"""Calls that a good build or run can do without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

REFUSALS: Final = (AttributeError, TypeError, ValueError, RuntimeError)
"""What the bindings raise: no such member in this version, other arguments, a failed call
(NotImplementedError is a RuntimeError)."""


class OptionalCalls:
    """Collect which calls this TensorRT could not answer; none of them stops a good build."""

    def __init__(self) -> None:
        self.unavailable: dict[str, str] = {}
        """name -> reason, for the sidecar and the report."""

    def optional(self, name: str, call: Callable[[], T]) -> T | None:
        """Return what the call returns; None, and the reason kept, where it cannot be made."""
        try:
            return call()
        except REFUSALS as error:
            first = str(error).strip().partition("\n")[0]
            self.unavailable[name] = f"unavailable: {first or type(error).__name__}"
            return None
