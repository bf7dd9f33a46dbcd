"""The plans of two revisions timed side by side, in one interleaved session with an A/A control.

Both sides run under this package's code and on this machine, so that what differs is the plan, how
it is run, and the user's own package of a PyTorch reference. The control is one plan of the base
revision run twice; its per-round ratios are the noise of every pair.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from trtproof.benchmark_config import BenchmarkConfig
from trtproof.compare.pairs import Absent, Pair, Side
from trtproof.compare.result import TimeChange
from trtproof.errors import BackendError, ConfigError, PlanForeignError
from trtproof.hardware import Hardware
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.contenders import enter_plan, identify_device
from trtproof.measure.disturbed import Selection
from trtproof.measure.gpu_state import watch_gpu
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.link import Contender
from trtproof.measure.lock import hold_device
from trtproof.measure.ratios import hodges_lehmann
from trtproof.measure.rounds import SessionRecord
from trtproof.measure.samples import make_samples
from trtproof.measure.schedule import name_contenders
from trtproof.measure.session import run_sessions
from trtproof.progress import note
from trtproof.report.carried_noise import carry_noise
from trtproof.report.clock_check import check_verdict
from trtproof.report.comparisons import Device, Judge
from trtproof.report.figures import NotMeasured, Timing, time_contender
from trtproof.report.gpu_findings import mean_clocks
from trtproof.tensor import Feeds

if TYPE_CHECKING:
    from pandas import DataFrame

BASE: Final = "@base"
WORK: Final = "@work"
"""Suffixes of a variant's two contenders."""


@dataclass(frozen=True)
class Setting:
    """What is equal for all pairs; `pythonpath` holds the user's packages at either revision."""

    hardware: Hardware
    config: BenchmarkConfig
    base_pythonpath: tuple[str, ...]
    work_pythonpath: tuple[str, ...]


def latency_only(config: BenchmarkConfig) -> BenchmarkConfig:
    """Return the settings without the scenarios that a comparison does not run."""
    return msgspec.structs.replace(
        config, throughput=None, sustained=None, cold=None, energy=None, memory_ledger=False
    )


@dataclass(frozen=True)
class Lineup:
    """The pairs that can be timed here with their contenders, and why others cannot."""

    pairs: Sequence[Pair]
    contenders: Sequence[Contender]
    control: str
    absent: Sequence[Absent]


@dataclass(frozen=True)
class Session:
    """What was measured: every request, and which rounds count."""

    lineup: Lineup
    record: SessionRecord
    samples: DataFrame
    selection: Selection


def line_up_pairs(pairs: Sequence[Pair], reference: str, setting: Setting) -> Lineup:
    """Return the contenders in the first round's order: both sides of each variant, then control.

    A base plan that was built for another machine or version is left out and blocks.

    Raises:
        PlanError: a plan is damaged, or one of the workspace is not for this machine.
        ConfigError: a batch size that a plan of the workspace was not built for.
    """
    entered: dict[str, tuple[Contender, Contender]] = {}
    kept, absent = [], []
    for pair in pairs:
        after = _enter(pair.work, setting, setting.work_pythonpath)
        try:
            before = _enter(pair.base, setting, setting.base_pythonpath)
        except (PlanForeignError, ConfigError) as error:
            absent.append(Absent(pair.variant, _without_repair(error), blocks=True))
            continue
        kept.append(pair)
        entered[pair.variant] = (
            replace(before, name=f"{pair.variant}{BASE}"),
            replace(after, name=f"{pair.variant}{WORK}"),
        )
    if not entered:
        return Lineup((), (), "", absent)
    control = reference if reference in entered else next(iter(entered))
    contenders = [side for both in entered.values() for side in both]
    again = name_contenders([item.name for item in contenders], f"{control}{BASE}")[-1]
    contenders.append(replace(entered[control][0], name=again))
    return Lineup(kept, contenders, control, absent)


