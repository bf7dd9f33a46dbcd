"""The reference module as a function from named arrays to named arrays, for parity and tracing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trtproof.errors import ModelError
from trtproof.own_code import calling
from trtproof.tensor import Array, Feeds, TensorSpec

if TYPE_CHECKING:
    from torch import nn

Function = Callable[[Mapping[str, Array]], Feeds]
"""Feeds in, every output by name out."""


def make_function(
    module: nn.Module,
    specs: Sequence[TensorSpec],
    outputs: Sequence[str],
    *,
    owner: str | None = None,
) -> Function:
    """Return the module as a function that runs on one thread.

    Its bits then depend neither on the machine's load nor on its number of cores. `owner` is whose
    it is, for errors: the factory.

    Raises (later, from the call):
        AdapterError: the module fails on these feeds.
        ModelError: the module returns another number of outputs than `model.outputs` names.
    """

    def run(feeds: Mapping[str, Array]) -> Feeds:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        given = ", ".join(f"{spec.name} {list(feeds[spec.name].shape)}" for spec in specs)
        try:
            with torch.inference_mode(), calling(owner or "the model", doing=f"on {given}"):
                values = _as_tensors(module(*make_arguments(feeds, specs)))
        finally:
            torch.set_num_threads(threads)
        if len(values) != len(outputs):
            raise ModelError(
                f"the model returns {len(values)} outputs, `model.outputs` names {len(outputs)} "
                f"({', '.join(outputs)}); name each output, in order"
            )
        return {name: value.numpy().copy() for name, value in zip(outputs, values, strict=True)}

    return run


def make_arguments(
    feeds: Mapping[str, Array], specs: Sequence[TensorSpec]
) -> tuple[torch.Tensor, ...]:
    """Return copies of the feeds as tensors, in the order of the model's inputs."""
    return tuple(torch.from_numpy(np.array(feeds[spec.name])) for spec in specs)


def _as_tensors(result: Any) -> tuple[torch.Tensor, ...]:
    """Return a module's result as a tuple of tensors.

    Raises:
        ModelError: it is neither a tensor nor a tuple or list of tensors.
    """
    values = tuple(result) if isinstance(result, tuple | list) else (result,)
    wrong = [value for value in values if not isinstance(value, torch.Tensor)]
    if wrong:
        raise ModelError(
            f"the model returns {type(wrong[0]).__name__}, not a tensor or a tuple of tensors; "
            "wrap it in a module that returns its tensors"
        )
    return values
