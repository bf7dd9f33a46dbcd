"""fp8: explicit quantisation to float8 E4M3 (largest value 448), on a float32 graph.

For GPUs of compute capability 8.9 and above. Transposed convolutions and convolutions with few
input channels have no FP8 kernel and stay float32. `entropy` counts the 128 levels of int8 and is
no method here.
"""

from __future__ import annotations

from trtproof.precision.base import PrecisionPass
from trtproof.precision.explicit import ExplicitPass
from trtproof.precision.grids import FP8
from trtproof.precision.qdq_sites import PRODUCTS

PASS: PrecisionPass = ExplicitPass(
    precision="fp8",
    grid=FP8,
    operators=PRODUCTS | {"Conv"},
    methods=("max", "percentile", "mse"),
    # ONNX Runtime's optimiser turns float8 Q/DQ into operators that do not take float8.
    executor="onnxruntime-unoptimized",
)
