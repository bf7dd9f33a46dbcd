"""How far a build is: TensorRT's phases and steps as the project's progress lines."""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from trtproof.progress import PLAIN_EVERY_S, note

CARRY_ON: Final = True


def make_monitor(trt: Any, title: str) -> Any:
    """Return a progress monitor that prints a line every few seconds; it never cancels."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """TensorRT calls these from its own threads; an exception in one would be lost."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._last = monotonic()

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
            """Remember how long a phase is."""
            del parent_phase
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Print the step if the last line is a while ago; let the build go on."""
            now = monotonic()
            if now - self._last >= PLAIN_EVERY_S:
                self._last = now
                total = self._steps.get(phase_name, step + 1)
                note(f"{title}: {phase_name}, step {step + 1} of {total}")
            return CARRY_ON

        def phase_finish(self, phase_name: str) -> None:
            """Forget a phase."""
            self._steps.pop(phase_name, None)

    return Monitor()
