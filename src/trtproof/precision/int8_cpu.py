"""int8_cpu: ONNX Runtime's own fast recipe for CPUs.

uint8 activations, int8 weights per channel, int32 biases, operators' outputs quantised: the form
that ONNX Runtime turns into QLinearConv and its like, 2.6-3 times faster than float32 with VNNI.
TensorRT refuses it (zero points). ONNX Runtime decides where Q/DQ go; ranges are the calibrate
stage's signed minimum and maximum, so that no data is run here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from trtproof.errors import CalibrationError, ModelError
from trtproof.precision.base import PrecisionPass, PrecisionRecord
from trtproof.precision.dtypes import (
    DEQUANTIZE,
    QDQ_OPS,
    QUANTIZE,
    count_dtypes,
    infer_types,
    infer_values,
    require_types,
)
from trtproof.precision.graph import (
    check_model,
    constants_to_weights,
    data_dependent,
    drop_default_inputs,
    load_model,
    node_label,
    opset_version,
    refuse_unwalkable,
    replace_items,
    save_model,
    sort_nodes,
)
from trtproof.precision.left_out import Ranges, find_left_out, name_readers
from trtproof.precision.onnxruntime_forms import part_weights, scale_biases

if TYPE_CHECKING:
    from trtproof.calibration import Calibration

MIN_OPSET: Final = 13
"""The first opset whose DequantizeLinear takes a scale per channel."""

SCALE_SUFFIX: Final = "_scale"
"""What ONNX Runtime appends to a tensor's name to call its scale."""

INFERRED: Final = {"onnx.infer": "onnxruntime.quant"}
"""Metadata by which ONNX Runtime's quantizer knows that tensors' types are stated already."""


class Int8CpuPass:
    """Quantise the graph by ONNX Runtime's recipe, with our ranges."""

    precision = "int8_cpu"
    needs_calibration = True

    def __call__(
        self, model: Path, out: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> PrecisionRecord:
        """Write the quantised model to `out`; see `PrecisionPass`.

        Options: `exclude`, names of nodes that stay in float32.
        """
        if calibration is None:
            message = "int8_cpu needs ranges: set the recipe's `calibration` to artifacts/calibrate"
            raise CalibrationError(message)
        graph = load_model(model)
        self._require_convertible(graph)
        constants_to_weights(graph)
        scale_biases(graph)
        part_weights(graph)
        left_out = find_left_out(graph, calibration.ranges, options)
        readers = name_readers(graph)
        measured = {name: readers.get(name, []) for name in data_dependent(graph)}
        quantised = _quantise(graph, calibration.ranges, left_out)
        _refuse_unusable_ranges(quantised, calibration.ranges, measured)
        record = PrecisionRecord(
            precision=self.precision,
            executor="onnxruntime",
            dtypes=count_dtypes(quantised),
            kept=dict(_kept_nodes(quantised, left_out)),
            scales=_scales(quantised),
        )
        save_model(quantised, out)
        check_model(out)
        return record

    def _require_convertible(self, graph: ModelProto) -> None:
        refuse_unwalkable(graph, precision=self.precision)
        if opset_version(graph) < MIN_OPSET:
            raise ModelError(
                f"the model uses opset {opset_version(graph)}, int8_cpu needs {MIN_OPSET}; export "
                "it with a higher `export.opset`"
            )
        drop_default_inputs(graph)


def _quantise(graph: ModelProto, ranges: Ranges, left_out: Mapping[str, str]) -> ModelProto:
    """Return the quantised model, in topological order and without a trace of the tool.

    Raises:
        ModelError: ONNX Runtime's quantizer cannot convert the graph.
    """
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    producer = graph.producer_name, graph.producer_version
    types = require_types(graph)
    replace_items(graph.graph.value_info, infer_values(graph))
    helper.set_model_props(graph, metadata | INFERRED)
    try:
        with _without_axis_warnings():
            quantizer = _make_quantizer(graph, _tensor_data(types, ranges), list(left_out))
            quantised: ModelProto = quantizer.quantize_model()
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"ONNX Runtime cannot quantise the model: {reason}") from error
    helper.set_model_props(quantised, metadata)
    quantised.producer_name, quantised.producer_version = producer
    del quantised.graph.value_info[:]
    sort_nodes(quantised.graph)
    return quantised


