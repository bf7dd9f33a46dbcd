"""`trtproof compare`: what became of every variant since a revision."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trtproof import artifacts, data
from trtproof.benchmark_config import BenchmarkConfig
from trtproof.budget_config import CompareConfig
from trtproof.compare import paired, stored
from trtproof.compare.fingerprint import compare_fingerprints
from trtproof.compare.output import write_outputs
from trtproof.compare.paired import Setting
from trtproof.compare.pairs import Absent, Matching, match_variants
from trtproof.compare.result import Comparison, Mode, ScoreChange, SizeChange, Subject
from trtproof.compare.revision import (
    SHORT,
    Revision,
    fetch_sources,
    open_revision,
    open_workspace,
)
from trtproof.compare.scores import compare_scores
from trtproof.compare.sizes import compare_sizes
from trtproof.config import load_section
from trtproof.dvc_state import read_states, run_probe
from trtproof.errors import InputError
from trtproof.hardware import Hardware, load_hardware
from trtproof.measure.contenders import take_items
from trtproof.progress import note
from trtproof.registry import extend_path
from trtproof.why import Verdict, forecast

FOLDER: Final = artifacts.ROOT / "compare"
MOMENT: Final = "seconds"


@dataclass(frozen=True)
class Sides:
    """Both revisions, what they have in common, and this machine.

    `stale` are the stages that the workspace would have to run first.
    """

    base: Revision
    work: Revision
    matching: Matching
    hardware: Hardware
    reference: str
    stale: Mapping[str, str]


def run_compare(name: str, mode: Mode) -> tuple[Comparison, Path]:
    """Compare the workspace with a revision; return what was found and the folder it lies in.

    Raises:
        InputError: there is no such revision, DVC's cache lacks a result of it, or the workspace
            is not up to date; the message names the command that repairs it.
        BackendError: a plan cannot be run.
    """
    extend_path(load_section(list[str], "pythonpath"))
    with tempfile.TemporaryDirectory(prefix="trtproof-") as temporary:
        base, work = open_revision(name, Path(temporary)), open_workspace()
        run_probe()
        stale = find_stale()
        require_up_to_date(stale, "build@" if mode is Mode.PAIRED else "benchmark")
        sides = Sides(
            base=base,
            work=work,
            matching=match_variants(base, work),
            hardware=load_hardware(),
            reference=load_section(str, "reference"),
            stale=stale,
        )
        found, session = compare_revisions(sides, mode)
        suffix = "" if mode is Mode.PAIRED else f"-{mode}"
        folder = FOLDER / f"{base.commit[:SHORT]}{suffix}"
        write_outputs(folder, found, session)
    return found, folder


def find_stale() -> dict[str, str]:
    """Return the workspace's stages that `dvc repro` would run -> what it would do with them."""
    settled = (Verdict.UP_TO_DATE, Verdict.JUST_RAN)
    return {
        item.name: item.verdict.value
        for item in forecast(read_states())
        if item.verdict not in settled
    }


def require_up_to_date(stale: Mapping[str, str], prefix: str) -> None:
    """Refuse to compare what `dvc repro` would make anew.

    Args:
        stale: the stages that it would run.
        prefix: of the names of the stages that must not be among them.

    Raises:
        InputError: one is; names it.
    """
    for name, what in stale.items():
        if name.startswith(prefix):
            raise InputError(
                f"{name} is not up to date in the workspace ({what}); run `dvc repro` first "
                "(`trtproof why` says what changed)"
            )


