"""Guesses at what a module takes: the shapes that its first layers could be fed with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from torch import nn

BATCH: Final = "batch"
SEQUENCE: Final = "sequence"
SIDES: Final = (224, 32, 28, 16, 64, 128, 256, 384, 512, 640)
"""Of images, in the order in which they are tried."""

LENGTHS: Final = (16000, 1000, 256, 128)
"""Of signals."""

MOST_LAYERS: Final = 6
BATCH_EXTENTS: Final = (1, 8, 16)
SEQUENCE_EXTENTS: Final = (8, 64, 128)
IMAGE: Final = ("batch", 3, 224, 224)

Spec = Mapping[str, Any]
"""dtype, shape, and for integers low and high (excluded), as conf/model states an input."""

Axes = Mapping[str, Sequence[int]]
"""Axis -> smallest, usual and largest extent."""


def guess_inputs(module: nn.Module, names: Sequence[str]) -> Iterator[tuple[dict[str, Spec], Axes]]:
    """Yield inputs by name with their axes, the likelier ones first; there is always one."""
    layers = _first_layers(module)
    by_input = [_named(name) or list(_of_layers(layers)) for name in names]
    for combination in itertools.product(*by_input):
        inputs = dict(zip(names, combination, strict=True))
        used = {dim for spec in combination for dim in spec["shape"]}
        extents = {BATCH: BATCH_EXTENTS, SEQUENCE: SEQUENCE_EXTENTS}
        yield inputs, {axis: extent for axis, extent in extents.items() if axis in used}


def _first_layers(module: nn.Module) -> list[nn.Module]:
    """Return the first layers of different kinds or widths, in the module's order."""
    found: dict[tuple[str, int], nn.Module] = {}
    for layer in module.modules():
        width = _width(layer)
        if width is not None:
            found.setdefault((type(layer).__name__, width), layer)
    return list(found.values())[:MOST_LAYERS]


def _width(layer: nn.Module) -> int | None:
    """Return how many channels, features or entries a layer takes; None where it says nothing."""
    for kind, attribute in (
        (nn.Embedding, "num_embeddings"),
        ((nn.Conv1d, nn.Conv2d, nn.Conv3d), "in_channels"),
        (nn.Linear, "in_features"),
        (nn.RNNBase, "input_size"),
    ):
        if isinstance(layer, kind):
            return int(getattr(layer, attribute))
    return None


def _named(name: str) -> list[Spec]:
    """Return what an input's name says outright: masks and token types of transformers."""
    words = name.lower()
    if "mask" in words:
        return [integers([BATCH, SEQUENCE], low=1, high=2)]
    if "token_type" in words:
        return [integers([BATCH, SEQUENCE], low=0, high=1)]
    return []


def _of_layers(layers: Sequence[nn.Module]) -> Iterator[Spec]:
    for layer in layers:
        yield from _of_layer(layer)
    yield floats(IMAGE)


def _of_layer(layer: nn.Module) -> Iterator[Spec]:
    """Yield what a layer could be fed with if it came first."""
    width = _width(layer)
    if isinstance(layer, nn.Embedding):
        yield integers([BATCH, SEQUENCE], low=0, high=layer.num_embeddings)
        yield integers([BATCH], low=0, high=layer.num_embeddings)
    elif isinstance(layer, nn.Conv2d):
        yield from (floats([BATCH, width, side, side]) for side in SIDES)
    elif isinstance(layer, nn.Conv3d):
        yield floats([BATCH, width, 16, 112, 112])
    elif isinstance(layer, nn.Conv1d):
        if width == 1:
            yield from (floats([BATCH, length]) for length in LENGTHS)
        yield from (floats([BATCH, width, length]) for length in LENGTHS)
    elif isinstance(layer, nn.Linear):
        yield floats([BATCH, width])
        yield floats([BATCH, SEQUENCE, width])
    else:
        yield floats([BATCH, SEQUENCE, width])


def floats(shape: Sequence[Any]) -> Spec:
    """Return a float32 input."""
    return {"dtype": "float32", "shape": list(shape), "low": 0, "high": 2}


def integers(shape: Sequence[Any], *, low: int, high: int) -> Spec:
    """Return an int64 input whose values lie in low .. high, high excluded."""
    return {"dtype": "int64", "shape": list(shape), "low": low, "high": high}
