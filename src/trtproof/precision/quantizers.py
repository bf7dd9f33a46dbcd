"""Who says where a graph is quantised; scales and the writing of Q/DQ are ours in every case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from onnx import ModelProto

from trtproof.precision.grids import Grid
from trtproof.precision.qdq_sites import Sites, find_sites
from trtproof.registry import Registry


@dataclass(frozen=True)
class Request:
    """What is to be quantised: the operators that have a quantised form, less the excluded.

    `exclude` names nodes and operators. `find_scales` computes activation -> what its scale would
    be, of all that can have one.
    """

    operators: frozenset[str]
    exclude: frozenset[str]
    grid: Grid
    find_scales: Callable[[], Mapping[str, float]]


class Quantizer(Protocol):
    """Registered in QUANTIZERS."""

    def __call__(self, model: ModelProto, request: Request) -> Sites:
        """Return the sites of a flat float32 graph whose constants are initialisers.

        Raises:
            ModelError: the graph cannot be quantised.
            HardwareError: the quantizer is not installed.
        """
        ...


def place_builtin(model: ModelProto, request: Request) -> Sites:
    """Return the sites by the rules of trtproof.precision.qdq_sites; see `Quantizer`."""
    return find_sites(model, operators=request.operators, exclude=request.exclude)


QUANTIZERS: Registry[Quantizer] = Registry(
    "quantizer",
    {
        "builtin": "trtproof.precision.quantizers:place_builtin",
        "modelopt": "trtproof.precision.modelopt:place_modelopt",
    },
)
