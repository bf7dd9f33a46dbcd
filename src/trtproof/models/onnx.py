"""Model source `onnx`: an existing float32 ONNX file; and what must hold of any ONNX model here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtproof.errors import ConfigError, InputError, MissingFileError, ModelError
from trtproof.models.base import input_specs
from trtproof.tensor import Dim, Signature, TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto
    from torch import nn

    from trtproof.config import ModelConfig


class OnnxSource:
    """Take `model.weights` as the exported graph; there is no PyTorch reference."""

    def make_module(self, config: ModelConfig) -> nn.Module | None:
        """Return None once the settings are known to name a file.

        Raises:
            ConfigError: `model.weights` is null.
            MissingFileError: there is no such file.
        """
        require_source_path(config)
        return None


def require_source_path(config: ModelConfig) -> Path:
    """Return the path of the user's ONNX file.

    Raises:
        ConfigError: `model.weights` is null.
        MissingFileError: there is no such file.
    """
    if config.weights is None:
        raise ConfigError(
            key="model.weights",
            problem="null, but `model.source: onnx` needs it",
            repair="set it to the path of the .onnx file",
        )
    path = Path(config.weights)
    if not path.is_file():
        raise MissingFileError(path, repair="correct `model.weights`")
    return path


def load_source(config: ModelConfig) -> ModelProto:
    """Return the user's model, its weights in memory, checked to be float32.

    Raises:
        ConfigError, MissingFileError, InputError: no path, no file, or not a valid model.
        ModelError: it computes in another floating-point type.
    """
    path = require_source_path(config)
    check_file(path)
    model = read_model(path)
    require_float32(model, path)
    return model


def read_model(path: Path) -> ModelProto:
    """Return a model with its weights in memory, also those in external files.

    Raises:
        InputError: the file is empty, cut short, or lacks its external data.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; export the model again")
    try:
        return onnx.load(path)
    except DecodeError:
        raise InputError(
            f"{path} is not a whole ONNX file (protobuf cannot parse it); export the model again"
        ) from None
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise InputError(
            f"{path}: its external data cannot be read ({_first_line(error)}); "
            "put the data file beside it"
        ) from None


def check_file(path: Path) -> None:
    """Check a written model in full: structure, operators, and every type and shape inferred.

    Raises:
        InputError: the checker's first line.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; export the model again")
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        DecodeError,
        RuntimeError,
        ValueError,
    ) as error:
        raise InputError(
            f"{path} is not a valid ONNX model ({_first_line(error)}); export the model again"
        ) from None


def require_float32(model: ModelProto, path: Path) -> None:
    """Refuse weights of any other floating-point type, and graphs that are already quantised.

    Raises:
        ModelError: names the first such tensor or node.
    """
    from onnx import TensorProto

    types = TensorProto.DataType
    allowed = {types.FLOAT, types.INT64, types.INT32, types.UINT8, types.BOOL}
    allowed |= {types.INT8, types.INT16, types.UINT16, types.UINT32, types.UINT64, types.STRING}
    for tensor in model.graph.initializer:
        if tensor.data_type not in allowed:
            raise ModelError(
                f"{path}: weight {tensor.name!r} is {types.Name(tensor.data_type)}, not FLOAT; "
                "a float32 model is where every precision starts: export it in float32"
            )
    for node in model.graph.node:
        if node.op_type.startswith(("QuantizeLinear", "DequantizeLinear", "QLinear")):
            raise ModelError(
                f"{path}: node {node.name or node.op_type!r} is {node.op_type}: the model is "
                "quantised already; name its float32 original here, and this file in a recipe of "
                "pass given"
            )


def adopt_config(model: ModelProto, config: ModelConfig) -> None:
    """Give the graph conf/model's names for its dynamic axes, once all else is found to agree.

    Raises:
        ModelError: inputs, outputs, types, extents or axes differ; the message has both sides.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {item.name: item for item in model.graph.input if item.name not in weights}
    outputs = {item.name: item for item in model.graph.output}
    specs = input_specs(config)
    _require_names(list(inputs), [spec.name for spec in specs], key="inputs")
    _require_names(list(outputs), list(config.outputs), key="outputs")
    names: dict[str, str] = {}
    for spec in specs:
        _match_input(inputs[spec.name], spec, names)
    _rename_axes(model, names)
    _keep_in_order(model.graph.input, [spec.name for spec in specs])
    _keep_in_order(model.graph.output, list(config.outputs))


def make_signature(
    model: ModelProto, config: ModelConfig, preprocessing: Sequence[Mapping[str, Any]]
) -> Signature:
    """Return what the graph takes, as conf/model states it, and what it gives."""
    return Signature(
        inputs=input_specs(config),
        outputs=tuple(describe_tensor(item) for item in model.graph.output),
        preprocessing=tuple(preprocessing),
    )


def describe_tensor(item: ValueInfoProto) -> TensorSpec:
    """Return an input or output of a graph; an axis without a name is called `<tensor>_<index>`.

    Raises:
        ModelError: the graph does not state its shape.
    """
    from onnx import helper

    tensor = item.type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelError(
            f"the graph does not state the shape of {item.name!r}; "
            "add it with onnx.shape_inference.infer_shapes"
        )
    dims: list[Dim] = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or f"{item.name}_{index}"
        for index, dim in enumerate(tensor.shape.dim)
    ]
    dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return TensorSpec(name=item.name, dtype=dtype, shape=tuple(dims))


def _require_names(found: list[str], stated: list[str], *, key: str) -> None:
    if sorted(found) != sorted(stated):
        raise ModelError(
            f"the graph's {key} are {', '.join(found)}, `model.{key}` names {', '.join(stated)}; "
            f"correct `model.{key}`"
        )


def _match_input(item: ValueInfoProto, spec: TensorSpec, names: dict[str, str]) -> None:
    """Compare one input with conf/model; collect the graph's axis name -> conf's in `names`."""
    found = describe_tensor(item)
    both = f"the graph has {found.dtype} {list(found.shape)}, conf {spec.dtype} {list(spec.shape)}"
    wrong = ModelError(f"input {spec.name!r}: {both}; correct `model.inputs.{spec.name}`")
    if found.dtype != spec.dtype or len(found.shape) != len(spec.shape):
        raise wrong
    for index, (theirs, ours) in enumerate(zip(found.shape, spec.shape, strict=True)):
        if isinstance(theirs, str) != isinstance(ours, str):
            raise wrong
        if isinstance(theirs, str) and isinstance(ours, str):
            item.type.tensor_type.shape.dim[index].dim_param = theirs
            if names.setdefault(theirs, ours) != ours:
                raise wrong
        elif theirs != ours:
            raise wrong


def _rename_axes(model: ModelProto, names: dict[str, str]) -> None:
    graph = model.graph
    for item in [*graph.input, *graph.output, *graph.value_info]:
        for dim in item.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]


def _keep_in_order(items: Any, names: list[str]) -> None:
    """Keep the named entries only, in conf's order; old files list their weights as inputs too."""
    by_name = {item.name: item for item in items}
    ordered = [by_name[name] for name in names]
    del items[:]
    items.extend(ordered)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


SOURCE: Final = OnnxSource()
