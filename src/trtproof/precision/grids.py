"""The 8-bit grids that values are quantised to: symmetric int8 and float8 E4M3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import TensorProto

from trtproof.tensor import Array


@dataclass(frozen=True)
class Grid:
    """A type of quantised values, all of which are multiples of a scale; zero points are 0."""

    name: str
    data_type: int
    """The ONNX data type."""

    largest: float
    """What the largest magnitude of a range is mapped to."""

    least_use: float
    """Share of the largest value that a range must reach to keep the grid's precision."""

    round: Callable[[Array], Array]
    """Turn values that were divided by their scale into the nearest ones of the grid, ties to even,
    beyond the largest the largest."""


def _round_int8(values: Array) -> Array:
    # -128 is left out: a symmetric grid, as TensorRT's kernels have it for weights.
    return np.clip(np.rint(values), -127, 127).astype(np.int8)


def _round_float8(values: Array) -> Array:
    import ml_dtypes

    # The cast itself turns what lies beyond into NaN.
    return np.clip(values, -448, 448).astype(ml_dtypes.float8_e4m3fn)


INT8: Final = Grid("int8", TensorProto.INT8, 127.0, 0.99, _round_int8)
FP8: Final = Grid("fp8", TensorProto.FLOAT8E4M3FN, 448.0, 2.0**-6, _round_float8)
