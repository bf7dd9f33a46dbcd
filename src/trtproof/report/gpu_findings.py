"""What run.json says of the GPU: its state round by round, energy, and where its memory went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from trtproof import artifacts
from trtproof.measure.disturbed import Cause
from trtproof.measure.samples import ENERGY, MEMORY
from trtproof.report.figures import NotMeasured
from trtproof.report.sources import Sources

NOT_ASKED: Final = "not in this session's profile"
ABSENT: Final = NotMeasured("no benchmark has run; run `dvc repro benchmark`")

Note = Mapping[str, Any]


@dataclass(frozen=True)
class GpuState:
    """The GPU while latency was measured; without `rounds` the run was on a CPU.

    `facts` stay the same during a session. `rounds` are as recorded, left-out ones included.
    `clocks_mhz` is the mean clock by contender and batch size, over its blocks.
    """

    facts: Note = field(default_factory=dict)
    rounds: Sequence[Note] = ()
    clocks_mhz: Mapping[tuple[str, int], float] = field(default_factory=dict)

    def values(self, name: str) -> list[float]:
        """Return a reading in every round that has it."""
        return [float(entry[name]) for entry in self.rounds if entry.get(name) is not None]


@dataclass(frozen=True)
class Energy:
    """One contender at one batch size: millijoules of one inference, one value per window.

    Windows that something disturbed are left out (`left_out_count`) unless all were; `causes` says
    what it was. `agrees` is false where polled power tells otherwise than the counter.
    """

    batch: int
    windows_mj: tuple[float, ...]
    power_w: float
    idle_w: float
    agrees: bool
    left_out_count: int = 0
    causes: Sequence[str] = ()

    @property
    def mj(self) -> float:
        """Return the median over windows."""
        return float(median(self.windows_mj))


@dataclass(frozen=True)
class Ledger:
    """Where one variant's memory on the GPU went, in bytes; `told` is what libraries say of it."""

    batch: int
    parts: Sequence[Note]
    unexplained_bytes: int
    total_bytes: int
    peak_bytes: int
    told: Sequence[Note] = ()


@dataclass(frozen=True)
class GpuFindings:
    """Everything of the GPU, by variant; or why there is nothing."""

    state: GpuState = field(default_factory=GpuState)
    energy: Mapping[str, Sequence[Energy]] | NotMeasured = ABSENT
    memory: Mapping[str, Ledger | NotMeasured] | NotMeasured = ABSENT


def load_gpu(sources: Sources) -> GpuFindings:
    """Return what the session says.

    Raises:
        InputError: run.json is broken.
    """
    record = sources.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    if record is None:
        return GpuFindings()
    notes = record.get("scenarios", {})
    return GpuFindings(
        state=read_state(record),
        energy=_read_energy(notes.get(ENERGY, ())),
        memory=_read_memory(notes.get(MEMORY, ())),
    )


def read_state(record: Note) -> GpuState:
    """Return the GPU's state in every round; empty for a run on a CPU."""
    rounds = [entry["gpu"] for entry in record.get("rounds", ()) if entry.get("gpu")]
    clocks = mean_clocks(record.get("blocks", ()), record.get("disturbed", {}).get("left_out", ()))
    return GpuState(facts=record.get("gpu") or {}, rounds=rounds, clocks_mhz=clocks)


def mean_clocks(blocks: Iterable[Note], left_out: Iterable[int]) -> dict[tuple[str, int], float]:
    """Return the mean clock in MHz by contender and batch size, over the rounds that count."""
    gone = set(left_out)
    clocks: dict[tuple[str, int], list[float]] = {}
    for block in blocks:
        mhz = (block.get("gpu") or {}).get("sm_mhz")
        if mhz is not None and block["round"] not in gone:
            clocks.setdefault((block["contender"], block["batch"]), []).append(float(mhz))
    return {key: sum(values) / len(values) for key, values in clocks.items()}


def _read_energy(notes: Sequence[Note]) -> Mapping[str, Sequence[Energy]] | NotMeasured:
    if (absent := _why_absent(notes)) is not None:
        return absent
    idle_w = next(float(note["power_w"]) for note in notes if note["contender"] is None)
    groups: dict[tuple[str, int], list[Note]] = {}
    for note in notes:
        if note["contender"] is not None:
            groups.setdefault((note["contender"], note["batch"]), []).append(note)
    found: dict[str, list[Energy]] = {}
    for (name, batch), windows in groups.items():
        found.setdefault(name, []).append(_summarise(batch, windows, idle_w))
    return found


def _summarise(batch: int, windows: Sequence[Note], idle_w: float) -> Energy:
    quiet = [note for note in windows if not note["causes"]]
    kept = quiet or windows
    causes = dict.fromkeys(Cause[name.upper()].value for note in windows for name in note["causes"])
    return Energy(
        batch=batch,
        windows_mj=tuple(float(note["mj_per_inference"]) for note in kept),
        power_w=float(median(note["power_w"] for note in kept)),
        idle_w=idle_w,
        agrees=all(note["agrees"] is not False for note in kept),
        left_out_count=len(windows) - len(kept),
        causes=list(causes),
    )


def _read_memory(notes: Sequence[Note]) -> Mapping[str, Ledger | NotMeasured] | NotMeasured:
    if (absent := _why_absent(notes)) is not None:
        return absent
    return {note["contender"]: _read_ledger(note) for note in notes}


def _read_ledger(note: Note) -> Ledger | NotMeasured:
    if "reason" in note:
        return NotMeasured(str(note["reason"]))
    return Ledger(
        batch=note["batch"],
        parts=note["parts"],
        unexplained_bytes=note["unexplained_bytes"],
        total_bytes=note["total_bytes"],
        peak_bytes=note["peak_bytes"],
        told=note["told"],
    )


def _why_absent(notes: Sequence[Note]) -> NotMeasured | None:
    """Return why a scenario has no figures at all; a note of no contender gives the reason."""
    if not notes:
        return NotMeasured(NOT_ASKED)
    return None if "contender" in notes[0] else NotMeasured(str(notes[0]["reason"]))