def run_pairs(
    lineup: Lineup, items: Feeds, setting: Setting, clock: MonotonicClock | None = None
) -> Session:
    """Time all contenders of both revisions.

    Raises:
        BackendError: a worker fails, or a plan answers otherwise at a batch than one by one.
    """
    device = identify_device(setting.hardware)
    with (
        tempfile.TemporaryDirectory(prefix="trtproof-") as folder,
        hold_device(device, note=note),
        watch_gpu(setting.hardware) as gpu,
    ):
        inputs = SessionInputs(lineup.contenders, items, setting.config, device, gpu=gpu)
        record = run_sessions(
            Launcher(inputs, Path(folder)),
            reference=f"{lineup.control}{BASE}",
            clock=clock or MonotonicClock(),
        )
    if record.plan is None:
        problem = "the session ended before it measured anything"
        raise BackendError(problem)
    selection = record.select(setting.config.disturbance)
    samples = make_samples(record.blocks, left_out=selection.left_out)
    return Session(lineup, record, samples, selection)


def judge_pairs(session: Session, setting: Setting) -> tuple[list[TimeChange], list[Absent]]:
    """Return every figure's change of every pair, and the pairs that no round counted for."""
    changes: list[TimeChange] = []
    absent: list[Absent] = []
    for batch in setting.config.batches:
        for pair in session.lineup.pairs:
            found = _judge_pair(session, pair, batch, setting)
            if isinstance(found, NotMeasured):
                reason = f"batch {batch}: {found.reason}"
                absent.append(Absent(pair.variant, reason, blocks=True))
            else:
                changes += found
    return changes, absent


def _judge_pair(
    session: Session, pair: Pair, batch: int, setting: Setting
) -> list[TimeChange] | NotMeasured:
    control = session.lineup.control
    names = (f"{pair.variant}{BASE}", f"{pair.variant}{WORK}")
    own = [f"{control}{BASE}"]
    again = name_contenders(own, own[0])[-1]
    timings = [time_contender(session.samples, name, batch) for name in (*names, *own, again)]
    for timing in timings:
        if isinstance(timing, NotMeasured):
            return timing
    before, after, first, second = (item for item in timings if isinstance(item, Timing))
    judge = Judge(
        device=find_device(setting.hardware, pair),
        profile=setting.config.profile,
        selection=session.selection,
        minimum_effects={
            name: figure.minimum_effect for name, figure in setting.config.figures.items()
        },
    )
    found = list_changes(judge, pair.variant, before, after, carry_noise(before, first, second))
    if isinstance(found, NotMeasured):
        return found
    clocks = mean_clocks(session.record.block_notes, session.selection.left_out)
    return check_changes(found, [clocks.get((name, batch)) for name in names], judge)


def list_changes(
    judge: Judge, variant: str, before: Timing, after: Timing, again: Timing
) -> list[TimeChange] | NotMeasured:
    """Return one change per figure that is compared on the judge's device."""
    found = judge.compare(before, again, after)
    if isinstance(found, NotMeasured):
        return found
    return [
        TimeChange(
            variant=variant,
            batch=before.batch,
            figure=key,
            title=one.title,
            verdict=one.verdict,
            decides=one.decides,
            before_ms=_centre(before.values_ms[key], judge.selection),
            after_ms=_centre(after.values_ms[key], judge.selection),
        )
        for key, one in found.items()
    ]


def check_changes(
    changes: Sequence[TimeChange], clocks_mhz: Sequence[float | None], judge: Judge
) -> list[TimeChange]:
    """Return the changes, those that only the clocks of the two sides explain as INCONCLUSIVE."""
    before, after = clocks_mhz
    if not before or not after:
        return list(changes)
    return [
        replace(
            change,
            verdict=check_verdict(
                change.verdict, before, after, judge.minimum_effects[change.figure]
            ),
        )
        for change in changes
    ]


def find_device(hardware: Hardware, pair: Pair) -> Device:
    """Return which kind of device a variant runs on."""
    facts: Mapping[str, Any] = hardware.engine.get(pair.work.record.backend, {})
    return "cpu" if facts.get("device") == "cpu" else "gpu"


def _centre(values: Mapping[int, float], selection: Selection) -> float:
    kept = [value for number, value in values.items() if number in selection.kept]
    return hodges_lehmann(kept or list(values.values()))


def _enter(side: Side, setting: Setting, pythonpath: tuple[str, ...]) -> Contender:
    return enter_plan(
        side.folder,
        side.run,
        hardware=setting.hardware,
        config=setting.config,
        pythonpath=pythonpath,
    )


def _without_repair(error: Exception) -> str:
    """Return an error's text without the command that would repair the workspace."""
    return str(error).rpartition("; run `dvc repro")[0] or str(error)
