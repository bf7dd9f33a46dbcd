"""metrics/variants/<variant>.json: the figures that git keeps and `dvc metrics diff` compares.

Everything measured on a device is nested under the device's slug, so that two machines' figures
never pair. DVC drops lists, takes "." for nesting and shows NaN as changed: there are only
numbers, the texts `status` and `reason`, and keys that end in their unit. What was not measured
has no key. Numbers have five significant digits, and the report shows exactly these.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, isfinite, log10
from typing import Any, Final

from trtproof.measure.ratios import Bounds
from trtproof.report import deciding
from trtproof.report.calibration_figures import calibration_figures, is_calibrated
from trtproof.report.comparisons import WALL_P99, Comparisons
from trtproof.report.device_metrics import device_figures
from trtproof.report.engine_figures import engine_figures
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.findings import Findings, Plan, Run, Scores, VariantFindings
from trtproof.report.flat import flatten_quantile, flatten_ratio, known
from trtproof.report.gpu_figures import gpu_figures
from trtproof.report.ladder import path_figures
from trtproof.report.protocol_times import protocol_figures
from trtproof.report.relative import (
    host_peak_ratio,
    plan_size_ratio,
    tail_ratio,
    throughput_control,
    throughput_ratio,
)
from trtproof.report.scenarios import Load, Scenarios
from trtproof.report.torch_best import list_ratios
from trtproof.scoring.difference import TensorDifference
from trtproof.scoring.drops import Drop

DIGITS: Final = 5
BYTES_PER_MIB: Final = 1024 * 1024

THROUGHPUT_CONTROL: Final = "control_throughput_ratio"
"""The reference's second run by its first, at its best load."""

Metrics = dict[str, Any]
"""One variant's file: {schema, status, [reason], <slug>: {...}, [scores: {...}], [outputs],
[calibration: {...}], [ladder: {...}]}; the ladder is step -> figures (trtproof.report.ladder)."""


def make_metrics(findings: Findings) -> dict[str, Metrics]:
    """Return variant -> metrics, the reference first."""
    return {variant.name: _of_variant(variant, findings) for variant in findings.variants}


def round_significant(value: float) -> float:
    """Return a finite number to five significant digits.

    Raises:
        ValueError: NaN or infinite: such a figure must be said in words instead.
    """
    if not isfinite(value):
        raise ValueError(value)
    if value == 0:
        return 0.0
    return round(value, DIGITS - 1 - floor(log10(abs(value))))


def drop_name(metric: str) -> str:
    """Return the name of a metric's loss, as in top1_pct -> top1_drop_pp."""
    stem, _, unit = metric.rpartition("_")
    return f"{stem}_drop_{'pp' if unit == 'pct' else unit}"


def _of_variant(variant: VariantFindings, findings: Findings) -> Metrics:
    metrics: Metrics = {"schema": 1, "status": variant.status}
    if variant.reason_code:
        metrics["reason"] = variant.reason_code
    on_device = _on_device(variant, findings)
    if on_device:
        metrics[findings.hardware.slug] = on_device
    if isinstance(variant.scores, Scores):
        metrics["scores"] = _scores(variant.scores, variant is findings.reference)
        differences = variant.scores.differences
        if variant is not findings.reference and not isinstance(differences, NotMeasured):
            outputs = _outputs(differences)
            metrics |= {"outputs": outputs} if outputs else {}
    if is_calibrated(variant.config.recipe, findings.settings.recipes):
        calibration = _rounded(calibration_figures(findings.calibration))
        metrics |= {"calibration": calibration} if calibration else {}
    return metrics | _ladder(variant, findings)


def _ladder(variant: VariantFindings, findings: Findings) -> Metrics:
    figures = path_figures(findings.ladder, (variant.name, variant.config.recipe))
    return (
        {"ladder": {step: _rounded(values) for step, values in figures.items()}} if figures else {}
    )


