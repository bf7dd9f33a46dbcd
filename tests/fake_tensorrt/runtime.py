"""The runtime half of the strict fake: Runtime, ICudaEngine, IExecutionContext, EngineInspector.

The "engine" is the plan's ONNX, run by ONNX Runtime on the memory of the fake GPU
(tests/fake_cuda), when somebody waits for the stream. The rules are NvInferRuntime.h's; a broken
one answers False or None with an ERROR line, as TensorRT does. `rules` on the module lists what
TensorRT would not even notice (an object that outlives what it depends on): tests want it empty.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from tests.fake_cuda.gpu import FakeCudaError, Work, current_machine
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.plan import read_plan
from tests.fake_tensorrt.surface import Surface, require_initialised, strict

ALIGNMENT = 256
KERNEL_NS = 50_000
DATA_DEPENDENT = ("NonZero", "NonMaxSuppression", "Unique", "Compress")
SHAPE_ARGUMENT = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0, "Resize": 3}
"""Operator -> which argument holds a shape."""

TYPES = {
    "tensor(float)": "FLOAT",
    "tensor(float16)": "HALF",
    "tensor(bfloat16)": "BF16",
    "tensor(int64)": "INT64",
    "tensor(int32)": "INT32",
    "tensor(int8)": "INT8",
    "tensor(uint8)": "UINT8",
    "tensor(bool)": "BOOL",
}
NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT64": np.int64,
    "INT32": np.int32,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}


def install(trt: Any, surface: Surface, host: Host) -> None:
    """Put the runtime's classes on the module."""
    world = World(trt, surface, host)
    trt.Runtime = world.make_class("Runtime", Runtime)
    trt._rules = world.rules


class World:
    """What the classes of one module share."""

    def __init__(self, trt: Any, surface: Surface, host: Host) -> None:
        self.trt = trt
        self.surface = surface
        self.host = host
        self.rules: list[str] = []
        self.classes: dict[str, type] = {}
        self.logger: Any = None

    def make_class(self, kind: str, implementation: type) -> type:
        if kind not in self.classes:
            made = strict(self.surface, kind, implementation)
            made._world = self  # type: ignore[attr-defined]
            self.classes[kind] = made
        return self.classes[kind]

    def log(self, severity: str, text: str) -> None:
        self.logger.log(self.trt.ILogger.Severity[severity], text)

    def error(self, call: str, text: str, code: int = 3) -> None:
        kinds = {
            1: "Serialization",
            2: "Internal Error",
            3: "API Usage Error",
            6: "API Usage Error",
        }
        self.log("ERROR", f"{call}: Error Code {code}: {kinds[code]} ({text})")


class Runtime:
    _world: World

    def __init__(self, logger: Any) -> None:
        world = self._world
        require_initialised(logger, "ILogger")
        if "runtime_nullptr" in world.host.faults:
            problem = "pybind11::init(): factory function returned nullptr"
            raise TypeError(problem)
        if world.logger is not None and world.logger is not logger:
            world.log(
                "WARNING",
                "The logger passed into createInferRuntime differs from one already registered",
            )
        world.logger = world.logger or logger
        self._host_code = False

    @property
    def engine_host_code_allowed(self) -> bool:
        return self._host_code

    @engine_host_code_allowed.setter
    def engine_host_code_allowed(self, allowed: bool) -> None:
        self._host_code = allowed

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
        world, data = self._world, bytes(serialized_engine)
        call = "IRuntime::deserializeCudaEngine"
        if not data:
            return world.error(call, "Cannot deserialize with an empty memory buffer.")
        found = read_plan(data)
        if found is None:
            return world.error(
                call,
                "Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.",
                code=1,
            )
        header, model = found
        problem = self._refusal(header)
        if problem:
            return world.error(call, problem, code=6)
        if "runtime_out_of_memory" in world.host.faults:
            return world.error(call, "Out of memory: cudaErrorMemoryAllocation", code=2)
        if header["gpu"] != world.host.gpu and header["hardware_compatibility"] == "NONE":
            world.log(
                "WARNING",
                "Using an engine plan file across different models of devices is not recommended "
                "and is likely to affect performance or even cause errors.",
            )
        return world.make_class("ICudaEngine", ICudaEngine)(self, header, model)

    def _refusal(self, header: dict[str, Any]) -> str | None:
        host = self._world.host
        if header["version"] != host.version and not header["version_compatible"]:
            return (
                "The engine plan file is not compatible with this version of TensorRT, expecting "
                f"library version {host.version} got {header['version']}, please rebuild."
            )
        if header["lean_runtime"] and not self._host_code:
            return "The plan holds host code, and engineHostCodeAllowed is false."
        same = header["compute_capability"] == host.compute_capability
        if not same and header["hardware_compatibility"] != "AMPERE_PLUS":
            return (
                "The engine plan file is generated on an incompatible device, expecting compute "
                f"{host.compute_capability} got compute {header['compute_capability']}, please "
                "rebuild."
            )
        return None


