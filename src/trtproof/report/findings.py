"""The typed model of everything that the report shows; trtproof.report.load fills it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtproof.budget_config import BudgetConfig
from trtproof.config import RecipeConfig, VariantConfig
from trtproof.hardware import Hardware
from trtproof.measure.disturbed import Selection
from trtproof.measure.verdict import INDICATIVE_PROFILES, Verdict
from trtproof.report.comparisons import Comparisons
from trtproof.report.device_times import DeviceFindings
from trtproof.report.evidence import Evidence
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.gpu_findings import GpuFindings
from trtproof.report.protocol_times import ProtocolTimes
from trtproof.report.scenarios import Scenarios
from trtproof.report.torch_best import TorchBest
from trtproof.scoring.difference import TensorDifference
from trtproof.scoring.drops import Drop
from trtproof.scoring.floors import ScoreInterval

if TYPE_CHECKING:
    from trtproof.report.ladder import Step


@dataclass(frozen=True)
class Settings:
    """What params.yaml says of the things shown.

    `random_weights` is true where nobody gave the model weights: its scores mean nothing.
    """

    model: str
    random_weights: bool
    dataset: str
    variants: Mapping[str, VariantConfig]
    recipes: Mapping[str, RecipeConfig]
    reference: str
    budget: BudgetConfig


@dataclass(frozen=True)
class Run:
    """What run.json says of the session; `machine` is flat, as it was recorded.

    `harness_ns` is what a request that does nothing takes, by the name of the time (e2e_ns,
    cpu_ns). `cut_short` says that the wanted requests did not fit into the time budget, and
    `out_of_time` names the scenarios that did not start for want of time.
    `load_per_core` is the machine's load before any of our workers ran, `slow_starts_count` how
    many blocks began with a request far slower than their others. `user` is git's user name,
    `changed` the tracked files that differed from the commit, None where that was not recorded.
    `slug` and `bench` are of the machine that was measured, whichever reads them now, `variables`
    the set environment variables that change speed.
    """

    profile: str
    protocol: str
    started_at: str
    commit: str
    machine: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    harness_ns: Mapping[str, int]
    cut_short: bool = False
    out_of_time: Sequence[str] = ()
    load_per_core: float | None = None
    blocks_count: int = 0
    slow_starts_count: int = 0
    user: str | None = None
    changed: Sequence[str] | None = None
    slug: str = ""
    bench: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def when(self) -> str:
        """Return the moment of the start as people write it."""
        return self.started_at.replace("T", " ").replace("+00:00", " UTC").replace("Z", " UTC")

    @property
    def unsettled(self) -> list[str]:
        """Return the variants whose warm-up ended before their times settled."""
        return [
            name for name, entry in self.variants.items() if entry.get("warmup_converged") is False
        ]

    @property
    def graphs(self) -> dict[str, int]:
        """Return 1 or 0 by variant: whether its launches were replayed from a CUDA graph.

        Only of variants that asked for one.
        """
        found = {name: self.engine(name) for name in self.variants}
        return {
            name: int(facts["cuda_graph_captured"])
            for name, facts in found.items()
            if "cuda_graph_captured" in facts
        }

    def engine(self, name: str) -> Mapping[str, Any]:
        """Return what the timed engine of a variant said of itself."""
        engine: Mapping[str, Any] = self.variants.get(name, {}).get("engine") or {}
        return engine

    @property
    def indicative(self) -> bool:
        """Say whether the profile is too short to decide anything."""
        return self.profile in INDICATIVE_PROFILES


@dataclass(frozen=True)
class Plan:
    """A built plan: its file, size and identity; `build_s` is None where it was not recorded.

    `details` is what the backend said of the build, `layers` the table of layers.json where an
    inspector read them out of the plan.
    """

    file: str
    size_bytes: int
    sha256: str
    build_s: float | None
    details: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Scores:
    """One variant's scores, and how it compares with the reference on the same samples.

    `drops` maps the same metrics to what the variant loses, with its intervals; empty for the
    reference itself and for data without labels. `missing_count` is how many samples had no
    prediction because their outputs were NaN. Data that are not `labelled` have no `values`.
    `intervals` are of the scores that the budget limits by themselves, and `lower_is_better` names
    the metrics that are errors.
    """

    values: Mapping[str, float]
    drops: Mapping[str, Drop] | NotMeasured
    agreement_pct: float | NotMeasured
    differences: Mapping[str, TensorDifference | NotMeasured] | NotMeasured
    samples_count: int
    missing_count: int
    labelled: bool
    synthetic: bool
    intervals: Mapping[str, ScoreInterval] = field(default_factory=dict)
    lower_is_better: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AnswerCheck:
    """How many samples were compared, and the largest relative error over all outputs."""

    samples_count: int
    error: float


@dataclass(frozen=True)
class VariantFindings:
    """One row of the report. Timings and comparisons with the reference are by batch size.

    The reference's comparisons are with itself in its second run (A/A): this session's noise.
    `controls` are those of any variant that ran twice. `against_torch` compares with the best
    PyTorch setting of the batch size instead.
    `answers` is whether what was timed answers as what was scored. `host_peak_bytes` is the most
    host memory that a process which timed it took, None where it was not timed.
    """

    name: str
    config: VariantConfig
    precision: str
    status: str
    reason: str
    plan: Plan | NotMeasured
    timings: Mapping[int, Timing | NotMeasured]
    comparisons: Mapping[int, Comparisons | NotMeasured]
    scenarios: Scenarios
    device: DeviceFindings
    answers: AnswerCheck | NotMeasured
    scores: Scores | NotMeasured
    reason_code: str = ""
    host_peak_bytes: int | None = None
    controls: Mapping[int, Comparisons] = field(default_factory=dict)
    against_torch: Mapping[int, Comparisons | NotMeasured] = field(default_factory=dict)
    protocols: Sequence[ProtocolTimes] | NotMeasured = ()

    @property
    def is_timed(self) -> bool:
        """Say whether any batch size was timed."""
        return any(isinstance(timing, Timing) for timing in self.timings.values())

    def verdict(self, batch: int | None) -> Verdict | NotMeasured:
        """Return the verdict on the headline figure, the wall median."""
        found = self.comparisons.get(batch) if batch else None
        if found is None:
            return NotMeasured("no batch size was timed")
        return found if isinstance(found, NotMeasured) else found[HEADLINE].verdict


@dataclass(frozen=True)
class Audit:
    """One recipe's typed graph against float32, without its target."""

    recipe: str
    precision: str
    samples_count: int
    outputs: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Findings:
    """Everything that was found, the reference first.

    `selection` says which rounds count and why others do not. `imports` are records of what was
    measured elsewhere. `sources` are the files that were read. `hardware` is the machine that the
    figures are of, `here` the one that the probe found last, None where no probe has run; they
    differ where a session was restored from elsewhere. `best_torch` is by batch size.
    """

    settings: Settings
    hardware: Hardware
    run: Run | NotMeasured
    variants: Sequence[VariantFindings]
    batches: Sequence[int]
    selection: Selection
    audits: Sequence[Audit | NotMeasured]
    calibration: Mapping[str, Any] | NotMeasured
    imports: Sequence[Mapping[str, Any]] = ()
    sources: Sequence[Path] = field(default_factory=tuple)
    here: Hardware | None = None
    ladder: Sequence[Step] | NotMeasured = field(default_factory=tuple)
    best_torch: Mapping[int, TorchBest | NotMeasured] = field(default_factory=dict)
    gpu: GpuFindings = field(default_factory=GpuFindings)

    @property
    def reference(self) -> VariantFindings:
        """Return the variant that the others are compared with."""
        return self.variants[0]

    @property
    def synthetic(self) -> bool:
        """Say whether any score was taken on made-up samples."""
        return any(
            variant.scores.synthetic
            for variant in self.variants
            if isinstance(variant.scores, Scores)
        )

    @property
    def indicative(self) -> bool:
        """Say whether timings are too few to decide anything."""
        return isinstance(self.run, Run) and self.run.indicative
