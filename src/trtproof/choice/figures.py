"""The figures that an objective or a constraint may name: those of the budget and of the scorers.

The name's last word is the unit. Which direction is better belongs to the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from trtproof.errors import ConfigError
from trtproof.measure.verdict import Better
from trtproof.report.metrics import drop_name
from trtproof.scoring import load_scorer
from trtproof.scoring.base import is_lower_better


class Kind(StrEnum):
    """What a figure is of, which says where the metrics keep it."""

    LATENCY = "latency"
    RATE = "rate"
    SPEED = "speed"
    ENERGY = "energy"
    GPU_MEMORY = "gpu memory"
    VARIANT = "variant"
    DROP = "drop"
    SCORE = "score"


@dataclass(frozen=True)
class Figure:
    """One figure; `key` is its name in the metrics files where that is another than `name`."""

    name: str
    kind: Kind
    better: Better
    says: str
    key: str = ""

    @property
    def unit(self) -> str:
        """Return the last word of the name."""
        return self.name.rpartition("_")[2]

    @property
    def is_timed(self) -> bool:
        """Say whether a session measured it, whose profile and disturbances matter."""
        return self.kind in TIMED_KINDS or self.name in TIMED


TIMED_KINDS: Final = (Kind.LATENCY, Kind.RATE, Kind.SPEED, Kind.ENERGY)
TIMED: Final = ("throughput_ratio",)
"""Timed figures of a variant as a whole."""

MEASURED: Final = tuple(
    Figure(*row)
    for row in (
        ("throughput_ips", Kind.RATE, Better.HIGHER, "samples per second of a cell"),
        ("p50_ms", Kind.LATENCY, Better.LOWER, "median latency of a cell", "p50"),
        ("p99_ms", Kind.LATENCY, Better.LOWER, "P99 latency of a cell", "p99"),
        ("speedup_ratio", Kind.SPEED, Better.HIGHER, "reference's median by the variant's", ""),
        (
            "speedup_p99_ratio",
            Kind.SPEED,
            Better.HIGHER,
            "reference's P99 by the variant's",
            "wall_p99",
        ),
        ("throughput_ratio", Kind.VARIANT, Better.HIGHER, "best load by the reference's best"),
        ("energy_mj", Kind.ENERGY, Better.LOWER, "energy of the GPU per sample"),
        ("gpu_peak_mib", Kind.GPU_MEMORY, Better.LOWER, "memory of the GPU, peak", "peak"),
        ("host_peak_mib", Kind.VARIANT, Better.LOWER, "host memory of the process, peak"),
        ("host_peak_ratio", Kind.VARIANT, Better.LOWER, "host memory by the reference's"),
        ("plan_mib", Kind.VARIANT, Better.LOWER, "size of the plan on disk"),
        ("plan_size_ratio", Kind.VARIANT, Better.LOWER, "size of the plan by the reference's"),
    )
)
"""Figures that every sweep may have, whatever it scores."""

ALIASES: Final = {"latency_p50_ms": "p50_ms", "latency_p99_ms": "p99_ms"}
"""The budget's names of figures that a cell has."""


@dataclass(frozen=True)
class Vocabulary:
    """All figures by name; `silent` are scorers that do not say which metrics they give."""

    figures: Mapping[str, Figure]
    silent: Sequence[str] = field(default_factory=tuple)

    def find(self, name: str, *, key: str) -> Figure:
        """Return the figure of a name that stands in the setting `key`.

        Raises:
            ConfigError: there is none; lists those there are.
        """
        figure = self.figures.get(ALIASES.get(name, name))
        if figure is not None:
            return figure
        known = "; ".join(f"{item.name} ({item.says})" for item in self.figures.values())
        hidden = (
            f"; {', '.join(self.silent)} names no metrics: give it an attribute `metrics`, a tuple "
            "of their names"
            if self.silent
            else ""
        )
        raise ConfigError(
            key=key,
            problem=f"there is no figure {name!r}",
            repair=f"name one of these, its last word is its unit: {known}{hidden}",
        )


def make_vocabulary(scorers: Sequence[str]) -> Vocabulary:
    """Return the figures of a project whose `evaluate.scorers` are these.

    Raises:
        UnknownNameError, ImportPathError: there is no such scorer.
    """
    figures = {figure.name: figure for figure in MEASURED}
    silent = []
    for name in scorers:
        scorer = load_scorer(name)
        metrics: Sequence[str] | None = getattr(scorer, "metrics", None)
        if metrics is None:
            silent.append(name)
        for metric in metrics or ():
            better = Better.LOWER if is_lower_better(scorer, metric) else Better.HIGHER
            drop, of = drop_name(metric), f"{name}'s score"
            figures[drop] = Figure(drop, Kind.DROP, Better.LOWER, f"what is lost of {metric}")
            figures[metric] = Figure(metric, Kind.SCORE, better, of)
    return Vocabulary(figures, tuple(silent))