class ICudaEngine:
    _world: World

    def __init__(self, runtime: Any, header: dict[str, Any], model: bytes) -> None:
        self._runtime = weakref.ref(runtime)
        self._header = header
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
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
        def describe(name: str) -> dict[str, Any]:
            found = self._engine._tensors.get(name)
            dtype = TYPES[found.type].title() if found is not None else "Float"
            words = (
                {"Datatype": dtype, "Format": "Row major linear format"}
                if new
                else {"Format/Datatype": dtype}
            )
            return {"Name": name, "Location": "Device", "Dimensions": [], **words}

        return {
            "Name": node.name,
            "LayerType": node.op_type,
            "Inputs": [describe(name) for name in node.input[:1]],
            "Outputs": [describe(name) for name in node.output],
            "TacticName": f"fake_{node.op_type.lower()}",
            "Metadata": f"[ONNX Layer: {node.name}]",
        }


class IExecutionContext:
    """Each rule of the header is numbered where it is kept."""

    _world: World

    def __init__(self, engine: Any, strategy: Any) -> None:
        self._engine = weakref.ref(engine)
        self._keep = (engine._session, engine._scratch)
        self._strategy = strategy
        self._profile = 0
        self._switching: Any = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}
        self._memory = (0, 0)
        self._work = f"enqueue {id(self)}"

    def __del__(self) -> None:
        """Rules 1 to 3: the engine, its graphs and its memory are there when a context goes."""
        engine = getattr(self, "_engine", None)
        if engine is None:
            return
        world, machine = self._world, current_machine()
        if engine() is None:
            world.rules.append("the engine was destroyed before its context")
        for work in machine.live["executables"].values():
            if any(part.name == self._work for part in work):
                world.rules.append("a graph outlived the context that it was captured from")
        if self._memory[0] and self._memory[0] not in machine.live["memory"]:
            world.rules.append("the context's memory was freed before the context")

    def _own(self) -> Any:
        engine = self._engine()
        assert engine is not None, "the engine is gone"
        return engine

    def _refuse(self, call: str, text: str) -> bool:
        self._world.error(f"IExecutionContext::{call}", text)
        return False

    @property
    def engine(self) -> Any:
        return self._own()

    @property
    def active_optimization_profile(self) -> int:
        return self._profile

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Rule 4: a profile that exists, on a live stream, while no other context work runs."""
        if not 0 <= profile_index < self._own().num_optimization_profiles:
            return self._refuse("setOptimizationProfileAsync", "profileIndex is out of range")
        try:
            stream = current_machine().find("streams", stream_handle)
        except FakeCudaError:
            return self._refuse("setOptimizationProfileAsync", "the stream does not exist")
        if any(work.name == self._work for work in stream.queue):
            return self._refuse("setOptimizationProfileAsync", "the context is still running")
        self._profile = profile_index
        self._shapes.clear()  # rule 5: choosing a profile forgets the shapes
        self._switching = object()
        token = self._switching

        def arrive() -> None:
            if self._switching is token:
                self._switching = None

        current_machine().put(stream, Work("profile", arrive, 1))
        return True

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        """Rule 6: an input, its rank and fixed extents, inside the active profile."""
        engine, extents = self._own(), tuple(int(extent) for extent in shape)
        if name not in engine._inputs:
            return self._refuse("setInputShape", f"no input is called {name}")
        wanted = engine._extents(name)
        if len(extents) != len(wanted) or any(
            want not in (-1, extent) for want, extent in zip(wanted, extents, strict=True)
        ):
            return self._refuse(
                "setInputShape", f"static dimension mismatch: {list(extents)}, {list(wanted)}"
            )
        low, _, high = engine._limits(name, self._profile)
        holds_shape = name in engine._shape_inputs
        for axis, extent in enumerate(extents):
            if not holds_shape and not low[axis] <= extent <= high[axis]:
                return self._refuse(
                    "setInputShape",
                    f"Set dimension [{','.join(map(str, extents))}] for tensor {name} does not "
                    f"satisfy any optimization profiles. Valid range for profile {self._profile}: "
                    f"{low}..{high}. Supplied binding dimension exceed min ~ max range at index "
                    f"{axis}, maximum dimension in profile is {high[axis]}, minimum dimension in "
                    f"profile is {low[axis]}, but supplied dimension is {extent}.",
                )
        self._shapes[name] = extents
        return True

    def _unset(self) -> list[str]:
        engine = self._own()
        unset = [
            name
            for name in engine._inputs
            if -1 in engine._extents(name) and name not in self._shapes
        ]
        return unset + [name for name in engine._shape_inputs if not self._addresses.get(name)]

    def infer_shapes(self) -> list[str]:
        """Rule 7: names what is missing, values of shape inputs included."""
        return self._unset()

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Rule 8: -1 where the data decide."""
        engine = self._own()
        if name in engine._inputs:
            return self._shapes.get(name, engine._extents(name))
        wanted = tuple(engine._extents(name))
        if -1 not in wanted or engine._late or self._unset():
            return wanted
        feeds = {
            tensor: self._read(tensor)
            if tensor in engine._shape_inputs
            else np.zeros(self.get_tensor_shape(tensor), self._numpy(tensor))
            for tensor in engine._inputs
        }
        return tuple(engine._session.run([name], feeds)[0].shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Rule 9: a tensor's name, 256-byte alignment, not null."""
        if name not in self._own()._tensors:
            return self._refuse("setTensorAddress", f"no tensor is called {name}")
        if memory % ALIGNMENT:
            return self._refuse("setTensorAddress", f"{name}: the address is not aligned")
        if not memory:
            return self._refuse("setTensorAddress", f"{name}: the address is null")
        self._addresses[name] = memory
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        """Rule 10: only outputs are allocated."""
        require_initialised(output_allocator, "IOutputAllocator")
        if name not in self._own()._outputs:
            return self._refuse("setOutputAllocator", f"no output is called {name}")
        self._allocators[name] = output_allocator
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        """Rule 11: shapes first; 0 is an error."""
        if self._unset():
            self._refuse("updateDeviceMemorySizeForShapes", f"not set: {self._unset()}")
            return 0
        return int(self._own()._scratch)

    def set_device_memory(self, memory: int, size: int) -> None:
        """Rule 12: only memory of a context without its own, aligned, of a live block."""
        managed = self._world.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._strategy != managed or memory % ALIGNMENT:
            self._refuse("setDeviceMemoryV2", "not user managed, or not aligned")
            return
        self._memory = (memory, size)

    def _scratch_problem(self) -> str | None:
        engine, (address, size) = self._own(), self._memory
        managed = self._world.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._strategy != managed:
            return None
        if size < engine._scratch:
            return f"the context has {size} bytes of device memory and needs {engine._scratch}"
        try:
            current_machine().view("device", address, engine._scratch)
        except FakeCudaError:
            return "the context's device memory is not there"
        others = (other for other in engine._live if other is not self)
        if any(other._memory[0] == address for other in others):
            return "two contexts share their device memory"
        return None

    def _numpy(self, name: str) -> Any:
        return NUMPY[TYPES[self._own()._tensors[name].type]]

    def _bytes(self, name: str, size: int) -> Any:
        kind = "pinned" if name in self._own()._shape_inputs else "device"
        return current_machine().view(kind, self._addresses[name], size)

    def _read(self, name: str) -> Any:
        extents, kind = self.get_tensor_shape(name), np.dtype(self._numpy(name))
        size = int(np.prod(extents, dtype=np.int64)) * kind.itemsize
        return self._bytes(name, size).view(kind).reshape(extents).copy()

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Rules 13 to 16: everything set, a stream of one's own, buffers large enough."""
        machine = current_machine()
        problem = self._stream_problem(stream_handle) or self._problem()
        if problem:
            return self._refuse("enqueueV3", problem)
        stream = machine.find("streams", stream_handle)
        if stream.captured is not None and (reason := self._capture_problem()):
            stream.broken_capture = True
            return self._refuse("enqueueV3", reason)
        if self._allocators:
            machine.run(stream)
            return self._run_now()
        machine.put(stream, Work(self._work, self._make_launch(), KERNEL_NS))
        return True

    def _make_launch(self) -> Callable[[], None]:
        """Return the launch as it is set now; work in a stream or graph keeps no context alive."""
        shapes, addresses = dict(self._shapes), dict(self._addresses)
        reference, rules = weakref.ref(self), self._world.rules

        def launch() -> None:
            context = reference()
            if context is None:
                rules.append("work of a destroyed context ran")
            else:
                context._run(shapes, addresses)

        return launch

    def _stream_problem(self, stream_handle: int) -> str | None:
        if not stream_handle:
            return "the default stream makes the launch synchronous"
        if stream_handle not in current_machine().live["streams"]:
            return "the stream does not exist"
        if self._switching is not None:
            return "the optimization profile is still being switched"
        return None

    def _problem(self) -> str | None:
        fault = self._world.host.faults.get("enqueue_refused")
        return fault or self._missing() or self._scratch_problem() or self._too_small()

    def _capture_problem(self) -> str | None:
        if self._allocators:
            return "data-dependent shapes cannot be captured"
        refused = "capture_refused" in self._world.host.faults
        return "this layer cannot be captured" if refused else None

    def _missing(self) -> str | None:
        engine = self._own()
        missing = self._unset() + [
            name
            for name in engine._tensors
            if not self._addresses.get(name) and name not in self._allocators
        ]
        return f"not set: {sorted(set(missing))}" if missing else None

    def _too_small(self) -> str | None:
        for name in self._own()._tensors:
            if name in self._allocators:
                continue
            extents = self.get_tensor_shape(name)
            size = int(np.prod(extents, dtype=np.int64)) * np.dtype(self._numpy(name)).itemsize
            try:
                self._bytes(name, size)
            except FakeCudaError:
                return f"the memory of {name} is not there or has fewer than {size} bytes"
        return None

    def _run(self, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]) -> None:
        """Run with what was set when the launch was made."""
        now = self._shapes, self._addresses
        self._shapes, self._addresses = shapes, addresses
        try:
            for name, value in self._compute().items():
                self._bytes(name, value.nbytes)[:] = value.reshape(-1).view(np.uint8)
        finally:
            self._shapes, self._addresses = now

    def _compute(self) -> dict[str, Any]:
        session, engine = self._keep[0], self._own()
        values = session.run(
            list(engine._outputs), {name: self._read(name) for name in engine._inputs}
        )
        return {
            name: np.ascontiguousarray(value)
            for name, value in zip(engine._outputs, values, strict=True)
        }

    def _run_now(self) -> bool:
        """Rule 17: allocators are asked for at least one byte, then told the shape."""
        for name, value in self._compute().items():
            if name in self._allocators:
                allocator = self._allocators[name]
                address = allocator.reallocate_output_async(
                    name, self._addresses.get(name, 0), max(1, value.nbytes), ALIGNMENT, 1
                )
                if not address:
                    return self._refuse("enqueueV3", f"no memory for output {name}")
                self._addresses[name] = address
                allocator.notify_shape(name, value.shape)
            self._bytes(name, value.nbytes)[:] = value.reshape(-1).view(np.uint8)
        return True