@contextmanager
def _without_axis_warnings() -> Iterator[None]:
    """Leave out that ONNX Runtime takes one scale for weights that have no channels.

    Those are LayerNormalization's, of rank 1; nobody can act on it.
    """

    def is_other(record: logging.LogRecord) -> bool:
        return "is out-of-range for weight" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)


def _tensor_data(types: Mapping[str, int], ranges: Ranges) -> dict[str, Any]:
    """Return every float32 tensor's range as ONNX Runtime takes it.

    A tensor without a range gets a placeholder: whether it is quantised is known only afterwards,
    and `_refuse_unusable_ranges` then stops.
    """
    from onnxruntime.quantization.calibrate import TensorData

    floats = sorted(name for name, data_type in types.items() if data_type == TensorProto.FLOAT)
    ends = {name: ranges.get(name, (0.0, 0.0)) for name in floats}
    return {
        name: TensorData(lowest=np.float32(lowest), highest=np.float32(highest))
        for name, (lowest, highest) in ends.items()
    }


def _make_quantizer(graph: ModelProto, data: dict[str, Any], exclude: Sequence[str]) -> Any:
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    return QDQQuantizer(
        graph,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=data,
        nodes_to_quantize=[],
        nodes_to_exclude=exclude,
        op_types_to_quantize=quantised_op_types(),
        extra_options={},
    )


def quantised_op_types() -> list[str]:
    """Return the operators that the recipe quantises.

    As `quantize_static` does by default: all that ONNX Runtime has a rule for.
    """
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QDQRegistry, *QLinearOpsRegistry})


def _refuse_unusable_ranges(
    quantised: ModelProto, ranges: Ranges, measured: Mapping[str, Sequence[str]]
) -> None:
    """Check the range of every quantised tensor in `measured`: those that depend on samples.

    Its values are the nodes that read them, for the message.

    Raises:
        CalibrationError: it has none, or is zero in every sample.
    """
    for node in quantised.graph.node:
        if node.op_type != QUANTIZE:
            continue
        tensor = node.input[1].removesuffix(SCALE_SUFFIX)
        if tensor not in measured:
            continue  # a weight's own range, or a constant: zero is all that it will ever be
        if tensor not in ranges:
            raise CalibrationError(
                f"tensor {tensor!r} would be quantised but has no range; the ranges are of another "
                "model: run `dvc repro calibrate`"
            )
        if ranges[tensor] == (0.0, 0.0):
            raise CalibrationError(
                f"tensor {tensor!r} is zero in every calibration sample, so that it has no scale; "
                f"calibrate with real samples, or exclude what reads it: "
                f"{', '.join(measured[tensor])}"
            )


def _scales(quantised: ModelProto) -> dict[str, list[float]]:
    """Return tensor name -> its scale, or its scales per channel.

    Numbers are the shortest decimals that are the same float32.
    """
    names = {node.input[1] for node in quantised.graph.node if node.op_type in QDQ_OPS}
    return {
        tensor.name.removesuffix(SCALE_SUFFIX): [
            float(str(scale)) for scale in numpy_helper.to_array(tensor).ravel()
        ]
        for tensor in quantised.graph.initializer
        if tensor.name in names
    }


def _kept_nodes(quantised: ModelProto, left_out: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield node and reason for everything that still computes in float32."""
    op_types = set(quantised_op_types())
    types = infer_types(quantised)
    nodes = [node for node in quantised.graph.node if node.op_type not in QDQ_OPS]
    qdq = [node for node in quantised.graph.node if node.op_type in QDQ_OPS]
    quantised_here = {node.output[0] for node in qdq if node.op_type == DEQUANTIZE}
    quantised_here |= {node.input[0] for node in qdq if node.op_type == QUANTIZE}
    for node in nodes:
        if not any(types.get(name) == TensorProto.FLOAT for name in node.output):
            continue
        if node.name in left_out:
            yield node.name, left_out[node.name]
        elif node.op_type not in op_types:
            yield node_label(node), f"ONNX Runtime's recipe does not quantise {node.op_type}"
        elif not quantised_here.intersection((*node.input, *node.output)):
            yield node_label(node), "none of its tensors is quantised"


PASS: PrecisionPass = Int8CpuPass()