def _on_device(variant: VariantFindings, findings: Findings) -> Metrics:
    is_reference = variant is findings.reference
    metrics = _latencies(variant, is_reference=is_reference)
    measured = device_figures(variant.device, is_reference=is_reference)
    measured |= list_ratios(variant.against_torch) | protocol_figures(variant.protocols)
    metrics |= {key: _rounded(values) for key, values in measured.items()}
    if metrics and findings.selection.mostly_disturbed:
        metrics[deciding.MOSTLY_DISTURBED] = 1
    metrics |= _scenarios(variant.scenarios)
    if isinstance(findings.run, Run) and variant.name in findings.run.graphs:
        metrics["cuda_graph_captured"] = findings.run.graphs[variant.name]
    metrics |= {name: _rounded(found) for name, found in gpu_figures(findings, variant).items()}
    if variant.host_peak_bytes is not None:
        metrics["host_peak_mib"] = round_significant(variant.host_peak_bytes / BYTES_PER_MIB)
    if not is_reference:
        metrics = _relative(findings.reference, variant) | metrics
    elif not isinstance(rate := throughput_control(variant), NotMeasured):
        metrics[THROUGHPUT_CONTROL] = _interval(rate.value, rate.shown, rate.gate)
    return metrics | (_plan(variant.plan) if isinstance(variant.plan, Plan) else {})


def _latencies(variant: VariantFindings, *, is_reference: bool) -> Metrics:
    metrics: Metrics = {}
    for batch, timing in variant.timings.items():
        if isinstance(timing, Timing):
            metrics |= _timing(timing)
            if not is_reference:
                metrics |= _comparisons(variant.comparisons[batch], batch, is_control=False)
    for batch, control in variant.controls.items():
        metrics |= _comparisons(control, batch, is_control=True)
    return metrics


def _plan(plan: Plan) -> Metrics:
    metrics: Metrics = {"plan_mib": round_significant(plan.size_bytes / BYTES_PER_MIB)}
    if plan.build_s is not None:
        metrics["build_s"] = round_significant(plan.build_s)
    return metrics | _rounded(engine_figures(plan.details))


def _relative(reference: VariantFindings, variant: VariantFindings) -> Metrics:
    """Return the multiples of the reference's that budgets may limit, as far as they are known."""
    sizes = {
        "host_peak_ratio": host_peak_ratio(reference, variant),
        "plan_size_ratio": plan_size_ratio(reference, variant),
    }
    metrics: Metrics = _rounded(known(sizes))
    rate = throughput_ratio(reference, variant)
    if not isinstance(rate, NotMeasured):
        metrics["throughput_ratio"] = _interval(rate.value, rate.shown, rate.gate)
    for batch, timing in variant.timings.items():
        ratio = tail_ratio(reference.timings[batch], timing)
        if not isinstance(ratio, NotMeasured):
            key = ratio_key(WALL_P99, batch, is_control=False)
            metrics[key] = _interval(ratio.shown.value, ratio.shown.bounds, ratio.gate.bounds)
    return metrics


def _interval(value: float, shown: Bounds | None, gate: Bounds | None) -> Metrics:
    """Return a figure with the interval that is shown and the one that decides."""
    ends = {"ci_lo": shown and shown[0], "ci_hi": shown and shown[1]}
    ends |= {"gate_lo": gate and gate[0], "gate_hi": gate and gate[1]}
    return _rounded(known({"value": value, **ends}))


def _timing(timing: Timing) -> Metrics:
    batch = f"b{timing.batch}"
    latency = {
        "min": float(timing.latencies_ms[0]),
        "max": float(timing.latencies_ms[-1]),
        "mean": timing.mean_ms,
    }
    for name, quantile in timing.percentiles.items():
        latency |= flatten_quantile(name, quantile)
    latency |= deciding.latency_gates(timing)
    if timing.left_out:
        latency["p50_all_rounds"] = timing.all_p50_ms
    metrics: Metrics = {
        f"latency_{batch}_ms": _rounded(latency),
        f"throughput_{batch}_ips": round_significant(timing.throughput_ips),
        f"samples_{batch}_count": timing.samples_count,
        f"rounds_{batch}_count": len(timing.rounds_ms),
        f"rounds_left_out_{batch}_count": len(timing.left_out),
    }
    if timing.cpu_p50 is not None:
        metrics[f"cpu_{batch}_ms"] = _rounded(flatten_quantile("p50", timing.cpu_p50))
    return metrics


