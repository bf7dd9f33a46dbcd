"""Model source `transformers`: a configuration class, its fields and a model class; no download.

`model.options` is `{config_class, model_class, config: {field: value}}`. Weights are random (null),
a file with a state dict, or a folder that `save_pretrained` wrote. Attention is eager: other
implementations export to graphs that TensorRT's attention fusion does not recognise.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor, nn

from trtproof.errors import ConfigError, InputError, ModelError
from trtproof.models.module import as_reference, make_seeded
from trtproof.models.weights import load_weights, refuse_mismatch
from trtproof.registry import load_object

if TYPE_CHECKING:
    from trtproof.config import ModelConfig

REQUIRED_OPTIONS: Final = {"config_class", "model_class"}
KNOWN_OPTIONS: Final = {*REQUIRED_OPTIONS, "config"}
ATTENTION: Final = "eager"


class NamedOutputs(nn.Module):
    """Take inputs by position, and return the named fields of what the model returns."""

    def __init__(self, model: nn.Module, inputs: list[str], outputs: list[str]) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs
        self.outputs = outputs

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs in the order of `model.outputs`."""
        result = self.model(**dict(zip(self.inputs, values, strict=True)))
        return tuple(self._field(result, name) for name in self.outputs)

    def _field(self, result: Any, name: str) -> Tensor:
        value = result.get(name)
        if not isinstance(value, Tensor):
            raise ModelError(
                f"{type(self.model).__name__} returns no tensor {name!r} "
                f"(it returns: {', '.join(result.keys())}); correct `model.outputs`"
            )
        return value


class TransformersSource:
    """Make a model of the transformers library."""

    def make_module(self, config: ModelConfig) -> nn.Module:
        """Return the model, wrapped so that it takes `model.inputs` and returns `model.outputs`.

        Raises:
            ConfigError: the library is not here, or an option or configuration field is unknown.
            InputError, ModelError: wrong weights.
        """
        _require_options(config.options)
        weights = None if config.weights is None else Path(config.weights)
        make_config = _load_class(config.options, "config_class")
        make_model = _load_class(config.options, "model_class")
        fields = dict(config.options.get("config") or {})
        _refuse_unknown_fields(make_config, fields)
        if weights is not None and weights.is_dir():
            model = _load_folder(weights, make_config, make_model, fields)
        else:
            settings = make_config(**fields, attn_implementation=ATTENTION)
            model = make_seeded(make_model, {"config": settings})
            if weights is not None:
                load_weights(model, weights)
        return as_reference(NamedOutputs(model, list(config.inputs), list(config.outputs)))


def _require_options(options: dict[str, Any]) -> None:
    unknown, missing = (
        sorted(options.keys() - KNOWN_OPTIONS),
        sorted(REQUIRED_OPTIONS - options.keys()),
    )
    if unknown or missing:
        raise ConfigError(
            key="model.options",
            problem=f"unknown: {unknown}" if unknown else f"missing: {missing}",
            repair="it takes config_class, model_class and config",
        )


def _load_class(options: dict[str, Any], key: str) -> Any:
    """Return a class of the library by its name, or any by its import path."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported: nothing is ever fetched
    name = str(options[key])
    if ":" in name:
        return load_object(name)
    try:
        import transformers
    except ModuleNotFoundError:
        raise ConfigError(
            key="model.source",
            problem="the package transformers is not installed",
            repair="run `pip install 'trtproof[transformers]'`",
        ) from None
    try:
        return getattr(transformers, name)
    except AttributeError:
        raise ConfigError(
            key=f"model.options.{key}",
            problem=f"transformers {transformers.__version__} has no {name!r}",
            repair="correct the name",
        ) from None


def _refuse_unknown_fields(make_config: Any, fields: dict[str, Any]) -> None:
    """Refuse unknown configuration fields, which the library keeps and ignores."""
    default = make_config()
    unknown = sorted(name for name in fields if not hasattr(default, name))
    if unknown:
        raise ConfigError(
            key="model.options.config",
            problem=f"{make_config.__name__} has no {unknown}",
            repair="correct the names",
        )


def _load_folder(folder: Path, make_config: Any, make_model: Any, fields: dict[str, Any]) -> Any:
    """Return the model of a folder; its own configuration holds where `config` says nothing."""
    import torch

    try:
        settings = make_config.from_pretrained(folder, local_files_only=True, **fields)
        model, loading = make_model.from_pretrained(
            folder,
            config=settings,
            attn_implementation=ATTENTION,
            dtype=torch.float32,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} is not a folder that save_pretrained wrote "
            f"({str(error).strip().partition(chr(10))[0]}); correct `model.weights`"
        ) from None
    refuse_mismatch(
        str(folder),
        missing=sorted(loading["missing_keys"]),
        unexpected=sorted(loading["unexpected_keys"]),
        misshaped=sorted(str(item[0]) for item in loading["mismatched_keys"]),
    )
    return model


SOURCE: Final = TransformersSource()
