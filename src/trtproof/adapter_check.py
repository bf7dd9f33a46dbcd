"""Each function of the user's adapter once, on two samples, before any stage runs.

What is checked is what the stages check, by the same functions and in the same words; the first
fault ends it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.adapter_scores import try_scorers
from trtproof.backends.onnxruntime import open_graph
from trtproof.config import ModelConfig, Params
from trtproof.data import open_dataset
from trtproof.data.arrays import require_extents, require_inputs
from trtproof.data.base import Batch, Dataset, Split
from trtproof.errors import InputError, ModelError
from trtproof.model_inputs import axis_bounds, resolve_params
from trtproof.models import SOURCES
from trtproof.models.base import input_specs
from trtproof.models.export import make_onnx
from trtproof.models.normalise import normalise, write_model
from trtproof.models.onnx import adopt_config, require_source_path
from trtproof.models.reference import make_function
from trtproof.parity import Function, require_finite, require_parity
from trtproof.scoring.values import pack_labels
from trtproof.settings_check import check_settings
from trtproof.tensor import Feeds, TensorSpec, resize_axis

if TYPE_CHECKING:
    from torch import nn

SPLITS: Final[tuple[Split, ...]] = ("calibration", "evaluation")
SAMPLES: Final = 2


@dataclass(frozen=True)
class Line:
    """One row of what was found: which part, whose it is, and what it is."""

    part: str
    owner: str
    found: str


def try_adapter(params: Params, *, with_export: bool = False) -> Iterator[Line]:
    """Yield what the adapter is, part by part.

    Raises:
        PipelineError: the first fault, with the function and the repair.
    """
    params = resolve_params(params)
    check_settings(params)
    config, specs = params.model, input_specs(params.model)
    module = SOURCES.load(config.source).make_module(config)
    model = _function(module, config)
    yield Line("model", _model_owner(config), _describe_model(module, config))
    owner = "conf/model" if not isinstance(params.model.inputs, str) else params.model.inputs
    yield from (Line("input", owner, _describe_input(spec, config)) for spec in specs)
    splits = {split: _try_split(params, split, specs) for split in SPLITS}
    for split, (dataset, samples) in splits.items():
        source = params.dataset.factory or f"format {params.dataset.format}"
        yield Line(split, source, _describe_split(dataset, samples))
    dataset, samples = splits["evaluation"]
    outputs = [_run(model, batch.feeds, config) for batch in samples]
    for name, array in outputs[0].items():
        shape = [specs[0].shape[0], *array.shape[1:]]
        yield Line("output", _model_owner(config), f"{name}  {array.dtype} {_say_shape(shape)}")
    _try_extents(model, samples[0].feeds, config)
    for scorer, found in try_scorers(params.evaluate.scorers, outputs, samples):
        yield Line("scorer", scorer, found)
    if with_export:
        yield Line("export", params.export.exporter, _try_export(module, model, samples, params))


def _function(module: nn.Module | None, config: ModelConfig) -> Function:
    """Return the reference as a function: the module's, or the user's ONNX file's."""
    if module is None:
        return open_graph(require_source_path(config), threads=1).run
    return make_function(module, input_specs(config), config.outputs, owner=config.factory)


def _model_owner(config: ModelConfig) -> str:
    return config.factory or config.weights or config.source


def _describe_model(module: nn.Module | None, config: ModelConfig) -> str:
    if module is None:
        return "an ONNX file"
    count = sum(parameter.numel() for parameter in module.parameters())
    weights = config.weights or ("its own weights" if config.factory else "random weights")
    return f"{type(module).__name__}, {count:,} parameters, {weights}"


def _describe_input(spec: TensorSpec, config: ModelConfig) -> str:
    axes = {name: config.axes[name] for name in spec.dynamic_axes.values()}
    ranges = [f"{name} {axis.min}..{axis.opt}..{axis.max}" for name, axis in axes.items()]
    return "  ".join((spec.name, f"{spec.dtype} {_say_shape(spec.shape)}", ", ".join(ranges)))


def _say_shape(shape: Sequence[Any]) -> str:
    return f"[{', '.join(str(extent) for extent in shape)}]"


