"""One configuration of a sweep: a variant at a batch size and a number of streams, in one job.

What a cell has of a figure comes out of the metrics that the report wrote, with the intervals that
decide there; nothing is measured or estimated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trtproof.choice.figures import Figure, Kind
from trtproof.choice.results import JobResult
from trtproof.measure.quantiles import PUBLISHED
from trtproof.measure.ratios import Bounds
from trtproof.measure.targets import requests_needed
from trtproof.report.deciding import MOSTLY_DISTURBED
from trtproof.report.figures import NotMeasured
from trtproof.report.targets import MOSTLY_DISTURBED as DISTURBED_TEXT

FEWEST: Final = requests_needed(PUBLISHED["p99"], 0)
"""Requests that confirm a P99 where none of them is over its limit."""

NO_INTERVAL: Final = "no interval: too few rounds, windows or requests"


@dataclass(frozen=True)
class Value:
    """A figure of one cell; a limit is met where all of `bounds` are on its better side.

    No bounds: it decides nothing, for the reason `why`. `is_indicative` is true of a time of a run
    too short to decide anything.
    """

    value: float
    bounds: Sequence[Bounds]
    why: str = ""
    is_indicative: bool = False

    @property
    def ends(self) -> Bounds | None:
        """Return what all bounds reach together."""
        if not self.bounds:
            return None
        return min(low for low, _ in self.bounds), max(high for _, high in self.bounds)


@dataclass(frozen=True)
class Cell:
    """One configuration; `result` is the job that measured it."""

    result: JobResult
    variant: str
    batch: int
    streams: int

    @property
    def name(self) -> str:
        """Return how people tell it from others of its job."""
        streams = f"{self.streams} stream{'s' if self.streams > 1 else ''}"
        return f"{self.variant}, batch {self.batch}, {streams}"

    @property
    def title(self) -> str:
        """Return its name with its job."""
        return f"{self.name} (job {self.result.job.number})"

    @property
    def is_reference(self) -> bool:
        """Say whether it is of the variant that all others are compared with."""
        return self.variant == self.result.settings.reference

    @property
    def configuration(self) -> tuple[str, str, int, int]:
        """Return what makes it the same configuration as one of another job.

        The reference is calibrated nowhere, so it is the same one in all of them.
        """
        settings = self.result.settings
        keyed = settings.variant_key if self.is_reference else settings.timing_key
        return self.variant, keyed(self.variant), self.batch, self.streams

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Return the variant's metrics file."""
        return self.result.metrics.get(self.variant, {})

    @property
    def device(self) -> Mapping[str, Any]:
        """Return its figures on the device, empty where nothing was timed."""
        found: Mapping[str, Any] = self.metrics.get(self.result.slug, {})
        return found

    @property
    def why_absent(self) -> str:
        """Return why nothing was measured of the variant, an empty text where something was."""
        if not self.metrics:
            return "the report has no such variant"
        status = str(self.metrics.get("status"))
        if status == "built":
            return ""
        reason = self.metrics.get("reason")
        return f"{status} ({reason})" if reason else status


def list_cells(result: JobResult) -> list[Cell]:
    """Return every cell of a job, the reference's included."""
    return [
        Cell(result, name, batch, streams)
        for name in result.settings.variants
        for batch, streams in result.settings.points
    ]


def measure(figure: Figure, cell: Cell) -> Value | NotMeasured:
    """Return what a cell has of a figure, or why it has nothing."""
    found = READERS[figure.kind](figure, cell)
    if isinstance(found, NotMeasured) or not figure.is_timed:
        return found
    why, bounds = found.why, found.bounds
    if MOSTLY_DISTURBED in cell.device:
        why, bounds = DISTURBED_TEXT, ()
    return Value(found.value, bounds, why, cell.result.settings.is_indicative)


def _latency(figure: Figure, cell: Cell) -> Value | NotMeasured:
    """With one stream the latency scenario counts, which has more requests than a window."""
    load = f"load_b{cell.batch}_s{cell.streams}"
    own: Mapping[str, Any] = {}
    if cell.streams == 1:
        own = cell.device.get(f"latency_b{cell.batch}_ms", {})
    own = own or cell.device.get(f"{load}_ms", {})
    gate = _ends(own, f"{figure.key}_gate_")
    if figure.key in own:
        bounds = [item for item in (gate, _ends(own, f"{figure.key}_ci_")) if item]
        if figure.key != "p50":
            bounds = [gate] if gate else []  # counted requests decide, as in the budget
        return Value(float(own[figure.key]), bounds if gate else (), "" if gate else NO_INTERVAL)
    if gate is not None:
        why = "too few requests for a P99: the least latency that they confirm"
        return Value(gate[1], [gate], why)
    if own:
        return NotMeasured(f"too few requests for a {figure.key.upper()}: it takes {FEWEST}")
    return _absent(cell, f"no {figure.name} at batch {cell.batch} with {cell.streams} streams")


