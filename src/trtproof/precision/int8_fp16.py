"""int8_fp16: the int8 graph with everything that is not quantised in float16.

A pure cast of recipe int8's graph: the scales are float16 values already, so that both quantise to
the same grid.
"""

from __future__ import annotations

from trtproof.precision.base import PrecisionPass
from trtproof.precision.grids import INT8
from trtproof.precision.quantised_fp16 import QuantisedFp16Pass

PASS: PrecisionPass = QuantisedFp16Pass(precision="int8_fp16", source="int8", grid=INT8)
