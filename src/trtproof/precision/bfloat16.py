"""float32 constants to bfloat16: what each loses is counted, and nothing becomes infinite."""

from __future__ import annotations

from typing import Final

import ml_dtypes
import numpy as np
from onnx import TensorProto, numpy_helper

from trtproof.precision.float16 import Rounding
from trtproof.tensor import Array

LARGEST: Final = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
"""3.39e38, below float32's largest value, which would become infinite."""

SMALLEST_NORMAL: Final = float(ml_dtypes.finfo(ml_dtypes.bfloat16).smallest_normal)


def round_array(values: Array) -> tuple[Array, Rounding]:
    """Return float32 values as the nearest bfloat16, and what that lost.

    Finite ones are clamped to +-3.39e38; infinities and NaN stay what they are.
    """
    beyond = np.isfinite(values) & (np.abs(values) > LARGEST)
    clamped = np.where(beyond, np.copysign(np.float32(LARGEST), values), values)
    rounded = clamped.astype(ml_dtypes.bfloat16)
    magnitude = np.abs(rounded.astype(np.float32))
    rounding = Rounding(
        count=int(values.size),
        overflow=int(beyond.sum()),
        underflow=int(((values != 0) & (magnitude == 0)).sum()),
        subnormal=int(((magnitude > 0) & (magnitude < SMALLEST_NORMAL)).sum()),
    )
    return rounded, rounding


def round_tensor(tensor: TensorProto) -> tuple[TensorProto, Rounding]:
    """Return a float32 tensor as bfloat16 under its own name, and what that lost."""
    rounded, rounding = round_array(numpy_helper.to_array(tensor))
    return numpy_helper.from_array(np.asarray(rounded), tensor.name), rounding
