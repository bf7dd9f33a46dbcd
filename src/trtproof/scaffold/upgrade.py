"""`trtproof upgrade`: how a project's pipeline differs from the installed version's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from trtproof import artifacts
from trtproof.scaffold.shipped import RECORD, digest, make_record, read_record, shipped_files

PIPELINE: Final = ("dvc.yaml", "stages/")


class Edited(Enum):
    """Who changed a file since the project took it over."""

    HERE = "edited here"
    THERE = "changed by this version"
    BOTH = "edited here, and changed by this version"


@dataclass(frozen=True)
class Difference:
    """One file that differs; `ours` is the project's, None where a side does not have it."""

    path: str
    edited: Edited
    ours: bytes | None
    theirs: bytes | None

    @property
    def can_apply(self) -> bool:
        """Say whether this version's file loses nothing of the user's."""
        return self.edited is Edited.THERE and self.theirs is not None

    def render(self) -> str:
        """Return a line of what it is, and the unified diff from the project's file."""
        lines = difflib.unified_diff(
            _lines(self.ours),
            _lines(self.theirs),
            fromfile=self.path if self.ours is not None else "/dev/null",
            tofile=f"{self.path} (installed)" if self.theirs is not None else "/dev/null",
        )
        return f"{self.path}: {self.edited.value}\n{''.join(lines)}"


def find_differences(project: Path, shipped: Mapping[str, bytes]) -> list[Difference]:
    """Return what differs, by path.

    conf/ is the user's: there only a file counts that this version has changed since the project
    took it over; conf/config.yaml, which begins with the project's own choices, is shown whole.

    Raises:
        InputError: the folder is no project of `trtproof init`.
    """
    taken = read_record(project)
    found = [
        _compare(path, taken.get(path), _read(project / path), shipped.get(path))
        for path in sorted(taken.keys() | shipped.keys())
    ]
    return [difference for difference in found if difference is not None]


def _compare(
    path: str, taken: str | None, ours: bytes | None, theirs: bytes | None
) -> Difference | None:
    if ours == theirs or (ours is None and taken is not None):
        return None  # equal, or the user removed it
    is_new_here = theirs is not None and digest(theirs) != taken
    is_edited = ours is not None and digest(ours) != taken
    if not is_new_here and theirs is not None and not path.startswith(PIPELINE):
        return None
    edited = {(True, True): Edited.BOTH, (True, False): Edited.HERE}.get(
        (is_edited, is_new_here), Edited.THERE
    )
    return Difference(path, edited, ours, theirs)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _lines(content: bytes | None) -> list[str]:
    text = (content or b"").decode(errors="replace")
    return [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]


def run(project: Path, *, apply: bool) -> tuple[str, int]:
    """Return the differences as text, and the exit code: 0 where none is left.

    With `apply`, files that nobody edited here become the installed version's first; settings that
    both sides changed are shown this once, and then count as seen.

    Raises:
        InputError: the folder is no project of `trtproof init`.
    """
    shipped = shipped_files()
    found = find_differences(project, shipped)
    applied = [item for item in found if apply and item.can_apply]
    left = [item for item in found if item not in applied]
    if apply:
        _take_over(project, shipped, applied, seen=left)
    lines = [f"{item.path}: now this version's" for item in applied]
    lines += [item.render() for item in left]
    if applied:
        lines.append("Run `trtproof compose`, then `trtproof why`.")
    return "\n".join(lines) or "nothing differs from the installed version", 1 if left else 0


def _take_over(
    project: Path,
    shipped: Mapping[str, bytes],
    applied: Sequence[Difference],
    *,
    seen: Sequence[Difference],
) -> None:
    """Write the applied files, and note them and the settings that were shown."""
    for item in applied:
        artifacts.write_text(project / item.path, shipped[item.path].decode())
    known = [*applied, *(item for item in seen if item.theirs is not None)]
    taken = {item.path: digest(shipped[item.path]) for item in known}
    artifacts.write_text(project / RECORD, make_record(read_record(project) | taken))
