"""How long each stage took last, for `trtproof why`; never an output, so it changes no result."""

from __future__ import annotations

import json
import os
from pathlib import Path

from trtproof import artifacts
from trtproof.file_cache import FOLDER

SUBFOLDER = "seconds"
"""Below file_cache.FOLDER."""

STAGE_NAME = "DVC_STAGE"
"""DVC sets it for the commands that it runs, as in "build@tensorrt-fp16"."""


def record_seconds(seconds: float, project: Path | None = None) -> None:
    """Note how long the running stage took, if DVC runs it and keeps files here."""
    root = project or Path.cwd()
    name = os.environ.get(STAGE_NAME)
    if name and (root / ".dvc").is_dir():
        artifacts.write_json(_file(root, name), {"seconds": round(seconds, 3)})


def recorded_seconds(name: str, project: Path | None = None) -> float | None:
    """Return how long a stage took when it last ran here; None when that is not known."""
    try:
        data = json.loads(_file(project or Path.cwd(), name).read_bytes())
        return float(data["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(root: Path, name: str) -> Path:
    return root / FOLDER / SUBFOLDER / f"{name.replace('/', '-').replace(':', '-')}.json"
