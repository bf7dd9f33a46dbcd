"""The metrics of device time: launches alone, parts of requests, and their comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from trtproof.report.comparisons import Comparison
from trtproof.report.device_times import DEVICE_FIGURE, DeviceFindings, DeviceTime, Parts
from trtproof.report.figures import NotMeasured
from trtproof.report.flat import flatten_quantile, flatten_ratio
from trtproof.report.torch_best import torch_key

SUM: Final = "sum"
"""Both copies and the time between them: what trtexec calls latency."""

CV: Final = "cv"
PERCENT: Final = 100.0

Figures = dict[str, dict[str, float]]


def device_key(batch: int) -> str:
    """Return where the times of launches alone stand."""
    return f"device_b{batch}_ms"


def spread_key(batch: int) -> str:
    """Return where the spread of launches alone stands."""
    return f"device_spread_b{batch}_pct"


def parts_key(batch: int) -> str:
    """Return where the medians of a request's parts stand."""
    return f"parts_b{batch}_ms"


def device_ratio_key(batch: int, *, is_control: bool) -> str:
    """Return where the comparison of launches alone stands, of a variant's own two runs too."""
    return f"{'control' if is_control else 'speedup'}_{DEVICE_FIGURE}_b{batch}_ratio"


def device_noise_key(batch: int) -> str:
    """Return where the half-width of a variant's two runs stands."""
    return f"noise_device_b{batch}_pct"


def device_figures(device: DeviceFindings, *, is_reference: bool) -> Figures:
    """Return key -> figures of one variant, as far as they were measured."""
    figures: Figures = {}
    if not isinstance(device.launches, NotMeasured):
        for batch, launches in device.launches.items():
            figures[device_key(batch)] = _launches(launches)
            figures[spread_key(batch)] = {CV: launches.cv_pct}
    if not isinstance(device.parts, NotMeasured):
        figures |= {parts_key(batch): _parts(parts) for batch, parts in device.parts.items()}
    if not is_reference:
        figures |= _ratios(device.comparisons, partial(device_ratio_key, is_control=False))
    figures |= _ratios(device.control, partial(device_ratio_key, is_control=True))
    for batch, comparison in device.control.items():
        if isinstance(comparison, Comparison) and comparison.verdict.noise_floor is not None:
            noise = PERCENT * comparison.verdict.noise_floor
            figures[device_noise_key(batch)] = {DEVICE_FIGURE: noise}
    return figures | _ratios(device.against_torch, partial(torch_key, DEVICE_FIGURE))


def _ratios(
    comparisons: Mapping[int, Comparison | NotMeasured], find_key: Callable[[int], str]
) -> Figures:
    """Return the ratios of those batch sizes that could be compared."""
    return {
        find_key(batch): flatten_ratio(comparison.verdict)
        for batch, comparison in comparisons.items()
        if isinstance(comparison, Comparison)
    }


def _launches(launches: DeviceTime) -> dict[str, float]:
    figures = {"mean": launches.mean_ms}
    for name, quantile in launches.percentiles.items():
        figures |= flatten_quantile(name, quantile)
    return figures


def _parts(parts: Parts) -> dict[str, float]:
    figures = {SUM: parts.sum_ms}
    for name, quantile in parts.medians.items():
        figures |= flatten_quantile(name, quantile)
    return figures
