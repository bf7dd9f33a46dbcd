"""Which variants two revisions have in common, and what each side has of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtproof import artifacts
from trtproof.backends.host import load_signature
from trtproof.compare.revision import Revision, fetch_folder
from trtproof.config import PARAMS_FILE, RunConfig, load_section
from trtproof.errors import ConfigError
from trtproof.sidecar import EngineRecord, read_record


@dataclass(frozen=True)
class Side:
    """One revision's build of a variant: its folder, its record, and how it is run."""

    folder: Path
    record: EngineRecord
    run: RunConfig

    @property
    def is_built(self) -> bool:
        """Say whether there is a plan that is timed."""
        return self.record.status == "built"


@dataclass(frozen=True)
class Pair:
    """One variant at both revisions."""

    variant: str
    base: Side
    work: Side

    @property
    def is_identical(self) -> bool:
        """Say whether both sides run the same bytes in the same way."""
        same_plan = self.base.record.plan_sha256 == self.work.record.plan_sha256
        return same_plan and self.base.run == self.work.run


@dataclass(frozen=True)
class Absent:
    """A variant that is not compared; `blocks` says that it should have been."""

    variant: str
    reason: str
    blocks: bool


@dataclass(frozen=True)
class Matching:
    """All variants of either side."""

    pairs: Sequence[Pair]
    absent: Sequence[Absent]


def match_variants(base: Revision, work: Revision) -> Matching:
    """Return what can be compared of two revisions, and why the rest cannot.

    Plans of the base revision come out of DVC's cache.

    Raises:
        InputError: DVC's cache lacks a plan; the message names the repair.
        MissingFileError, PlanCorruptError: the workspace was not built, or a record is broken.
    """
    before, after = _read_runs(base), _read_runs(work)
    pairs: list[Pair] = []
    absent: list[Absent] = []
    for variant in [*after, *(name for name in before if name not in after)]:
        if variant not in before or variant not in after:
            place = base.title if variant in before else work.title
            absent.append(Absent(variant, f"only in {place}", blocks=False))
            continue
        found = _match(variant, (base, before[variant]), (work, after[variant]))
        if isinstance(found, Pair):
            pairs.append(found)
        else:
            absent.append(found)
    return Matching(pairs, absent)


def _match(
    variant: str, base: tuple[Revision, RunConfig | str], work: tuple[Revision, RunConfig | str]
) -> Pair | Absent:
    sides = []
    for revision, run in (base, work):
        if isinstance(run, str):
            return Absent(variant, run, blocks=True)
        sides.append(_open_side(revision, variant, run))
    pair = Pair(variant, base=sides[0], work=sides[1])
    return why_not_alike(pair) or pair


def why_not_alike(pair: Pair) -> Absent | None:
    """Return why two builds of one name cannot be timed against each other, None where they can."""
    before, after = pair.base, pair.work
    states = (before.record.status, after.record.status)
    if not before.is_built and not after.is_built:
        return Absent(pair.variant, f"{states[1]}: {_why(after.record)}", blocks=False)
    if not before.is_built or not after.is_built:
        lost = before if not before.is_built else after
        reason = f"{states[0]} before, {states[1]} now ({_why(lost.record)})"
        return Absent(pair.variant, reason, blocks=True)
    inputs = [load_signature(side.folder).inputs for side in (before, after)]
    if inputs[0] != inputs[1]:
        return Absent(pair.variant, "its inputs are not the same", blocks=True)
    return None


def _open_side(revision: Revision, variant: str, run: RunConfig) -> Side:
    path = artifacts.build(variant)
    folder = fetch_folder(revision, path) if revision.commit else revision.root / path
    return Side(folder=folder, record=read_record(folder), run=run)


def _read_runs(revision: Revision) -> Mapping[str, RunConfig | str]:
    """Return how each variant is run, or why its settings cannot be read.

    A commit's settings may be of another version of this package.
    """
    path = revision.root / PARAMS_FILE
    found: dict[str, RunConfig | str] = {}
    for variant in load_section(dict[str, object], "variants", path=path):
        try:
            found[variant] = load_section(RunConfig, "variants", variant, "run", path=path)
        except ConfigError as error:
            found[variant] = f"its settings at {revision.title} are of another version ({error})"
    return found


def _why(record: EngineRecord) -> str:
    return record.reason.text if record.reason else record.status
