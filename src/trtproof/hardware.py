"""hardware.json as a type.

Probing the machine lives in trtproof.probing; deciding what can run, in the backends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtproof import artifacts


@dataclass(frozen=True)
class Hardware:
    """What the probe found.

    `slug` names the device that everything runs on, without dots: metrics are nested under it.
    `engine` maps backend -> what changes the bytes of its plans (`{}` when the backend is not
    here). `bench` is what changes timings only.
    """

    slug: str
    engine: Mapping[str, Mapping[str, Any]]
    bench: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for hardware.json."""
        return {
            "schema": 1,
            "slug": self.slug,
            "engine": {name: dict(facts) for name, facts in self.engine.items()},
            "bench": dict(self.bench),
        }


def load_hardware(path: Path = artifacts.HARDWARE) -> Hardware:
    """Return what the probe recorded.

    Raises:
        MissingFileError, InputError: no probe has run, or its file is broken.
    """
    data = artifacts.read_json(path, made_by="probe")
    return Hardware(slug=data["slug"], engine=data["engine"], bench=data["bench"])
