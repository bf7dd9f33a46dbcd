"""Describe the module that a factory of the user's makes: a process of `trtproof init`.

Prints JSON. What `forward` takes is not known but tried: shapes that fit the module's first layers,
until it answers. The files that the factory opened are noted on the way.
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from trtproof import stage
from trtproof.errors import ModelError
from trtproof.models.first_layers import BATCH, Axes, Spec, guess_inputs
from trtproof.models.module import as_reference, make_seeded
from trtproof.registry import extend_path, load_object

BATCHES: Final = (2, 3)
"""An extent of an output that follows these is the batch."""

MOST_TRIES: Final = 300
CODE_SUFFIXES: Final = (".py", ".pyc", ".so")
TRANSFORMERS_INPUTS: Final = ("input_ids", "attention_mask", "pixel_values", "input_values")

Shapes = dict[str, list[int | str]]


def main(factory: str, watched: str, *folders: str) -> None:
    """Print what the factory's module takes and gives, and the files below `watched` it opened."""
    extend_path(folders)
    printed, sys.stdout = sys.stdout, sys.stderr  # what the user's code prints is no JSON
    opened = _note_opened(Path(watched))
    module = make_module(factory)
    files = sorted(opened)
    printed.write(json.dumps(describe(module) | {"files": files}) + "\n")


def make_module(factory: str) -> nn.Module:
    """Return what the factory makes, as the reference that it would be.

    Raises:
        ImportPathError: it cannot be imported.
        ModelError: it needs arguments, or makes something else than a module.
    """
    make = load_object(factory)
    if isinstance(make, nn.Module) or not callable(make):
        raise ModelError(f"it is of type {type(make).__name__}, not a function or class; name one")
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise ModelError(
            f"it needs arguments ({error}); name a function of yours that gives them"
        ) from None
    module = make_seeded(make, {})
    if not isinstance(module, nn.Module):
        raise ModelError(f"it returned {type(module).__name__}, not a torch.nn.Module; correct it")
    return as_reference(module)


def describe(module: nn.Module) -> dict[str, Any]:
    """Return inputs, axes and outputs; `ran` says whether the module answered, or they are a guess.

    Raises:
        ModelError: `forward` takes no tensor by position.
    """
    guesses = list(itertools.islice(guess_inputs(module, input_names(module)), MOST_TRIES))
    for inputs, axes in guesses:
        outputs = answer(module, inputs, axes)
        if outputs:
            return {"inputs": inputs, "axes": axes, "outputs": outputs, "ran": True}
    inputs, axes = guesses[0]
    return {"inputs": inputs, "axes": axes, "outputs": {"output": [BATCH]}, "ran": False}


def input_names(module: nn.Module) -> list[str]:
    """Return the arguments of `forward` that have to be given, or those of transformers' models.

    Raises:
        ModelError: there are none.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    by_position = [
        item
        for item in parameters
        if item.kind in {item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD}
    ]
    needed = [item.name for item in by_position if item.default is item.empty]
    known = [item.name for item in by_position]
    usual = list(itertools.takewhile(lambda name: name in TRANSFORMERS_INPUTS, known))
    if not needed and not usual:
        raise ModelError(
            f"{type(module).__name__}.forward takes no tensor by position; wrap the model in a "
            "module whose forward names its inputs"
        )
    return needed or usual


def answer(module: nn.Module, inputs: Mapping[str, Spec], axes: Axes) -> Shapes | None:
    """Return the outputs' shapes; None where the module refuses the inputs at some extent."""
    found = []
    usual = {axis: extents[1] for axis, extents in axes.items()}
    most = {axis: extents[2] for axis, extents in axes.items()}
    for extents in (*(usual | {BATCH: batch} for batch in BATCHES), most):
        try:
            with torch.inference_mode():
                found.append(_tensors(module(*_values(inputs, extents))))
        except Exception:  # noqa: BLE001 - the user's code says in its own way that inputs are wrong
            return None
    first, second = ({name: list(item.shape) for name, item in part.items()} for part in found[:2])
    if not first or first.keys() != second.keys():
        return None
    return {name: _shape(shape, second[name]) for name, shape in first.items()}


def _shape(first: Sequence[int], second: Sequence[int]) -> list[int | str]:
    pairs = itertools.zip_longest(first, second)
    return [BATCH if pair == BATCHES else pair[0] for pair in pairs]


def _values(inputs: Mapping[str, Spec], extents: Mapping[str, int]) -> list[torch.Tensor]:
    """Return tensors of the inputs' types: normal, and integers at the low end of their range."""
    values = []
    for spec in inputs.values():
        shape = [extents[dim] if isinstance(dim, str) else dim for dim in spec["shape"]]
        if spec["dtype"] == "float32":
            values.append(torch.randn(shape))
        else:
            values.append(torch.full(shape, spec["low"], dtype=torch.int64))
    return values


def _tensors(result: Any) -> dict[str, torch.Tensor]:
    """Return a result's tensors by name: fields of a dictionary, else numbered."""
    if isinstance(result, torch.Tensor):
        return {"output": result}
    items = result if isinstance(result, Mapping) else dict(enumerate(result))
    return {
        name if isinstance(name, str) else f"output_{name}": value
        for name, value in items.items()
        if isinstance(value, torch.Tensor)
    }


def _note_opened(watched: Path) -> set[str]:
    """Return the set that every file below a folder is put into when it is opened to be read."""
    opened: set[str] = set()
    apart = (Path(sys.prefix).resolve(), Path(stage.__file__).resolve().parent)

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))  # noqa: PTH100 - links stay links
        is_ours = any(path.is_relative_to(folder) for folder in apart)
        if path.is_relative_to(watched) and not is_ours and path.suffix not in CODE_SUFFIXES:
            opened.add(str(path))

    sys.addaudithook(note)
    stage.announce_safetensors()
    return opened


if __name__ == "__main__":
    stage.run(main)