def compare_revisions(sides: Sides, mode: Mode) -> tuple[Comparison, paired.Session | None]:
    """Return what was found, and the session if one was run for it."""
    if mode is Mode.STORED:
        return compare_stored(sides), None
    config = paired.latency_only(load_section(BenchmarkConfig, "benchmark"))
    pythonpath = tuple(load_section(list[str], "pythonpath"))
    setting = Setting(
        hardware=sides.hardware,
        config=config,
        base_pythonpath=fetch_sources(sides.base, pythonpath),
        work_pythonpath=pythonpath,
    )
    lineup = paired.line_up_pairs(sides.matching.pairs, sides.reference, setting)
    if not lineup.pairs:
        subject = _subject(sides, mode, profile=config.profile, measured="nothing was run")
        absent = [*sides.matching.absent, *lineup.absent]
        return Comparison(subject, absent=absent), None
    note(
        f"timing {', '.join(pair.variant for pair in lineup.pairs)} of {sides.base.title} and of "
        f"the workspace in one session, at most about {config.max_minutes:g} minutes"
    )
    moment = datetime.now(UTC).isoformat(sep=" ", timespec=MOMENT)
    items = take_items(data.open_split("evaluation"), config)
    session = paired.run_pairs(lineup, items.feeds, setting)
    times, absent = paired.judge_pairs(session, setting)
    plain = _compare_plain(sides)
    found = Comparison(
        subject=_subject(sides, mode, profile=config.profile, measured=f"{moment}, one session"),
        times=times,
        scores=plain.scores,
        sizes=plain.sizes,
        absent=[*sides.matching.absent, *lineup.absent, *absent, *plain.absent],
        notes=[*_paired_notes(lineup, session), *plain.notes],
    )
    return found, session


def compare_stored(sides: Sides) -> Comparison:
    """Return what two recorded sessions say.

    Raises:
        InputError: one side has no session, or DVC's cache lacks it.
    """
    before, after = stored.load_recorded(sides.base), stored.load_recorded(sides.work)
    moments = " and ".join(str(one.run.get("started_at")) for one in (before, after))
    subject = _subject(
        sides, Mode.STORED, profile=str(after.run["profile"]), measured=f"recorded {moments}"
    )
    refused = compare_fingerprints(sides.base, before.run, sides.work, after.run)
    plain = _compare_plain(sides)
    if refused:
        absent = [*sides.matching.absent, *plain.absent]
        return Comparison(
            subject,
            scores=plain.scores,
            sizes=plain.sizes,
            absent=absent,
            refused=refused,
            notes=plain.notes,
        )
    recordings = stored.Recordings(before, after)
    times, missing = recordings.judge_pairs(sides.matching.pairs, sides.hardware)
    return Comparison(
        subject,
        times=times,
        scores=plain.scores,
        sizes=plain.sizes,
        absent=[*sides.matching.absent, *missing, *plain.absent],
        notes=plain.notes,
    )


@dataclass(frozen=True)
class Plain:
    """What needs no clock."""

    scores: Sequence[ScoreChange]
    sizes: Sequence[SizeChange]
    absent: Sequence[Absent]
    notes: Sequence[str]


def _compare_plain(sides: Sides) -> Plain:
    config = load_section(CompareConfig, "compare")
    scores: list[ScoreChange] = []
    absent: list[Absent] = []
    for pair in sides.matching.pairs:
        stage = f"evaluate@{pair.variant}"
        if stage in sides.stale:
            reason = f"{stage} is not up to date; run `dvc repro`"
            absent.append(Absent(f"{pair.variant}, scores", reason, blocks=False))
            continue
        changes, missing = compare_scores(sides.base, sides.work, pair, config.score)
        scores += changes
        absent += missing
    return Plain(
        scores=scores,
        sizes=[size for pair in sides.matching.pairs for size in compare_sizes(pair, config)],
        absent=absent,
        notes=[
            f"{pair.variant}: both revisions have the same plan and run it the same way"
            for pair in sides.matching.pairs
            if pair.is_identical
        ],
    )


def _paired_notes(lineup: paired.Lineup, session: paired.Session) -> Sequence[str]:
    left_out = len(session.selection.left_out)
    notes = [
        f"the noise is that of {lineup.control} of the base revision run twice in the same session"
    ]
    if left_out:
        notes.append(f"rounds left out for all alike, because others disturbed them: {left_out}")
    return notes


def _subject(sides: Sides, mode: Mode, *, profile: str, measured: str) -> Subject:
    return Subject(
        mode=mode,
        base=sides.base.title,
        work=sides.work.title,
        commit=sides.base.commit,
        profile=profile,
        slug=sides.hardware.slug,
        measured=measured,
    )
