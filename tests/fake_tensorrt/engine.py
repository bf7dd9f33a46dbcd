"""The fake ICudaEngine and EngineInspector: a plan's ONNX in an ONNX Runtime session."""

from __future__ import annotations

import json
import weakref
from typing import Any

import onnx
import onnxruntime as ort
from tests.fake_tensorrt.context import IExecutionContext
from tests.fake_tensorrt.world import TYPES, World

from trtproof.precision.emulation import widen

DATA_DEPENDENT = ("NonZero", "NonMaxSuppression", "Unique", "Compress")
SHAPE_ARGUMENT = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0, "Resize": 3}
"""Operator -> which argument holds a shape."""
WORDS = {
    "FLOAT": "Float",
    "FLOAT16": "Half",
    "BFLOAT16": "BFloat16",
    "FLOAT8E4M3FN": "FP8",
    "INT8": "Int8",
    "INT32": "Int32",
    "INT64": "Int64",
    "BOOL": "Bool",
}
"""ONNX's name of a data type -> the inspector's."""


def _widen(model: bytes) -> bytes:
    """Return the model with its bfloat16 rounded in float32: ONNX Runtime's CPU has no kernels."""
    if "BFloat16" not in _read_types(model)[0].values():
        return model
    proto = onnx.load_from_string(model)
    widen(proto)
    return bytes(proto.SerializeToString())


