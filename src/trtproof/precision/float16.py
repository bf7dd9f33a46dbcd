"""float32 constants to float16: what each loses is counted, and nothing becomes infinite."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from onnx import TensorProto, numpy_helper

from trtproof.tensor import Array

LARGEST: Final = float(np.finfo(np.float16).max)
"""65504: the largest finite float16."""

SMALLEST_NORMAL: Final = float(np.finfo(np.float16).smallest_normal)
"""2**-14: below it a float16 has fewer than 11 significant bits."""


@dataclass(frozen=True)
class Rounding:
    """What a tensor of `count` values lost; see `PrecisionRecord.rounding`."""

    count: int
    overflow: int
    underflow: int
    subnormal: int

    @property
    def is_lossless_in_range(self) -> bool:
        """Say whether every value lies in float16's normal range."""
        return not (self.overflow or self.underflow or self.subnormal)

    def to_json(self) -> dict[str, int]:
        """Return plain data for the record."""
        return asdict(self)


def round_array(values: Array) -> tuple[Array, Rounding]:
    """Return float32 values as the nearest float16, and what that lost.

    Finite values are clamped to +-65504; infinities and NaN stay what they are.
    """
    magnitude = np.abs(values)
    beyond = np.isfinite(values) & (magnitude > LARGEST)
    clamped = np.where(beyond, np.copysign(np.float32(LARGEST), values), values)
    rounded = clamped.astype(np.float16)
    zeroed = (values != 0) & (rounded == 0)
    small = (rounded != 0) & (np.abs(rounded).astype(np.float32) < SMALLEST_NORMAL)
    rounding = Rounding(
        count=int(values.size),
        overflow=int(beyond.sum()),
        underflow=int(zeroed.sum()),
        subnormal=int(small.sum()),
    )
    return rounded, rounding


def round_tensor(tensor: TensorProto) -> tuple[TensorProto, Rounding]:
    """Return a float32 tensor as float16 under its own name, and what that lost."""
    rounded, rounding = round_array(numpy_helper.to_array(tensor))
    return numpy_helper.from_array(rounded, tensor.name), rounding
