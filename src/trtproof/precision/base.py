"""Precision passes: float32 ONNX -> ONNX whose graph alone states the precision.

A pass never looks at the GPU, so that one converted model serves every target and backend, and
never runs data: ranges come from the calibrate stage's files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trtproof.errors import ConfigError

if TYPE_CHECKING:
    from trtproof.calibration import Calibration

RECORD_FILE = "record.json"


@dataclass(frozen=True)
class PrecisionRecord:
    """What a pass did, for record.json and the report.

    `executor` is how the converted graph is evaluated truthfully on a machine without its target:
    one of trtproof.precision.executors.EXECUTORS. `kept` maps node name -> why it stayed in a
    higher precision. `scales` maps tensor name -> scale(s) used.
    """

    precision: str
    executor: str
    dtypes: Mapping[str, int]
    """Number of floating-point or quantised tensors (initialisers and activations) per ONNX data
    type."""

    kept: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, Sequence[float]] = field(default_factory=dict)
    rounding: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Tensor name -> how many of its `count` values a narrower type could not hold: `overflow`
    were clamped to its largest value (in an activation they become infinite), `underflow` became
    zero, `subnormal` lost digits. Constants, and where ranges are at hand the activations of the
    calibration samples; only tensors with such values."""

    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    """What the user should know and need not change."""

    found: Mapping[str, Any] = field(default_factory=dict)
    """What a graph that another tool wrote states, of pass given."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for record.json."""
        return {
            "schema": 1,
            "precision": self.precision,
            "executor": self.executor,
            "dtypes": dict(self.dtypes),
            "kept": dict(self.kept),
            "scales": {name: list(values) for name, values in self.scales.items()},
            "rounding": {name: dict(counts) for name, counts in self.rounding.items()},
            "warnings": list(self.warnings),
        } | ({"found": dict(self.found)} if self.found else {})


class PrecisionPass(Protocol):
    """One precision.

    Registered in trtproof.precision.PASSES.
    """

    precision: str
    """What the graph computes in, as in "fp16"; backends say which they support."""

    needs_calibration: bool

    def __call__(
        self, model: Path, out: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> PrecisionRecord:
        """Write the converted model to `out`, external data beside it.

        The bytes depend on the arguments' contents alone.

        Raises:
            ConfigError: an unknown or wrong option.
            CalibrationError: a range is missing or unusable.
            ModelError: the graph cannot be converted.
        """
        ...


def refuse_unknown_options(
    options: Mapping[str, Any], *, known: Sequence[str], precision: str
) -> None:
    """Refuse an option that the pass does not have: it may be a misspelt one.

    Raises:
        ConfigError: names the option.
    """
    for name in options:
        if name not in known:
            raise ConfigError(
                key=f"option {name!r} of pass {precision}",
                problem=f"there is no such option (there is: {', '.join(known) or 'none'})",
                repair="correct the recipe in conf/recipe/ and run `trtproof compose`",
            )
