"""Whether the exported graph is the model.

Both compute the same real samples, at every bound of the dynamic axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from trtproof.errors import ModelError
from trtproof.tensor import Array, Feeds, TensorSpec, resize_axis

if TYPE_CHECKING:
    from trtproof.config import AxisConfig, ParityConfig

Function = Callable[[Feeds], Mapping[str, Array]]
"""One batch in, every output by name out."""

Bound = Literal["min", "opt", "max"]
BOUNDS: Final[tuple[Bound, ...]] = ("min", "opt", "max")

FIGURE_DIGITS: Final = 2
"""Significant digits of recorded errors: more would be noise of the CPU's rounding."""

COSINE_DECIMALS: Final = 7


@dataclass(frozen=True)
class OutputParity:
    """How far one output of the export is from the model's, with all axes at one bound.

    `max_abs` is max|difference|, `max_relative` that over max|reference|; `cosine` is taken over
    all values of the batch as one vector.
    """

    output: str
    bound: Bound
    extents: Mapping[str, int]
    max_abs: float
    max_relative: float
    cosine: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data for export.json, rounded."""
        return asdict(self) | {
            "max_abs": _round(self.max_abs),
            "max_relative": _round(self.max_relative),
            "cosine": round(self.cosine, COSINE_DECIMALS),
        }


def require_parity(
    reference: Function,
    exported: Function,
    feeds: Feeds,
    specs: Sequence[TensorSpec],
    *,
    axes: Mapping[str, AxisConfig],
    limits: ParityConfig,
) -> list[OutputParity]:
    """Return the figures of every output with all axes at min, at opt and at max.

    Raises:
        ModelError: an output is beyond a limit, not finite, missing or of another shape; names
            the worst output, its extents and the value.
    """
    figures: list[OutputParity] = []
    for bound in BOUNDS if axes else BOUNDS[1:2]:
        extents = {name: int(getattr(axis, bound)) for name, axis in axes.items()}
        resized = dict(feeds)
        for name, extent in extents.items():
            resized = resize_axis(resized, specs, name, extent)
        wanted, found = reference(resized), exported(resized)
        for output in wanted:
            _require_comparable(output, wanted[output], found.get(output), extents)
            figures.append(_compare(output, wanted[output], found[output], bound, extents))
    _require_within(figures, limits)
    return figures


def _require_comparable(
    output: str, wanted: Array, found: Array | None, extents: Mapping[str, int]
) -> None:
    where = f"output {output!r} at {_say(extents)}"
    if found is None:
        raise ModelError(f"{where}: the export has no such output; correct `model.outputs`")
    if wanted.shape != found.shape:
        raise ModelError(
            f"{where}: the model gives shape {list(wanted.shape)}, its export {list(found.shape)}; "
            "the model fixes an extent while it is traced: compute it from the input's shape"
        )
    for owner, values in (("the model", wanted), ("its export", found)):
        require_finite(values, where, owner=owner)


def require_finite(values: Array, where: str, *, owner: str) -> None:
    """Refuse an output that is not all numbers.

    Raises:
        ModelError: says how many values are not.
    """
    bad = int(np.count_nonzero(~np.isfinite(values.astype(np.float64))))
    if bad:
        raise ModelError(
            f"{where}: {owner} gives {bad} NaN or infinite values of {values.size}; "
            "check the weights and the preprocessing of the samples"
        )


def _compare(
    output: str, wanted: Array, found: Array, bound: Bound, extents: Mapping[str, int]
) -> OutputParity:
    """Return one output's figures, computed in float64."""
    a, b = wanted.astype(np.float64).ravel(), found.astype(np.float64).ravel()
    max_abs = float(np.abs(a - b).max(initial=0.0))
    largest = float(np.abs(a).max(initial=0.0))
    relative = max_abs / largest if largest else (0.0 if max_abs == 0.0 else float("inf"))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    cosine = float(a @ b) / norms if norms else float(max_abs == 0.0)
    return OutputParity(output, bound, extents, max_abs, relative, min(cosine, 1.0))


def _require_within(figures: Sequence[OutputParity], limits: ParityConfig) -> None:
    beyond = [
        figure
        for figure in figures
        if figure.max_relative > limits.max_relative_error or figure.cosine < limits.min_cosine
    ]
    if not beyond:
        return
    worst = max(beyond, key=lambda figure: (figure.max_relative, -figure.cosine))
    raise ModelError(
        f"the export is not the model: output {worst.output!r} at {_say(worst.extents)} differs by "
        f"{worst.max_relative:.2g} of its largest value (limit {limits.max_relative_error:g}), "
        f"cosine {worst.cosine:.7f} (limit {limits.min_cosine:g}); try the other "
        "`export.exporter`, or set `export.parity` to what you accept"
    )


def _say(extents: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={extent}" for name, extent in extents.items()) or "its fixed shape"


def _round(value: float) -> float:
    return float(f"{value:.{FIGURE_DIGITS - 1}e}")