def _rate(_: Figure, cell: Cell) -> Value | NotMeasured:
    found = cell.device.get(f"load_b{cell.batch}_s{cell.streams}_ips")
    if found is not None:
        gate = _ends(found, "gate_")
        return Value(float(found["value"]), [gate] if gate else (), "" if gate else NO_INTERVAL)
    plain = cell.device.get(f"throughput_b{cell.batch}_ips") if cell.streams == 1 else None
    if plain is not None:
        why = f"no interval: benchmark.throughput has no batch {cell.batch} with 1 stream"
        return Value(float(plain), (), why)
    return _absent(cell, f"no throughput at batch {cell.batch} with {cell.streams} streams")


def _speed(figure: Figure, cell: Cell) -> Value | NotMeasured:
    if cell.streams > 1:
        return NotMeasured("speed-up is of one request in flight")
    if cell.is_reference:
        return Value(1.0, [(1.0, 1.0)], "the reference itself")
    middle = f"_{figure.key}" if figure.key else ""
    found = cell.device.get(f"speedup{middle}_b{cell.batch}_ratio")
    if found is None:
        return _absent(cell, f"no {figure.name} at batch {cell.batch}")
    return _with_both(found)


def _energy(figure: Figure, cell: Cell) -> Value | NotMeasured:
    """Return the median over windows, which are too few for an interval."""
    if cell.streams > 1:
        return NotMeasured("energy is of one request in flight")
    found = cell.device.get(f"energy_b{cell.batch}")
    if found is None:
        return _absent(cell, f"no {figure.name} at batch {cell.batch}")
    return Value(float(found["gpu_mj_per_sample"]), (), "no interval: windows of energy are few")


def _gpu_memory(figure: Figure, cell: Cell) -> Value | NotMeasured:
    found = cell.device.get("gpu_memory_mib", {}).get(figure.key)
    if found is None:
        return _absent(cell, f"no {figure.name}")
    return Value(float(found), [(float(found), float(found))])


def _variant(figure: Figure, cell: Cell) -> Value | NotMeasured:
    if cell.is_reference and figure.unit == "ratio":
        return Value(1.0, [(1.0, 1.0)], "the reference itself")
    found = cell.device.get(figure.name)
    if found is None:
        return _absent(cell, f"no {figure.name}")
    if not isinstance(found, Mapping):
        return Value(float(found), [(float(found), float(found))])
    gate = _ends(found, "gate_")
    return Value(float(found["value"]), [gate] if gate else (), "" if gate else NO_INTERVAL)


def _score(figure: Figure, cell: Cell) -> Value | NotMeasured:
    if cell.is_reference and figure.kind is Kind.DROP:
        return Value(0.0, [(0.0, 0.0)], "the reference itself")
    scores: Mapping[str, Any] = cell.metrics.get("scores", {})
    if figure.name not in scores:
        return _absent(cell, f"no {figure.name}: not scored, or the data have no labels")
    gate = _ends(scores, f"{figure.name}_gate_")
    why = ""
    if gate is None:
        why = "no interval"
        if figure.kind is Kind.SCORE:
            why += f"; a limit in budget.scores.{figure.name} makes the report compute one"
    return Value(float(scores[figure.name]), [gate] if gate else (), why)


READERS: Final[Mapping[Kind, Callable[[Figure, Cell], Value | NotMeasured]]] = {
    Kind.LATENCY: _latency,
    Kind.RATE: _rate,
    Kind.SPEED: _speed,
    Kind.ENERGY: _energy,
    Kind.GPU_MEMORY: _gpu_memory,
    Kind.VARIANT: _variant,
    Kind.DROP: _score,
    Kind.SCORE: _score,
}


def _with_both(found: Mapping[str, Any]) -> Value:
    """Return a ratio that only both of its intervals together decide, as in the budget."""
    bounds = [item for item in (_ends(found, "gate_"), _ends(found, "ci_")) if item]
    both = len(bounds) == len(("gate", "ci"))
    return Value(float(found["value"]), bounds if both else (), "" if both else NO_INTERVAL)


def _absent(cell: Cell, otherwise: str) -> NotMeasured:
    return NotMeasured(cell.why_absent or otherwise)


def _ends(found: Mapping[str, Any], prefix: str) -> Bounds | None:
    low, high = found.get(f"{prefix}lo"), found.get(f"{prefix}hi")
    return None if low is None or high is None else (float(low), float(high))
