"""given: a graph that already states its precision, taken as it is.

From quantisation-aware training, NVIDIA ModelOpt or another exporter. Nothing is converted or
calibrated: the file is checked against the reference that conf names, what it computes in is read
from it, and it is copied byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnx import ModelProto

from trtproof.artifacts import sha256_file
from trtproof.errors import ConfigError, MissingFileError, ModelError
from trtproof.precision.base import PrecisionRecord, refuse_unknown_options
from trtproof.precision.dtypes import count_dtypes
from trtproof.precision.found import Found, describe
from trtproof.precision.graph import ONNX_DOMAINS, check_model, copy_model, load_model, node_label

if TYPE_CHECKING:
    from trtproof.calibration import Calibration

REPAIR: Final = "correct the recipe in conf/recipe/ and run `trtproof compose`"
DOMAINS: Final = (*ONNX_DOMAINS, "com.microsoft", "ai.onnx.ml")
"""Of operators that ONNX Runtime computes, so that the file can be audited."""

EXECUTORS: Final = {
    "fp32": "onnxruntime",
    "fp16": "onnxruntime",
    "bf16": "onnxruntime-emulated",
    "int8_cpu": "onnxruntime",
}
"""Precision -> how its graphs are computed truthfully here; others unoptimised."""


class GivenPass:
    """Copy the file that option `file` names; its precision is in the record."""

    precision = "given"
    needs_calibration = False

    def __call__(
        self, model: Path, out: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> PrecisionRecord:
        """Write the given file's bytes to `out`; see `PrecisionPass`.

        Raises:
            ModelError: it is no valid ONNX model, or takes or gives something else than `model`.
        """
        refuse_unknown_options(options, known=("file",), precision=self.precision)
        reference = load_model(model, with_weights=False)
        path = given_file(options)
        graph = load_model(path)
        check_model(path)
        _refuse_foreign_operators(graph, path)
        _require_same_signature(graph, reference, path)
        found = describe(graph)
        copy_model(path, out)
        return PrecisionRecord(
            precision=found.precision,
            executor=EXECUTORS.get(found.precision, "onnxruntime-unoptimized"),
            dtypes=count_dtypes(graph),
            kept=found.kept,
            scales=found.scales,
            warnings=_warnings(found, path),
            notes=[f"taken as it is from {path.name}: {found.summary()}"],
            found=found.to_json() | {"file_sha256": sha256_file(path)},
        )


def given_file(options: Mapping[str, Any]) -> Path:
    """Return the file that a recipe's options name.

    Raises:
        ConfigError: they name none.
        MissingFileError: it is not there.
    """
    name = options.get("file")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            key="option 'file' of pass given",
            problem=f"{name!r} is no path of an .onnx file",
            repair=REPAIR,
        )
    if not Path(name).is_file():
        raise MissingFileError(name, repair="put it there, or correct the recipe's option `file`")
    return Path(name)


def _refuse_foreign_operators(graph: ModelProto, path: Path) -> None:
    for node in graph.graph.node:
        if node.domain not in DOMAINS:
            raise ModelError(
                f"{path.name}: node {node_label(node)!r} is {node.domain}::{node.op_type}, an "
                "operator that ONNX Runtime does not have, so that the file cannot be checked; "
                "export it with ONNX's own operators (opset 19 has float8 Q/DQ)"
            )


def _require_same_signature(graph: ModelProto, reference: ModelProto, path: Path) -> None:
    """Refuse other inputs or outputs than the reference's: names, types, and extents."""
    for kind in ("input", "output"):
        wanted, found = _signature(reference, kind), _signature(graph, kind)
        if sorted(wanted) != sorted(found):
            raise ModelError(
                f"{path.name}: its {kind}s are {', '.join(found)}, the reference's "
                f"{', '.join(wanted)}; export it with the reference's names"
            )
        for name, (dtype, shape) in wanted.items():
            other, extents = found[name]
            if other != dtype:
                raise ModelError(
                    f"{path.name}: {kind} {name!r} is {other}, the reference's is {dtype}; "
                    f"export it with {dtype} inputs and outputs (ModelOpt and onnxconverter: "
                    "keep_io_types)"
                )
            if not _fits(extents, shape, kind):
                raise ModelError(
                    f"{path.name}: {kind} {name!r} has shape {list(extents)}, the reference's "
                    f"{list(shape)}; export it with the same extents and dynamic axes"
                )


def _fits(found: tuple[Any, ...], wanted: tuple[Any, ...], kind: str) -> bool:
    """Say whether extents agree: numbers where numbers, dynamic where dynamic.

    An output's extent may be unknown on either side: tools that rewrite graphs lose some.
    """
    return len(found) == len(wanted) and all(
        one == other if isinstance(one, int) and isinstance(other, int)
        else isinstance(one, int) == isinstance(other, int) or kind == "output"
        for one, other in zip(found, wanted, strict=True)
    )  # fmt: skip


def _signature(model: ModelProto, kind: str) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Return name -> (type, extents and axis names) of a graph's inputs or outputs."""
    from onnx import TensorProto

    weights = {tensor.name for tensor in model.graph.initializer}
    values = model.graph.input if kind == "input" else model.graph.output
    return {
        value.name: (
            TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            tuple(
                dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
                for dim in value.type.tensor_type.shape.dim
            ),
        )
        for value in values
        if value.name not in weights
    }


def _warnings(found: Found, path: Path) -> list[str]:
    if found.precision == "fp32":
        return [f"{path.name} states no precision below float32; recipe fp32 is the same"]
    if found.wide_count:
        said = (
            f"{path.name} has {found.wide_count} DequantizeLinear of 32-bit integers (biases), "
            "which TensorRT does not take; for TensorRT leave biases in float32 "
            "(onnxruntime.quantization: extra_options QuantizeBias False)"
        )
        return [said]
    return []


PASS: Final = GivenPass()
