"""What float16 would do to activations, from the calibrate stage's histograms.

Says which nodes should stay in float32; the fp16 pass acts on it where its option `keep_fp32` is
"auto".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from trtproof.errors import CalibrationError, ConfigError
from trtproof.precision.dtypes import QDQ_OPS
from trtproof.precision.float16 import LARGEST, SMALLEST_NORMAL, Rounding, round_array
from trtproof.precision.graph import MASK_MAGNITUDE, node_label

if TYPE_CHECKING:
    from trtproof.calibration import Calibration
    from trtproof.calibration.histogram import Statistics

SMALLEST_INFINITE: Final = 65520.0
"""Rounds to infinity; below it 65504 is nearer."""

LARGEST_ZERO: Final = 2.0**-25
"""Rounds to zero, as everything below."""

REPAIR: Final = "correct the recipe in conf/recipe/ and run `trtproof compose`"


def count_losses(statistics: Statistics) -> Rounding:
    """Return how many values of an activation float16 cannot hold.

    `overflow` may count values of the bin around 65520 that just fit; masks do not count.
    """
    lower, upper = statistics.magnitudes
    counts = statistics.counts
    beyond = (upper > SMALLEST_INFINITE) & (lower < MASK_MAGNITUDE)
    overflow = int(counts[beyond].sum()) if statistics.largest >= SMALLEST_INFINITE else 0
    # 2**-25 and 2**-14 begin bins. The first bin is that of zeros, which lose nothing.
    below = statistics.bins > 0
    zeroed = below & (lower < LARGEST_ZERO)
    small = below & (lower >= LARGEST_ZERO) & (lower < SMALLEST_NORMAL)
    return Rounding(
        count=statistics.values_count,
        overflow=overflow,
        underflow=int(counts[zeroed].sum()),
        subnormal=int(counts[small].sum()),
    )


def report_ranges(calibration: Calibration) -> dict[str, Rounding]:
    """Return activation -> what float16 loses of it, for those that lose anything."""
    losses = {name: count_losses(item) for name, item in sorted(calibration.tensors.items())}
    return {name: item for name, item in losses.items() if not item.is_lossless_in_range}


def describe_float16(model: ModelProto, calibration: Calibration) -> dict[str, Any]:
    """Return the range report: what float16 loses of each tensor, and which nodes to keep from it.

    `activations` and `weights` have the tensors that lose anything, `keep_fp32` is what the fp16
    pass keeps in float32 where its option of that name is "auto".
    """
    weights = {
        tensor.name: round_array(numpy_helper.to_array(tensor))[1]
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    }
    lossy = {name: item for name, item in weights.items() if not item.is_lossless_in_range}
    losses = report_ranges(calibration)
    return {
        "schema": 1,
        "activations": {name: item.to_json() for name, item in losses.items()},
        "weights": {name: item.to_json() for name, item in sorted(lossy.items())},
        "keep_fp32": nodes_to_keep(model, calibration),
    }


def find_kept(model: ModelProto, option: Any, calibration: Calibration | None) -> dict[str, str]:
    """Return node -> why it shall stay in float32, by the option `keep_fp32`.

    The option is "auto" (by the ranges) or a list of nodes and operators.

    Raises:
        ConfigError: another value, or no such node or operator.
        CalibrationError: "auto" without ranges.
    """
    if option == "auto":
        if calibration is None:
            raise CalibrationError(
                f"`keep_fp32: {option}` needs ranges; set the recipe's `calibration` to "
                "artifacts/calibrate"
            )
        return nodes_to_keep(model, calibration)
    return _listed(model, option)


def nodes_to_keep(model: ModelProto, calibration: Calibration) -> dict[str, str]:
    """Return node -> the tensor that it reads or gives and that float16 cannot hold.

    That is one with values beyond 65504, or with none that float16 holds in full precision.
    """
    reasons = {}
    for name, item in calibration.tensors.items():
        reason = _reason(name, count_losses(item), _largest_measured(item))
        if reason:
            reasons[name] = reason
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            reason = _weight_reason(tensor)
            if reason:
                reasons[tensor.name] = reason
    kept = {}
    for node in model.graph.node:
        found = next((reasons[name] for name in _touched(node) if name in reasons), None)
        if found and node.op_type not in QDQ_OPS:
            kept[node_label(node)] = found
    return kept


def _touched(node: NodeProto) -> Iterable[str]:
    return (*node.output, *node.input)


def _weight_reason(tensor: TensorProto) -> str | None:
    values = numpy_helper.to_array(tensor)
    measured = values[np.abs(values) < MASK_MAGNITUDE]
    largest = float(np.abs(measured).max(initial=0))
    return _reason(tensor.name, round_array(measured)[1], largest)


def _reason(name: str, losses: Rounding, largest: float) -> str | None:
    if losses.overflow:
        return (
            f"{losses.overflow} of {losses.count} values of {name!r} are beyond {LARGEST:.0f} "
            f"(the largest is {largest:.4g})"
        )
    if 0 < largest < SMALLEST_NORMAL:
        return f"all values of {name!r} are below {SMALLEST_NORMAL:.3g}, subnormal in float16"
    return None


def _largest_measured(statistics: Statistics) -> float:
    """Return the end of the last bin that holds neither zeros nor masks; 0 without one."""
    lower, upper = statistics.magnitudes
    measured = (lower < MASK_MAGNITUDE) & (statistics.bins > 0)
    return float(min(np.max(upper[measured], initial=0), statistics.largest))


def _listed(model: ModelProto, names: Any) -> dict[str, str]:
    key = "option 'keep_fp32'"
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        problem = f"{names!r} is neither auto nor a list of nodes and operators"
        raise ConfigError(key=key, problem=problem, repair=REPAIR)
    nodes = model.graph.node
    known = {node_label(node) for node in nodes} | {node.op_type for node in nodes}
    for name in names:
        if name not in known:
            problem = f"the model has no node and no operator {name!r}"
            raise ConfigError(key=key, problem=problem, repair=REPAIR)
    return {
        node_label(node): "kept by the recipe"
        for node in nodes
        if {node_label(node), node.op_type}.intersection(names)
    }
