"""fp8_fp16: the fp8 graph with everything that is not quantised in float16.

A pure cast of recipe fp8's graph: the scales are float16 values already, so that both quantise to
the same grid.
"""

from __future__ import annotations

from trtproof.precision.base import PrecisionPass
from trtproof.precision.grids import FP8
from trtproof.precision.quantised_fp16 import QuantisedFp16Pass

PASS: PrecisionPass = QuantisedFp16Pass(precision="fp8_fp16", source="fp8", grid=FP8)
