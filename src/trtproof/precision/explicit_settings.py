"""The options of a recipe that quantises explicitly, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from onnx import ModelProto

from trtproof.errors import ConfigError
from trtproof.precision.base import refuse_unknown_options
from trtproof.precision.quantizers import QUANTIZERS
from trtproof.precision.ranges import DEFAULT_PERCENTILE

OPTIONS: Final = ("method", "percentile", "exclude", "quantizer")
REPAIR: Final = "correct the recipe in conf/recipe/ and run `trtproof compose`"


@dataclass(frozen=True)
class Settings:
    """The options of a recipe, checked."""

    method: str
    percentile: float
    exclude: frozenset[str]
    quantizer: str


def read_settings(options: Mapping[str, Any], precision: str, methods: Sequence[str]) -> Settings:
    """Return the options, or their defaults.

    Raises:
        ConfigError: an option is unknown or has no such value.
    """
    refuse_unknown_options(options, known=OPTIONS, precision=precision)
    method = options.get("method", "max")
    percentile = options.get("percentile", DEFAULT_PERCENTILE)
    exclude = options.get("exclude", [])
    quantizer = options.get("quantizer", "builtin")
    if method not in methods:
        raise _wrong(precision, "method", f"{method!r} is none of {', '.join(methods)}")
    if isinstance(percentile, bool) or not isinstance(percentile, int | float):
        raise _wrong(precision, "percentile", f"{percentile!r} is not a number")
    if not 0 < percentile <= 100:  # noqa: PLR2004 - per cent
        raise _wrong(precision, "percentile", f"{percentile!r} is not above 0 and at most 100")
    if not isinstance(exclude, list) or not all(isinstance(name, str) for name in exclude):
        raise _wrong(precision, "exclude", f"{exclude!r} is not a list of nodes or operators")
    if quantizer not in QUANTIZERS.entries:
        known = ", ".join(QUANTIZERS.entries)
        raise _wrong(precision, "quantizer", f"{quantizer!r} is none of {known}")
    return Settings(method, float(percentile), frozenset(exclude), str(quantizer))


def _wrong(precision: str, option: str, problem: str) -> ConfigError:
    return ConfigError(key=f"option {option!r} of pass {precision}", problem=problem, repair=REPAIR)


def refuse_unknown_nodes(graph: ModelProto, names: frozenset[str], precision: str) -> None:
    """Refuse names of nodes or operators that the graph does not have.

    Raises:
        ConfigError: the first such name.
    """
    known = {node.name for node in graph.graph.node} | {node.op_type for node in graph.graph.node}
    for name in sorted(names - known):
        raise _wrong(precision, "exclude", f"the model has no node and no operator {name!r}")
