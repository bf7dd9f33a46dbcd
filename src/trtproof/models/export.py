"""From a PyTorch module to an ONNX graph by either of PyTorch's two exporters."""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import torch

from trtproof.errors import ConfigError, ModelError
from trtproof.models.base import input_specs
from trtproof.models.onnx import load_source, read_model
from trtproof.models.reference import make_arguments, make_function
from trtproof.tensor import Array, Feeds, resize_axis

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from trtproof.config import AxisConfig, ExportConfig, ModelConfig

IMPLICIT_TOOLS: Final = ("onnxscript", "onnx-ir")
"""Libraries that the dynamo exporter computes the graph with and that nothing here imports."""

EXPORT_FILE: Final = "export.json"

OTHER_EXPORTER: Final = {"dynamo": "legacy", "legacy": "dynamo"}
SMALLEST_TRACED_EXTENT: Final = 2
"""torch.export takes an extent of 0 or 1 for a constant of the model."""

TERMINAL_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def make_onnx(
    module: nn.Module | None,
    config: ModelConfig,
    settings: ExportConfig,
    feeds: Mapping[str, Array],
) -> ModelProto:
    """Return the exporter's model of the module; without a module, the user's own.

    Raises:
        PipelineError: as `export_module` and `load_source`.
    """
    return load_source(config) if module is None else export_module(module, config, settings, feeds)


def export_module(
    module: nn.Module, config: ModelConfig, settings: ExportConfig, feeds: Mapping[str, Array]
) -> ModelProto:
    """Return the module's graph as the exporter made it, with its weights in memory.

    `feeds` are real samples, from which the module is traced. Dynamic axes keep conf's names.

    Raises:
        ModelError: the exporter failed; the message names the other one.
        ConfigError: the exporter cannot write the configured opset.
    """
    specs = input_specs(config)
    example = trace_feeds(feeds, config)
    # Run before the trace: what is wrong with the module or its settings shows plainer here.
    make_function(module, specs, config.outputs, owner=config.factory)(example)
    exporter = _export_dynamo if settings.exporter == "dynamo" else _export_legacy
    with tempfile.TemporaryDirectory(prefix="trtproof-export-") as folder, _quiet_exporter():
        path = Path(folder) / "model.onnx"
        try:
            exporter(module, config, settings.opset, example, path)
        except (RuntimeError, TypeError, ValueError, torch.onnx.OnnxExporterError) as error:
            raise ModelError(
                f"the {settings.exporter} exporter failed on {config.name}: {describe(error)}; "
                f"change the model, or try `export.exporter: {OTHER_EXPORTER[settings.exporter]}`"
            ) from error
        model = read_model(path)
    _require_opset(model, settings)
    return model


def trace_feeds(feeds: Mapping[str, Array], config: ModelConfig) -> Feeds:
    """Return the feeds at extents that a trace may take: `opt`, but at least two."""
    traced = dict(feeds)
    specs = input_specs(config)
    for name, axis in config.axes.items():
        traced = resize_axis(traced, specs, name, traced_extent(axis))
    return traced


def traced_extent(axis: AxisConfig) -> int:
    """Return the extent of an axis in a trace."""
    return max(axis.opt, SMALLEST_TRACED_EXTENT)


def describe(error: BaseException) -> str:
    """Return what an exporter's error is about in one line.

    PyTorch's messages begin with general advice; the cause is the innermost exception.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in TERMINAL_COLOUR.sub("", str(error)).splitlines()]
    text = next(filter(None, lines), "no message")
    return f"{type(error).__name__}: {text.rstrip('.')}"


def _export_dynamo(
    module: nn.Module, config: ModelConfig, opset: int, example: Feeds, path: Path
) -> None:
    specs = input_specs(config)
    dims = {name: _make_dim(name, axis) for name, axis in config.axes.items()}
    shapes = tuple(
        {index: dims[name] for index, name in spec.dynamic_axes.items()} for spec in specs
    )
    program = torch.onnx.export(
        module,
        make_arguments(example, specs),
        dynamo=True,
        dynamic_shapes=_fit_signature(module, shapes),
        input_names=[spec.name for spec in specs],
        output_names=list(config.outputs),
        opset_version=opset,
        verbose=False,
    )
    if program is None:
        raise TypeError(f"torch.onnx.export returned {program} with dynamo=True")
    program.save(path, external_data=True)


def _export_legacy(
    module: nn.Module, config: ModelConfig, opset: int, example: Feeds, path: Path
) -> None:
    specs = input_specs(config)
    axes = {spec.name: spec.dynamic_axes for spec in specs}
    torch.onnx.export(
        module,
        make_arguments(example, specs),
        path,
        dynamo=False,
        dynamic_axes=axes | _find_output_axes(module, config, example),
        input_names=[spec.name for spec in specs],
        output_names=list(config.outputs),
        opset_version=opset,
        verbose=False,
    )


def _find_output_axes(
    module: nn.Module, config: ModelConfig, example: Feeds
) -> dict[str, dict[int, str]]:
    """Return which extents of the outputs are which axes: the legacy exporter does not know.

    An extent is an axis if it follows when that axis alone changes.
    """
    specs = input_specs(config)
    function = make_function(module, specs, config.outputs, owner=config.factory)
    first = function(example)
    found: dict[str, dict[int, str]] = {name: {} for name in config.outputs}
    for name, axis in config.axes.items():
        extent = traced_extent(axis)
        other = extent - 1 if extent > max(axis.min, SMALLEST_TRACED_EXTENT) else extent + 1
        changed = function(resize_axis(example, specs, name, other))
        for output, array in first.items():
            for index, pair in enumerate(zip(array.shape, changed[output].shape, strict=True)):
                if pair == (extent, other):
                    found[output][index] = name
    return found


def _make_dim(name: str, axis: AxisConfig) -> torch.export.Dim:
    """Return the symbolic extent, bounded where there is a range that a trace can stand in."""
    if axis.min < axis.max and axis.max >= SMALLEST_TRACED_EXTENT:
        return torch.export.Dim(name, min=axis.min, max=axis.max)
    return torch.export.Dim(name)


def _fit_signature(module: nn.Module, shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the shapes as torch.export wants them: those of `*values` as one nested tuple."""
    parameters = inspect.signature(module.forward).parameters.values()
    for index, parameter in enumerate(parameters):
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return (*shapes[:index], shapes[index:])
    return shapes


def _require_opset(model: ModelProto, settings: ExportConfig) -> None:
    """Refuse another opset than the configured one: an exporter that cannot write it only warns."""
    written = next(item.version for item in model.opset_import if item.domain in {"", "ai.onnx"})
    if written != settings.opset:
        raise ConfigError(
            key="export.opset",
            problem=f"{settings.opset}, but the {settings.exporter} exporter of PyTorch "
            f"{torch.__version__} wrote {written}",
            repair=f"set it to {written}",
        )


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep warnings about PyTorch's own code, and about libraries it could use, off the screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def describe_export(
    model: ModelProto, config: ModelConfig, settings: ExportConfig
) -> dict[str, Any]:
    """Return what export.json says of a graph; an ONNX source has no exporter."""
    opset = next(item.version for item in model.opset_import if item.domain in {"", "ai.onnx"})
    return {
        "schema": 1,
        "model": config.name,
        "config": msgspec.to_builtins(config),
        "source": config.source,
        "exporter": None if config.source == "onnx" else settings.exporter,
        "opset": opset,
        "ir_version": model.ir_version,
        "nodes_count": len(model.graph.node),
        "weights_bytes": sum(len(tensor.raw_data) for tensor in model.graph.initializer),
    }
