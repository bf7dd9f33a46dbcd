"""How long importing libraries takes, also where a backend imports them inside `open`.

Workers import this module: the standard library only.
"""

from __future__ import annotations

import builtins
import sys
from types import TracebackType
from typing import Any, Self

from trtproof.measure.clock import Clock


class ImportTimer:
    """While the `with` block runs, sum the time of import statements, nested ones once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._import = builtins.__import__
        self._depth = 0
        self.spent_ns = 0

    def __enter__(self) -> Self:
        builtins.__import__ = self._timed_import
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        builtins.__import__ = self._import

    def _timed_import(self, *arguments: Any, **named: Any) -> Any:
        if self._depth:
            return self._import(*arguments, **named)
        self._depth += 1
        started = self._clock.now_ns()
        try:
            return self._import(*arguments, **named)
        finally:
            self.spent_ns += self._clock.now_ns() - started
            self._depth -= 1


def imported_packages() -> list[str]:
    """Return the top-level packages in this process that are not Python's own."""
    packages = {name.partition(".")[0] for name in sys.modules}
    return sorted(packages - set(sys.stdlib_module_names))
