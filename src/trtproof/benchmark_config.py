"""The settings of conf/benchmark as types."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trtproof.setting_types import Fraction, Name, NonNegative, Positive, PositiveFloat, Section


class WarmupConfig(Section, frozen=True):
    """How long a worker runs before anything counts, and how its blocks begin."""

    seconds: PositiveFloat
    cap_seconds: PositiveFloat
    iterations: Positive
    block_iterations: NonNegative
    block_seconds: Annotated[float, Meta(ge=0)]


FigureName = Literal["wall_p10", "wall_p50", "wall_p99", "cpu_p50", "device_p50"]
"""A percentile of a request's wall time, of its processor time, or of a launch's device time."""


class FigureConfig(Section, frozen=True):
    """One compared figure; both numbers are shares (0.02 is 2 %)."""

    minimum_effect: Fraction
    """The smallest difference that matters."""

    wanted_halfwidth: Annotated[float, Meta(gt=0, lt=1)] | None
    """Rounds are added while the interval of a ratio is wider; null never adds any."""


class DisturbanceConfig(Section, frozen=True):
    """From where on the machine's counters disturb a round; shares of the round's wall time."""

    pressure_share: Fraction
    steal_share: Fraction
    foreign_share: Fraction
    power_cap_share: Fraction
    """How far a block's power-capped time may be from the same contender's other blocks."""

    most_left_out_share: Fraction
    reruns: NonNegative
    """How often a disturbed round is measured again, while the budget lasts."""


class ThroughputConfig(Section, frozen=True):
    """Closed loops over a grid: every batch with every number of streams."""

    batches: Annotated[list[Positive], Meta(min_length=1)]
    streams: Annotated[list[Positive], Meta(min_length=1)]
    rounds: Positive
    seconds: PositiveFloat
    warm_seconds: Annotated[float, Meta(ge=0)]


class SustainedConfig(Section, frozen=True):
    """One variant alone: at least `seconds` until its medians settle, then measured."""

    batches: Annotated[list[Positive], Meta(min_length=1)]
    seconds: PositiveFloat
    cap_seconds: PositiveFloat
    block_seconds: PositiveFloat


class ColdConfig(Section, frozen=True):
    """Fresh processes of every variant, each up to its first answer."""

    processes: Positive


class DeviceConfig(Section, frozen=True):
    """On a GPU, by its own clock: launches with resident inputs, and the parts of requests.

    At the batch sizes of latency.
    """

    rounds: Annotated[int, Meta(ge=2)]
    requests: Positive
    seconds: Annotated[float, Meta(ge=0)]
    parts_requests: Positive


class EnergyConfig(Section, frozen=True):
    """Windows of the GPU's energy counter, one contender at a time."""

    batches: Annotated[list[Positive], Meta(min_length=1)]
    windows: Positive
    seconds: PositiveFloat
    load_seconds: Annotated[float, Meta(ge=0)]
    idle_seconds: PositiveFloat


class TrtexecConfig(Section, frozen=True):
    """Every variant alone, by trtexec's own protocols, at the batch sizes of latency."""

    protocols: Annotated[list[Literal["trtexec10", "trtexec11"]], Meta(min_length=1)]
    warm_up_ms: Annotated[float, Meta(ge=0)]
    seconds: Annotated[float, Meta(ge=0)]
    iterations: Positive


class BenchmarkConfig(Section, frozen=True):
    """Conf/benchmark: how much is measured, and of what."""

    profile: Name
    rounds: Annotated[int, Meta(ge=2)]
    most_rounds: Annotated[int, Meta(ge=2)]
    """Extended up to here while an interval is too wide; equal to `rounds`: never."""

    requests: Positive
    """Requests in a block, at least; a block also lasts `block_seconds`, and shrinks to fit
    `max_minutes`."""

    block_seconds: Annotated[float, Meta(ge=0)]
    max_minutes: PositiveFloat
    """Of the latency scenario with its warm-up, reruns and extensions; the others have
    `scenario_minutes` on top."""

    restart_every_rounds: NonNegative
    """0 keeps the workers for the whole session."""

    batches: Annotated[list[Positive], Meta(min_length=1)]
    items: Positive
    """Distinct real samples that requests rotate over."""

    cpu_affinity: Annotated[list[NonNegative], Meta(min_length=1)] | None
    """The cores that workers may use; null leaves it to the system."""

    answer_tolerance: Fraction
    """Largest max|difference| / max|answer| between the timed and the evaluated way of running."""

    warmup: WarmupConfig
    disturbance: DisturbanceConfig
    figures: dict[FigureName, FigureConfig]
    scenario_minutes: PositiveFloat | None
    """Of all other scenarios: once they are over none is started; None sets no end."""

    throughput: ThroughputConfig | None
    sustained: SustainedConfig | None
    cold: ColdConfig | None
    device: DeviceConfig | None
    energy: EnergyConfig | None
    memory_ledger: bool
    trtexec: TrtexecConfig | None
    repetition: NonNegative = 0
    """Another number is another session, though everything else is as in one in the run-cache."""

    @property
    def all_batches(self) -> list[int]:
        """Return every batch size that any scenario measures, ascending."""
        owners = (self.throughput, self.sustained, self.energy)
        scenarios = [item.batches for item in owners if item]
        return sorted({*self.batches, *(size for sizes in scenarios for size in sizes)})
