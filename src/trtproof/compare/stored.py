"""The recorded sessions of two revisions, where both were measured alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trtproof import artifacts
from trtproof.compare.pairs import Absent, Pair
from trtproof.compare.result import TimeChange
from trtproof.compare.revision import Revision, fetch_folder
from trtproof.compare.stored_verdict import StoredValues, judge_stored
from trtproof.hardware import Hardware
from trtproof.measure.disturbed import Selection
from trtproof.measure.protocols import require_one_protocol
from trtproof.measure.ratios import hodges_lehmann
from trtproof.measure.samples import read_samples
from trtproof.measure.schedule import AGAIN
from trtproof.measure.verdict import RoundValues, VerdictRule
from trtproof.report.comparisons import DECISIVE, SHOWN, TITLES, Device
from trtproof.report.figures import NotMeasured, Timing, measured_batches, time_contender
from trtproof.report.left_out import read_selection

if TYPE_CHECKING:
    from pandas import DataFrame

FILES: Final = ("run.json", "samples.parquet")
YARDSTICK: Final = (
    "it is the yardstick of recorded sessions, so its own change cannot be told; compare without "
    "--stored"
)


@dataclass(frozen=True)
class Recorded:
    """One revision's session."""

    run: Mapping[str, Any]
    samples: DataFrame
    selection: Selection

    @property
    def reference(self) -> str:
        """Return the variant that all others were measured beside."""
        return str(self.run["reference"])


def load_recorded(revision: Revision) -> Recorded:
    """Return what the benchmark left at a revision.

    Raises:
        InputError: no benchmark ran, or DVC's cache lacks its result.
    """
    folder = revision.root / artifacts.BENCHMARK
    if revision.commit:
        fetch_folder(revision, artifacts.BENCHMARK, only=FILES)
    run = artifacts.read_json(folder / FILES[0], made_by="benchmark")
    samples = read_samples(artifacts.require(folder / FILES[1], made_by="benchmark"))
    return Recorded(run, samples, read_selection(samples, run))


@dataclass(frozen=True)
class Recordings:
    """The sessions of both sides."""

    before: Recorded
    after: Recorded

    def judge_pairs(
        self, pairs: Sequence[Pair], hardware: Hardware
    ) -> tuple[list[TimeChange], list[Absent]]:
        """Return every figure's change of every pair, and why others have none."""
        changes: list[TimeChange] = []
        absent: list[Absent] = []
        for pair in pairs:
            if why := self._why_not(pair):
                absent.append(why)
                continue
            for batch in measured_batches(self.after.samples):
                found = self._judge_pair(pair, batch, _find_device(hardware, pair, self.after))
                if isinstance(found, Absent):
                    absent.append(found)
                else:
                    changes += found
        return changes, absent

    def _why_not(self, pair: Pair) -> Absent | None:
        if pair.variant == self.after.reference:
            return Absent(pair.variant, YARDSTICK, blocks=False)
        for session, side in ((self.before, pair.base), (self.after, pair.work)):
            timed = session.run["variants"].get(pair.variant, {}).get("plan_sha256")
            if timed != side.record.plan_sha256:
                why = "the recorded session timed another plan; run `dvc repro benchmark`"
                return Absent(pair.variant, why, blocks=True)
        built_for = (pair.base.record.facts, pair.work.record.facts)
        unlike = [key for key in built_for[1] if built_for[0].get(key) != built_for[1][key]]
        if unlike:
            shown = "; ".join(
                f"{key}: {built_for[0].get(key)} -> {built_for[1][key]}" for key in unlike
            )
            return Absent(
                pair.variant, f"built for another machine or version ({shown})", blocks=True
            )
        return None

    def _judge_pair(self, pair: Pair, batch: int, device: Device) -> list[TimeChange] | Absent:
        sides = [_read_side(session, pair.variant, batch) for session in (self.before, self.after)]
        for side in sides:
            if isinstance(side, NotMeasured):
                return Absent(pair.variant, f"batch {batch}: {side.reason}", blocks=True)
        before, after = (side for side in sides if isinstance(side, _Side))
        protocols = (before.variant.protocol, after.variant.protocol)
        require_one_protocol(protocols, what=f"{pair.variant} at batch {batch}")
        changes = []
        for key in SHOWN[device]:
            figure = self.after.run["figures"].get(key)
            if figure is None or not (before.has(key) and after.has(key)):
                continue
            rule = VerdictRule(float(figure["minimum_effect"]), str(self.after.run["profile"]))
            verdict = judge_stored(before.values(key), after.values(key), rule)
            changes.append(
                TimeChange(
                    variant=pair.variant,
                    batch=batch,
                    figure=key,
                    title=TITLES[key],
                    verdict=verdict,
                    decides=key in DECISIVE[device] and verdict.gates,
                    before_ms=before.centre(key),
                    after_ms=after.centre(key),
                )
            )
        return changes


@dataclass(frozen=True)
class _Side:
    """One session's timings at one batch size that a change needs."""

    reference: Timing
    again: Timing
    variant: Timing
    selection: Selection

    def has(self, key: str) -> bool:
        """Say whether every contender has a figure in some round that counts."""
        parts = [timing.values_ms.get(key, {}) for timing in self._timings]
        return bool(set(self.selection.kept).intersection(*parts))

    def values(self, key: str) -> StoredValues:
        """Return one figure's values by round."""
        reference, again, variant = (timing.values_ms[key] for timing in self._timings)
        values = RoundValues(reference, again, variant, self.reference.sessions)
        return StoredValues(values, self.selection)

    def centre(self, key: str) -> float:
        """Return the variant's figure over the rounds that count, in milliseconds."""
        values = self.variant.values_ms[key]
        return hodges_lehmann([values[number] for number in self.selection.kept])

    @property
    def _timings(self) -> tuple[Timing, Timing, Timing]:
        return self.reference, self.again, self.variant


def _read_side(session: Recorded, variant: str, batch: int) -> _Side | NotMeasured:
    names = (session.reference, f"{session.reference}{AGAIN}", variant)
    timings = [time_contender(session.samples, name, batch) for name in names]
    for timing in timings:
        if isinstance(timing, NotMeasured):
            return timing
    reference, again, own = (item for item in timings if isinstance(item, Timing))
    return _Side(reference, again, own, session.selection)


def _find_device(hardware: Hardware, pair: Pair, session: Recorded) -> Device:
    """Return the noisier of the two devices that a variant and the reference run on."""
    backend = str(session.run["variants"].get(session.reference, {}).get("backend"))
    backends = {backend, pair.work.record.backend}
    kinds = {hardware.engine.get(name, {}).get("device") for name in backends}
    return "cpu" if "cpu" in kinds else "gpu"
