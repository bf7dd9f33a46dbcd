"""Where NVIDIA ModelOpt would quantise a graph: its rules of placement with our scales.

ModelOpt quantises a copy of the graph, fed with our scales by a calibration cache; of the result
only the places are taken. The graph itself is written as for the built-in quantizer: weights in 8
bits already, scales that float16 holds, no bias, none of ModelOpt's own bytes. So its calibration,
which depends on the order and the batches of the samples, decides nothing here.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, helper

from trtproof.calibration.cache_file import write_calibration_cache
from trtproof.errors import HardwareError, ModelError
from trtproof.precision.dtypes import DEQUANTIZE, QDQ_OPS
from trtproof.precision.graph import load_model, node_label, save_model
from trtproof.precision.qdq_sites import Sites, Weight
from trtproof.precision.quantizers import Request
from trtproof.tensor import Feeds

INSTALL: Final = (
    "pip install --no-deps nvidia-modelopt==0.47.0 onnx_graphsurgeon==0.6.1 onnxslim==0.1.98 "
    "polygraphy==0.53.6 onnxconverter-common==1.16.0 lief==1.0.0 tqdm==4.70.1 colorama==0.4.6"
)
"""Without its dependencies: those bring a second ONNX Runtime and CUDA libraries of 1.1 GB."""

FAILURES: Final = (
    ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError,
    ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError,
)  # fmt: skip
"""What ModelOpt and the libraries below it raise about a graph that they do not understand."""

BATCH: Final = 2
EXTENT: Final = 16
"""What dynamic axes are for the one run that ModelOpt insists on: axis 0, and any other."""


def place_modelopt(model: ModelProto, request: Request) -> Sites:
    """Return ModelOpt's sites; see `trtproof.precision.quantizers.Quantizer`.

    Raises:
        HardwareError: ModelOpt is not installed; names the command.
        ModelError: ModelOpt cannot quantise the graph.
    """
    quantize = _import_quantize()
    with tempfile.TemporaryDirectory(prefix="trtproof-") as name:
        folder = Path(name)
        source, made = folder / "model.onnx", folder / "quantised.onnx"
        copy = ModelProto()
        copy.CopyFrom(model)  # saving may move weights out of it
        save_model(copy, source)
        write_calibration_cache(folder / "calibration.cache", request.find_scales())
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                quantize(
                    str(source),
                    quantize_mode=request.grid.name,
                    calibration_data=make_feeds(model),  # None would mean a random sample
                    calibration_cache_path=str(folder / "calibration.cache"),
                    calibration_eps=["cpu"],
                    high_precision_dtype="fp32",
                    output_path=str(made),
                    log_level="CRITICAL",
                )
        except FAILURES as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"ModelOpt cannot quantise the model ({reason}); take `quantizer: builtin`"
            ) from error
        quantised = load_model(made, with_weights=False)
    return read_sites(model, quantised, request)


def read_sites(model: ModelProto, quantised: ModelProto, request: Request) -> Sites:
    """Return where the quantised copy of a model reads something dequantised."""
    positions = {node_label(node): index for index, node in enumerate(model.graph.node)}
    sites = Sites()
    for (label, index), axis in _dequantised(quantised):
        if label in positions:
            _add_site(sites, model, (positions[label], index), axis)
    for label, position in positions.items():
        operator = model.graph.node[position].op_type
        if request.exclude.intersection({label, operator}):
            sites.drop(position)
            sites.kept[label] = "excluded by the recipe"
    placed = set(sites.positions)
    for label, position in positions.items():
        if model.graph.node[position].op_type in request.operators and position not in placed:
            sites.kept.setdefault(label, "ModelOpt does not quantise it")
    return sites


def _add_site(sites: Sites, model: ModelProto, place: tuple[int, int], axis: int | None) -> None:
    """Add what the model's own node reads there; ModelOpt may have copied a shared weight."""
    position, index = place
    tensor = model.graph.node[position].input[index]
    if any(item.name == tensor for item in model.graph.initializer):
        sites.weights[place] = Weight(tensor, axis)
    else:
        sites.activations[place] = tensor


def make_feeds(model: ModelProto) -> Feeds:
    """Return one request of zeros: what ModelOpt computes from it is not used."""
    weights = {tensor.name for tensor in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        shape = [
            dim.dim_value or (EXTENT if axis else BATCH)
            for axis, dim in enumerate(tensor.shape.dim)
        ]
        feeds[value.name] = np.zeros(shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return feeds


def _dequantised(quantised: ModelProto) -> Iterator[tuple[tuple[str, int], int | None]]:
    """Yield (node, input) of all that reads something dequantised, and the axis of its scales."""
    makers = {name: node for node in quantised.graph.node for name in node.output}
    scalars = {tensor.name for tensor in quantised.graph.initializer if not tensor.dims}
    for node in quantised.graph.node:
        if node.op_type in QDQ_OPS:
            continue
        for index, name in enumerate(node.input):
            restore = makers.get(name)
            if restore is not None and restore.op_type == DEQUANTIZE:
                axis = next((item.i for item in restore.attribute if item.name == "axis"), None)
                yield (node_label(node), index), None if restore.input[1] in scalars else axis


def _import_quantize() -> Callable[..., Any]:
    try:
        from modelopt.onnx.quantization import quantize
    except ImportError as error:
        raise HardwareError(
            f"`quantizer: modelopt` needs NVIDIA ModelOpt, which is not installed ({error}); run "
            f"`{INSTALL}`"
        ) from None
    found: Callable[..., Any] = quantize
    return found