def _read_types(model: bytes) -> tuple[dict[str, str], set[str]]:
    """Return tensor -> data type in the inspector's words, and the names of weights."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    weights = {weight.name: weight.data_type for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":  # a real engine has fused it into its reader
            kinds[node.output[0]] = (kinds | weights)[node.input[0]]
    names = {
        name: WORDS.get(onnx.TensorProto.DataType.Name(kind), "Float")
        for name, kind in (kinds | weights).items()
    }
    return names, set(weights)


class ICudaEngine:
    _world: World

    def __init__(self, runtime: Any, header: dict[str, Any], model: bytes) -> None:
        self._runtime = weakref.ref(runtime)
        self._header = header
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        runnable = _widen(model)
        self._session = ort.InferenceSession(runnable, options, providers=["CPUExecutionProvider"])
        self._inputs = {tensor.name: tensor for tensor in self._session.get_inputs()}
        self._outputs = {tensor.name: tensor for tensor in self._session.get_outputs()}
        self._tensors = self._inputs | self._outputs
        graph = onnx.load_from_string(model).graph
        self._shape_inputs = {
            node.input[SHAPE_ARGUMENT[node.op_type]]
            for node in graph.node
            if node.op_type in SHAPE_ARGUMENT and len(node.input) > SHAPE_ARGUMENT[node.op_type]
        } & set(self._inputs)
        self._late = any(node.op_type in DATA_DEPENDENT for node in graph.node)
        self._nodes = list(graph.node)
        self._types = _read_types(model)
        self._weights = sum(len(weight.raw_data) for weight in graph.initializer)
        self._live: weakref.WeakSet[Any] = weakref.WeakSet()
        self._budget = self._streamable

    def __del__(self) -> None:
        if getattr(self, "_runtime", None) is not None and self._runtime() is None:
            self._world.rules.append("the runtime was destroyed before its engine")

    @property
    def _streamable(self) -> int:
        """Return the bytes of all weights where the plan was built to stream them."""
        return self._weights if self._header["weight_streaming"] else 0

    @property
    def _scratch(self) -> int:
        return int(self._header["scratch"])

    @property
    def _profiles(self) -> list[dict[str, Any]]:
        return list(self._header["profiles"])

    def _extents(self, name: str) -> tuple[int, ...]:
        return tuple(dim if isinstance(dim, int) else -1 for dim in self._tensors[name].shape)

    def _limits(self, name: str, index: int) -> list[list[int]]:
        """Return min, opt, max of an input in a profile."""
        fixed = [list(self._extents(name))] * 3
        return list(self._profiles[index].get(name, fixed)) if self._profiles else fixed

    @property
    def name(self) -> str:
        return str(self._header["name"])

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    @property
    def num_layers(self) -> int:
        return len(self._nodes)

    @property
    def num_optimization_profiles(self) -> int:
        return max(1, len(self._profiles))

    @property
    def num_aux_streams(self) -> int:
        return int(self._header["aux_streams"] or 0)

    @property
    def device_memory_size_v2(self) -> int:
        return self._scratch

    @property
    def device_memory_size(self) -> int:
        return self._scratch

    @property
    def streamable_weights_size(self) -> int:
        return self._streamable

    @property
    def weight_streaming_budget_v2(self) -> int:
        return self._budget

    @weight_streaming_budget_v2.setter
    def weight_streaming_budget_v2(self, budget: int) -> None:
        if len(self._live):
            self._world.error(
                "ICudaEngine::setWeightStreamingBudgetV2", "an execution context is active"
            )
        elif 0 <= budget <= self._streamable:
            self._budget = budget

    @property
    def profiling_verbosity(self) -> Any:
        return self._world.trt.ProfilingVerbosity[self._header["verbosity"]]

    @property
    def hardware_compatibility_level(self) -> Any:
        level = self._header["hardware_compatibility"]
        return self._world.trt.HardwareCompatibilityLevel[level]

    def get_engine_stat(self, stat: Any) -> int:
        stats = self._world.trt.EngineStat
        return self._weights if stat == stats.TOTAL_WEIGHTS_SIZE else 0

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return self._scratch if 0 <= profile_index < self.num_optimization_profiles else 0

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._world.trt.TensorIOMode
        if name not in self._tensors:
            return modes.NONE
        return modes.INPUT if name in self._inputs else modes.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._extents(name)

    def get_tensor_dtype(self, name: str) -> Any:
        return self._world.trt.DataType[TYPES[self._tensors[name].type]]

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Any:
        del profile_index
        return self._world.trt.TensorFormat[self._header.get("formats", {}).get(name, "LINEAR")]

    def get_tensor_location(self, name: str) -> Any:
        places = self._world.trt.TensorLocation
        return places.HOST if name in self._shape_inputs else places.DEVICE

    def is_shape_inference_io(self, name: str) -> bool:
        return name in self._shape_inputs

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        if name not in self._inputs or name in self._shape_inputs:
            problem = "__len__() should return >= 0"
            raise ValueError(problem)
        return [tuple(limit) for limit in self._limits(name, profile_index)]

    def get_tensor_profile_values(self, index: Any, name: Any) -> list[list[int]]:
        """Take the arguments in the order of the bindings, whatever they are called there."""
        if not isinstance(index, int) or not isinstance(name, str):
            problem = "get_tensor_profile_values(): incompatible function arguments"
            raise TypeError(problem)
        return self._limits(name, index) if name in self._shape_inputs else []

    def create_execution_context(self, *args: Any, **kwargs: Any) -> Any:
        strategies = self._world.trt.ExecutionContextAllocationStrategy
        strategy = next(iter([*args, *kwargs.values()]), strategies.STATIC)
        if "context_null" in self._world.host.faults:
            return self._world.error(
                "ICudaEngine::createExecutionContext", "Out of memory: could not be allocated", 2
            )
        context = self._world.make_class("IExecutionContext", IExecutionContext)(self, strategy)
        self._live.add(context)
        return context

    def create_engine_inspector(self) -> Any:
        return self._world.make_class("EngineInspector", EngineInspector)(self)


class EngineInspector:
    _world: World

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def get_engine_information(self, format: Any) -> str:  # noqa: A002 - the recorded name
        """Return JSON in the words of this major; names only for a plan without details."""
        formats = self._world.trt.LayerInformationFormat
        assert format == formats.JSON
        engine, new = self._engine, self._world.surface.version.startswith("11")
        detailed = engine._header["verbosity"] == "DETAILED"
        layers = [self._layer(node, new=new) if detailed else node.name for node in engine._nodes]
        if not new:
            return json.dumps({"Layers": layers, "Bindings": list(engine._tensors)})
        tensors = [
            {"Name": name, "IOMode": "Input" if name in engine._inputs else "Output"}
            for name in engine._tensors
        ]
        return json.dumps({"Layers": layers, "I/O Tensors": tensors})

    def _layer(self, node: Any, *, new: bool) -> dict[str, Any]:
        types, weights = self._engine._types
        held = [name for name in node.input if name in weights]

        def describe(name: str) -> dict[str, Any]:
            dtype = types.get(name, "Float")
            words = (
                {"Datatype": dtype, "Format": "Row major linear format"}
                if new
                else {"Format/Datatype": dtype}
            )
            return {"Name": name, "Location": "Device", "Dimensions": [], **words}

        layer = {
            "Name": node.name,
            "LayerType": node.op_type,
            "Inputs": [describe(name) for name in node.input if name and name not in held],
            "Outputs": [describe(name) for name in node.output],
            "TacticName": f"fake_{node.op_type.lower()}",
            "Metadata": f"[ONNX Layer: {node.name}]",
        }
        return layer | ({"Weights": {"Type": types[held[0]], "Count": 1}} if held else {})
