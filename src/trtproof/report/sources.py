"""Reading what the other stages wrote, and remembering which files were read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trtproof import artifacts
from trtproof.errors import InputError
from trtproof.tensor import Array

SELF_EVIDENT = ("built", "unavailable")
"""Statuses that a reason for not measuring need not repeat."""

UNTIMED = "evaluated, not timed"
"""What the status `evaluated_only` is called."""


class Sources:
    """Read files that may be missing; every file that was read is in `paths`."""

    def __init__(self) -> None:
        self._paths: set[Path] = set()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files that were read, sorted."""
        return tuple(sorted(self._paths))

    def find(self, path: Path) -> Path | None:
        """Return the path and remember it, or None where there is no such file."""
        if not path.is_file():
            return None
        self._paths.add(path)
        return path

    def read_json(self, path: Path, *, made_by: str) -> dict[str, Any] | None:
        """Return a JSON object, or None where there is no such file.

        Raises:
            InputError: it is not a JSON object.
        """
        found = self.find(path)
        return artifacts.read_json(found, made_by=made_by) if found else None

    def read_arrays(self, path: Path, *, made_by: str) -> dict[str, Array]:
        """Return the arrays of an .npz file by name; none where there is no such file.

        Raises:
            InputError: it is not an .npz file.
        """
        found = self.find(path)
        if found is None:
            return {}
        try:
            with np.load(found, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (ValueError, OSError) as error:
            raise InputError(
                f"{path} is not an .npz file ({error}); run `dvc repro -f {made_by}`"
            ) from None


def reason_text(record: Mapping[str, Any]) -> str:
    """Return one sentence for a record's status and reason: none, a text, or a Reason."""
    status, reason = str(record.get("status", "missing")), record.get("reason")
    if status == "evaluated_only":
        status = UNTIMED
    if not reason:
        return status
    if isinstance(reason, Mapping):
        reason = "; ".join(str(reason[key]) for key in ("text", "repair") if reason.get(key))
    says_it = status in SELF_EVIDENT or str(reason).startswith(UNTIMED)
    return str(reason) if says_it else f"{status}: {reason}"


def _plain(value: Any) -> Any:
    """Return a recorded scalar as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else value


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested facts as "outer inner" -> scalar; empty values and lists of records go."""
    flat: dict[str, Any] = {}
    for key, value in sorted(data.items()):
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            flat |= flatten(value, name)
        elif isinstance(value, list):
            texts = [str(item) for item in value if not isinstance(item, Mapping | list)]
            flat |= {name: ", ".join(texts)} if texts else {}
        elif value is not None and value != "":
            flat[name] = _plain(value)
    return flat
