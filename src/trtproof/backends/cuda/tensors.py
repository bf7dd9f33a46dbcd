"""What a library takes and gives on the GPU: the types that its runner makes buffers of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TensorPlace:
    """A tensor as the library has it: its dtype, and whether it lives on the host."""

    dtype: np.dtype[Any]
    on_host: bool = False


@dataclass(frozen=True)
class Tensors:
    """What a library takes and gives, by name in the signature's order."""

    inputs: Mapping[str, TensorPlace]
    outputs: Mapping[str, TensorPlace]
