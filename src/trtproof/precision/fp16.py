"""fp16: every float32 tensor of the graph becomes float16; inputs and outputs stay float32.

Where an operator takes only float32 for a tensor, the tensor keeps that form there. Constants
beyond float16 are clamped, as attention masks of -3.4e38 must not become infinite; what was
clamped or lost is counted in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx import ModelProto, TensorProto

from trtproof.errors import ModelError
from trtproof.precision.base import PrecisionPass, PrecisionRecord, refuse_unknown_options
from trtproof.precision.cast import cast_model
from trtproof.precision.dtypes import QDQ_OPS, count_dtypes
from trtproof.precision.float16 import LARGEST, Rounding, round_tensor
from trtproof.precision.graph import (
    check_model,
    drop_default_inputs,
    load_model,
    refuse_unwalkable,
    save_model,
)
from trtproof.precision.placement import Placement, place
from trtproof.precision.range_report import find_kept, report_ranges

if TYPE_CHECKING:
    from trtproof.calibration import Calibration


class Fp16Pass:
    """Cast the graph to float16."""

    precision = "fp16"
    needs_calibration = False

    def __call__(
        self, model: Path, out: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> PrecisionRecord:
        """Write the cast model to `out`; see `PrecisionPass`.

        Option: `keep_fp32`, the nodes or operators that stay in float32, or "auto": those whose
        ranges float16 does not hold.
        """
        refuse_unknown_options(options, known=("keep_fp32",), precision=self.precision)
        graph = load_model(model)
        refuse_unwalkable(graph, precision=self.precision)
        drop_default_inputs(graph)
        scales = _scales(graph)
        keep = find_kept(graph, options.get("keep_fp32", []), calibration)
        placement = place(graph, TensorProto.FLOAT16, keep)
        rounding: dict[str, Rounding] = {}

        def convert(tensor: TensorProto) -> TensorProto:
            rounded, rounding[tensor.name] = round_tensor(tensor)
            return rounded

        cast_model(graph, placement, convert)
        _refuse_zero_scales(rounding, scales)
        dtypes = count_dtypes(graph)
        save_model(graph, out)
        check_model(out)
        lossy = {name: item for name, item in rounding.items() if not item.is_lossless_in_range}
        measured = _measured_losses(placement, calibration)
        return PrecisionRecord(
            precision=self.precision,
            # ONNX Runtime's optimiser gets Q/DQ in float16 wrong: 22.9 dB instead of 43.0 dB.
            executor="onnxruntime-unoptimized" if scales else "onnxruntime",
            dtypes=dtypes,
            kept=placement.kept,
            rounding={name: item.to_json() for name, item in sorted((lossy | measured).items())},
            warnings=[*_warnings(lossy), *_activation_warnings(measured)],
        )


def _scales(model: ModelProto) -> dict[str, str]:
    """Return tensor name -> node type of everything that scales quantised values."""
    return {node.input[1]: node.op_type for node in model.graph.node if node.op_type in QDQ_OPS}


def _refuse_zero_scales(rounding: Mapping[str, Rounding], scales: Mapping[str, str]) -> None:
    for name, item in rounding.items():
        if name in scales and item.underflow:
            raise ModelError(
                f"scale {name!r} of a {scales[name]} is zero in float16 ({item.underflow} of "
                f"{item.count} values): exclude its node from quantisation"
            )


def _warnings(lossy: Mapping[str, Rounding]) -> list[str]:
    return [
        f"{item.overflow} of {item.count} values of {name!r} are beyond float16 and were clamped "
        f"to {LARGEST:.0f} in magnitude"
        for name, item in sorted(lossy.items())
        if item.overflow
    ]


def _measured_losses(placement: Placement, calibration: Calibration | None) -> dict[str, Rounding]:
    """Return the activations that are float16 now and lost values in the calibration."""
    losses = report_ranges(calibration) if calibration is not None else {}
    return {
        name: item for name, item in losses.items() if placement.made.get(name) == placement.low
    }


def _activation_warnings(losses: Mapping[str, Rounding]) -> list[str]:
    return [
        f"{item.overflow} of {item.count} values of activation {name!r} become infinite in "
        "float16; set `keep_fp32: auto` in the recipe's options"
        for name, item in sorted(losses.items())
        if item.overflow
    ]


PASS: PrecisionPass = Fp16Pass()
