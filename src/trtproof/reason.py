"""Why something was not done. In the bottom layer: sidecars, backends and the report share it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """A stable code, a sentence, and the command or key that repairs it."""

    code: str
    text: str
    repair: str

    def to_json(self) -> dict[str, str]:
        """Return plain data for engine.json."""
        return {"code": self.code, "text": self.text, "repair": self.repair}
