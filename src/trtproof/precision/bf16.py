"""bf16: every float32 tensor of the graph becomes bfloat16; inputs and outputs stay float32.

All constants are cast, folded weights of convolutions too: TensorRT refuses a convolution whose
weight has another type than its input. ONNX allows bfloat16 convolutions from opset 22.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnx import ModelProto, TensorProto

from trtproof.errors import ModelError
from trtproof.precision.base import PrecisionPass, PrecisionRecord, refuse_unknown_options
from trtproof.precision.bfloat16 import LARGEST, round_tensor
from trtproof.precision.cast import cast_model
from trtproof.precision.dtypes import QDQ_OPS, count_dtypes
from trtproof.precision.float16 import Rounding
from trtproof.precision.graph import (
    check_model,
    drop_default_inputs,
    load_model,
    node_label,
    refuse_unwalkable,
    save_model,
)
from trtproof.precision.opset import raise_opset
from trtproof.precision.placement import place

if TYPE_CHECKING:
    from trtproof.calibration import Calibration

MIN_OPSET: Final = 22
REFUSED_BY_TENSORRT: Final = frozenset({"ConvTranspose", "GRU"})


class Bf16Pass:
    """Cast the graph to bfloat16."""

    precision = "bf16"
    needs_calibration = False

    def __call__(
        self, model: Path, out: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> PrecisionRecord:
        """Write the cast model to `out`; see `PrecisionPass`."""
        refuse_unknown_options(options, known=(), precision=self.precision)
        graph = load_model(model)
        refuse_unwalkable(graph, precision=self.precision)
        if any(node.op_type in QDQ_OPS for node in graph.graph.node):
            raise ModelError(
                f"{model} is quantised, and bf16 would round its scales; set the recipe's `source` "
                "to artifacts/export"
            )
        drop_default_inputs(graph)
        graph = raise_opset(graph, MIN_OPSET, precision=self.precision)
        placement = place(graph, TensorProto.BFLOAT16, _refused_by_tensorrt(graph))
        rounding: dict[str, Rounding] = {}

        def convert(tensor: TensorProto) -> TensorProto:
            rounded, rounding[tensor.name] = round_tensor(tensor)
            return rounded

        cast_model(graph, placement, convert)
        dtypes = count_dtypes(graph)
        save_model(graph, out)
        check_model(out)
        lossy = {name: item for name, item in rounding.items() if not item.is_lossless_in_range}
        return PrecisionRecord(
            precision=self.precision,
            executor="onnxruntime-emulated",
            dtypes=dtypes,
            kept=placement.kept,
            rounding={name: lossy[name].to_json() for name in sorted(lossy)},
            warnings=[
                f"{item.overflow} of {item.count} values of {name!r} are beyond bfloat16 and were "
                f"clamped to {LARGEST:.4g} in magnitude"
                for name, item in sorted(lossy.items())
                if item.overflow
            ],
        )


def _refused_by_tensorrt(graph: ModelProto) -> dict[str, str]:
    """Return node -> why it stays in float32."""
    return {
        node_label(node): f"TensorRT's builder refuses {node.op_type} in bfloat16"
        for node in graph.graph.node
        if node.op_type in REFUSED_BY_TENSORRT
    }


PASS: PrecisionPass = Bf16Pass()
