"""int8: TensorRT's explicit quantisation, symmetric, on a float32 graph.

ONNX Runtime's CPU kernels run it slower than float32: its accuracy is checked there, its time is
not. For a fast model on a CPU see int8_cpu.
"""

from __future__ import annotations

from trtproof.precision.base import PrecisionPass
from trtproof.precision.explicit import ExplicitPass
from trtproof.precision.grids import INT8
from trtproof.precision.qdq_sites import CONVOLUTIONS, PRODUCTS
from trtproof.precision.ranges import METHODS

PASS: PrecisionPass = ExplicitPass(
    precision="int8",
    grid=INT8,
    operators=CONVOLUTIONS | PRODUCTS,
    methods=tuple(METHODS),
    # Optimised, ONNX Runtime turns Q/DQ into integer kernels: some refuse a weight of rank 3 with a
    # scale per channel, and those of CPUs without VNNI saturate. Unoptimised, what the graph states
    # is computed.
    executor="onnxruntime-unoptimized",
)