def _try_split(
    params: Params, split: Split, specs: Sequence[TensorSpec]
) -> tuple[Dataset, list[Batch]]:
    """Return a split and its first two samples, each as a batch, once two openings agree.

    Raises:
        AdapterError, InputError, ConfigError: the samples break the contract.
    """
    opened = [open_dataset(params.dataset, split) for _ in range(2)]
    first, again = (list(islice(dataset.batches(1), SAMPLES)) for dataset in opened)
    owner = params.dataset.factory or f"dataset {params.dataset.name}"
    where = f"{owner}: the {split} split"
    if len(opened[0]) != len(opened[1]) or differing_input(first, again):
        what = differing_input(first, again) or "its length"
        raise InputError(
            f"{where}: {what} is another one when it is opened again; "
            "give the same samples every time: no augmentation, a generator of a fixed seed"
        )
    bounds = axis_bounds(params.model)
    for batch in first:
        require_inputs(batch.feeds, specs, where=where)
        require_extents(batch.feeds, specs, bounds, where=where)
    return opened[0], first


def differing_input(first: Sequence[Batch], again: Sequence[Batch]) -> str:
    """Return what differs between two readings of the same samples; an empty text for nothing."""
    for one, other in zip(first, again, strict=True):
        for name, array in one.feeds.items():
            if not np.array_equal(array, other.feeds.get(name, np.empty(0)), equal_nan=True):
                return f"{name!r} of sample {one.indices[0]}"
        if pack_labels(one.labels or ()) != pack_labels(other.labels or ()):
            return f"the label of sample {one.indices[0]}"
    return ""


def _describe_split(dataset: Dataset, samples: Sequence[Batch]) -> str:
    feeds = samples[0].feeds
    shapes = ", ".join(f"{name} {_say_shape(array.shape[1:])}" for name, array in feeds.items())
    labels = samples[0].labels
    label = "no labels" if labels is None else f"label {_shorten(_say_label(labels[0]))}"
    made_up = ", synthetic" if dataset.synthetic else ""
    return f"{len(dataset):,} samples{made_up}; the first: {shapes}; {label}"


def _say_label(label: Any) -> str:
    """Return a label as text: arrays by type and shape, numbers of NumPy as plain ones."""
    if isinstance(label, np.ndarray) and label.ndim:
        return f"{label.dtype} {_say_shape(label.shape)}"
    if isinstance(label, Mapping):
        return f"{{{', '.join(f'{key}: {_say_label(item)}' for key, item in label.items())}}}"
    if isinstance(label, list | tuple):
        return f"[{', '.join(map(_say_label, label))}]"
    return repr(label.item() if isinstance(label, np.generic | np.ndarray) else label)


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - a column's width


def _run(model: Function, feeds: Feeds, config: ModelConfig) -> Feeds:
    """Return the outputs of one sample, in a batch that the model takes.

    Raises:
        ModelError: an output has not one row per sample, or is not finite.
    """
    axis = input_specs(config)[0].shape[0]
    count = config.axes[axis].min if isinstance(axis, str) else axis
    filled = {name: np.repeat(array, count, axis=0) for name, array in feeds.items()}
    outputs: Mapping[str, Any] = model(filled)
    for name, array in outputs.items():
        where = f"{_model_owner(config)}: output {name!r}"
        if array.shape[:1] != (count,):
            raise ModelError(
                f"{where} has shape {list(array.shape)} for a batch of {count}; "
                "give every output one row per sample along axis 0"
            )
        require_finite(array, where, owner="the model")
    return {name: array[:1] for name, array in outputs.items()}


def _try_extents(model: Function, feeds: Feeds, config: ModelConfig) -> None:
    """Run the model with every axis at its smallest and largest, the others at their smallest.

    Raises:
        AdapterError: the model refuses one.
    """
    specs = input_specs(config)
    least = dict(feeds)
    for name, axis in config.axes.items():
        least = resize_axis(least, specs, name, axis.min)
    for name, axis in config.axes.items():
        for extent in {axis.min, axis.max}:
            model(resize_axis(least, specs, name, extent))


def _try_export(
    module: nn.Module | None, model: Function, samples: Sequence[Batch], params: Params
) -> str:
    """Return how far the exported graph is from the model, at every bound of the axes.

    Raises:
        ModelError, ConfigError, InputError: as the export stage.
    """
    config, specs, feeds = params.model, input_specs(params.model), dict(samples[0].feeds)
    for name, axis in config.axes.items():
        feeds = resize_axis(feeds, specs, name, axis.max)
    graph = make_onnx(module, config, params.export, feeds)
    adopt_config(graph, config)
    normalise(graph)
    with tempfile.TemporaryDirectory(prefix="trtproof-try-") as folder:
        exported = open_graph(write_model(graph, Path(folder)), threads=1).run
        limits = params.export.parity
        figures = require_parity(model, exported, feeds, specs, axes=config.axes, limits=limits)
    worst = max(figure.max_relative for figure in figures)
    return f"{len(graph.graph.node)} nodes; differs by at most {worst:.1e} of an output's largest"