def ratio_key(figure: str, batch: int, *, is_control: bool) -> str:
    """Return where a comparison by a figure stands; the headline's has no name of its own.

    A control is a variant against its own second run.
    """
    name = "control" if is_control else "speedup"
    return f"{name}{'' if figure == HEADLINE else f'_{figure}'}_b{batch}_ratio"


def _comparisons(
    comparisons: Comparisons | NotMeasured, batch: int, *, is_control: bool
) -> Metrics:
    if isinstance(comparisons, NotMeasured):
        return {}
    metrics: Metrics = {
        ratio_key(figure, batch, is_control=is_control): _rounded(flatten_ratio(comparison.verdict))
        for figure, comparison in comparisons.items()
    }
    if is_control:
        floors = {key: one.verdict.noise_floor for key, one in comparisons.items()}
        shares = {key: 100 * floor for key, floor in floors.items() if floor is not None}
        metrics |= {f"noise_b{batch}_pct": _rounded(shares)} if shares else {}
    return metrics


def load_key(load: Load, unit: str) -> str:
    """Return where a load's figures stand."""
    return f"load_b{load.batch}_s{load.streams}_{unit}"


def _scenarios(scenarios: Scenarios) -> Metrics:
    metrics: Metrics = {}
    if not isinstance(scenarios.throughput, NotMeasured):
        for load in scenarios.throughput:
            metrics[load_key(load, "ips")] = _rounded(deciding.load_rates(load))
            metrics[load_key(load, "ms")] = _rounded(deciding.load_latencies(load))
            metrics[load_key(load, "count")] = load.requests_count
    if not isinstance(scenarios.sustained, NotMeasured):
        for one in scenarios.sustained:
            metrics[f"sustained_b{one.batch}_ms"] = _rounded(one.latencies_ms)
    if not isinstance(scenarios.cold, NotMeasured):
        ends = {"total": scenarios.cold.total_ms, "total_min": scenarios.cold.least_ms}
        ends |= {"total_max": scenarios.cold.most_ms}
        metrics["cold_ms"] = _rounded(ends | dict(scenarios.cold.phases_ms))
    return metrics


def _scores(scores: Scores, is_reference: bool) -> Metrics:  # noqa: FBT001 - private, one call
    metrics: Metrics = _rounded(scores.values)
    for name, found in scores.intervals.items():
        low, high = found.gate or (None, None)
        metrics |= _rounded(known({f"{name}_gate_lo": low, f"{name}_gate_hi": high}))
    if not isinstance(scores.drops, NotMeasured):
        for name, drop in scores.drops.items():
            metrics |= _drop(name, drop)
    if not is_reference and isinstance(scores.agreement_pct, float):
        metrics["agreement_pct"] = round_significant(scores.agreement_pct)
    metrics["samples_count"] = scores.samples_count
    metrics["missing_count"] = scores.missing_count
    return metrics


def _drop(metric: str, drop: Drop) -> Metrics:
    """Return a drop with its 95 % and its 99 % interval, and what it was counted from."""
    name, (stem, _, _) = drop_name(metric), metric.rpartition("_")
    ends = {"ci": drop.shown or (None, None), "gate": drop.gate or (None, None)}
    bounds = {
        f"{name}_{kind}_{end}": value
        for kind, pair in ends.items()
        for end, value in zip(("lo", "hi"), pair, strict=True)
    }
    figures = _rounded(known({name: drop.value, **bounds, f"{stem}_mcnemar_p_ratio": drop.p_value}))
    counts = {f"{stem}_lost_count": drop.lost_count, f"{stem}_gained_count": drop.gained_count}
    return figures | {key: count for key, count in counts.items() if count is not None}


def _outputs(differences: Mapping[str, TensorDifference | NotMeasured]) -> Metrics:
    """Return how far every output is from the reference's; `max_abs` is in the output's unit."""
    return {
        name.replace(".", "_"): _rounded(
            known(
                {
                    "max_abs": difference.max_abs,
                    "cosine_ratio": difference.cosine,
                    "sqnr_db": difference.sqnr_db,
                }
            )
        )
        | {"nan_count": difference.nan_count, "inf_count": difference.inf_count}
        for name, difference in differences.items()
        if isinstance(difference, TensorDifference)
    }


def _rounded(values: Mapping[str, float]) -> Metrics:
    return {name.replace(".", "_"): round_significant(value) for name, value in values.items()}
