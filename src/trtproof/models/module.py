"""Model source `module`: a factory in the user's own package that returns an nn.Module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtproof.errors import AdapterError, ConfigError, ModelError
from trtproof.models.outputs import name_outputs
from trtproof.models.weights import load_weights
from trtproof.own_code import calling
from trtproof.registry import load_object

if TYPE_CHECKING:
    from torch import nn

    from trtproof.config import ModelConfig

RANDOM_WEIGHTS_SEED: Final = 0


class FactorySource:
    """Call `model.factory` with `model.options` and load `model.weights`."""

    def make_module(self, config: ModelConfig) -> nn.Module:
        """Return the reference; without weights it has the random ones of a fixed seed.

        It returns a tensor or a tuple of tensors in the order of `model.outputs`, whatever the
        user's module returns them in (trtproof.models.outputs).

        Raises:
            AdapterError: the factory fails, or its module takes the inputs in another order; later,
                the module returns other outputs.
            ConfigError: no factory, or options that it does not take.
            ImportPathError: the factory cannot be imported.
            InputError, ModelError: wrong weights, or the factory returned no module.
        """
        if config.factory is None:
            raise ConfigError(
                key="model.factory",
                problem="null, but `model.source: module` needs one",
                repair="write it as 'package.module:attribute'",
            )
        factory = load_object(config.factory)
        _require_options(factory, config)
        with calling(config.factory):
            module = make_seeded(factory, config.options)
        _require_module(module, config.factory)
        _require_order(module, config.factory, list(config.inputs))
        if config.weights is not None:
            load_weights(module, Path(config.weights))
        return name_outputs(as_reference(module), config.outputs, config.factory)


def make_seeded(factory: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """Return what the factory makes; its random numbers are the same in every process."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_WEIGHTS_SEED)
        return factory(**options)


def as_reference(module: nn.Module) -> nn.Module:
    """Return the module in evaluation mode, in float32, on the CPU, without gradients."""
    return module.eval().cpu().float().requires_grad_(requires_grad=False)


def _require_options(factory: Any, config: ModelConfig) -> None:
    if not callable(factory):
        raise ConfigError(
            key="model.factory",
            problem=f"{config.factory} is {type(factory).__name__}, not callable",
            repair="name a function or a class",
        )
    try:
        inspect.signature(factory).bind(**config.options)
    except TypeError as error:
        raise ConfigError(
            key="model.options",
            problem=f"{config.factory} does not take them ({error})",
            repair="correct them in conf/model/",
        ) from None


def _require_order(module: nn.Module, factory: str, inputs: list[str]) -> None:
    """Refuse inputs that bear the names of `forward`'s parameters in another order.

    Inputs are passed by position: two of one type would be swapped unnoticed.
    """
    import torch

    if isinstance(module, torch.jit.ScriptModule):  # it states no parameters
        return
    taken = [name for name in inspect.signature(module.forward).parameters if name in inputs]
    if len(taken) == len(inputs) and taken != inputs:
        raise AdapterError(
            function=factory,
            problem=f"forward() takes {', '.join(taken)}, `model.inputs` lists {', '.join(inputs)}",
            repair="list them in forward()'s order",
        )


def _require_module(module: Any, factory: str) -> None:
    from torch import nn

    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{factory} returned {type(module).__name__}, not a torch.nn.Module; "
            "correct `model.factory`"
        )


SOURCE: Final = FactorySource()
