"""What a module of the user's own returns, as a flat tuple in the order of `model.outputs`."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from trtproof.errors import AdapterError

FORMS: Final = "return a tensor, a flat tuple of tensors, or a dictionary of tensors by output name"


def name_outputs(module: nn.Module, names: Sequence[str], owner: str) -> nn.Module:
    """Let the module return its outputs as one tensor or a tuple of tensors.

    Its class becomes a subclass of the same name, so that its weights keep their names and copies
    of it do the same. `owner` is the factory, for errors. A scripted module stays as it is.
    """
    kind = type(module)
    if isinstance(module, torch.jit.ScriptModule) or "forward" in vars(module):
        return module

    @functools.wraps(kind.forward)
    def forward(self: nn.Module, *arguments: Any, **named: Any) -> Any:
        return select_outputs(kind.forward(self, *arguments, **named), names, owner)

    body = {"forward": forward, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    module.__class__ = type(kind.__name__, (kind,), body)
    return module


def select_outputs(result: Any, names: Sequence[str], owner: str) -> Any:
    """Return a module's result as a tensor, or as a tuple of tensors in the order of `names`.

    Fields of dictionaries, dataclasses and named tuples are taken by name, others are left out;
    members of plain tuples and lists by position.

    Raises:
        AdapterError: an output is missing, nested, None or no tensor.
    """
    if isinstance(result, Tensor) and len(names) == 1:
        return result
    values = (result,) if isinstance(result, Tensor) else _collect(result, names, owner)
    if len(values) != len(names):
        raise _wrong(
            owner,
            f"the model returns {len(values)} outputs, `model.outputs` names {len(names)} "
            f"({', '.join(names)})",
            "name each output, in order",
        )
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        if not isinstance(value, Tensor):
            raise _wrong(owner, f"output {place} ({name!r}) is {_describe(value)}", FORMS)
    return values


def _collect(result: Any, names: Sequence[str], owner: str) -> tuple[Any, ...]:
    """Return what shall be the outputs, of whatever type."""
    if isinstance(result, Mapping):
        return _fields(result, names, owner)
    if is_dataclass(result):
        return _fields(vars(result), names, owner)
    if not isinstance(result, tuple | list):
        raise _wrong(owner, f"the model returns {_describe(result)}", FORMS)
    fields = getattr(result, "_fields", ())
    if set(names) <= set(fields):
        return tuple(getattr(result, name) for name in names)
    return tuple(result)


def _fields(found: Mapping[str, Any], names: Sequence[str], owner: str) -> tuple[Any, ...]:
    missing = [name for name in names if name not in found]
    if missing:
        raise _wrong(
            owner,
            f"the model returns no {missing[0]!r} (it returns: {', '.join(map(str, found))})",
            "correct `model.outputs`",
        )
    return tuple(found[name] for name in names)


def _describe(value: Any) -> str:
    if isinstance(value, tuple | list | Mapping):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _wrong(owner: str, problem: str, repair: str) -> AdapterError:
    return AdapterError(function=owner, problem=problem, repair=repair)
