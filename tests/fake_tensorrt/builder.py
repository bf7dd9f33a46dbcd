"""The builder half of the strict fake: parser, network, configuration, profiles, timing cache.

What it refuses, and in which words, follows what the real builder and parser of TensorRT 11.4 were
seen to do, and NVIDIA's headers.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.plan import write_plan
from tests.fake_tensorrt.surface import Surface, require_initialised, strict

FAULT_LINES = {
    "out_of_memory": "Error Code 2: OutOfMemory (Requested size was 4294967296 bytes.)",
    "no_implementation": "Error Code 10: Internal Error (Could not find any implementation for "
    "node {ForeignNode[/conv/Conv...]}.)",
    "cuda_error": "Error Code 1: Cuda Runtime (an illegal memory access was encountered)",
}
NULL_POINTER = "pybind11::init(): factory function returned nullptr"
STEPS = 3
SCRATCH_BYTES = 4096
TIMINGS = b"FAKETIMINGS"


class Piece:
    """What `install` gives every class: the module it is on, and the host."""

    _trt: Any
    _host: Host
    _make: Any


class HostMemory:
    """Bytes of the library's; only `bytes()` and `nbytes` are used of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def nbytes(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return self._data

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self._data)


class TimingCache(Piece):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> Any:
        return self._make(self._data)


class Profile:
    """set_shape takes any name and any shapes in silence; `bool` says whether min <= opt <= max."""

    def __init__(self) -> None:
        self._shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        self._shapes[input] = [list(min), list(opt), list(max)]

    def __bool__(self) -> bool:
        return bool(self._shapes) and all(
            low <= usual <= high
            for shapes in self._shapes.values()
            for low, usual, high in zip(*shapes, strict=True)
        )


class Config:
    def __init__(self, trt: Any, logger: Any, host: Host) -> None:
        self._trt, self._logger, self._host = trt, logger, host
        self._flags = {trt.BuilderFlag.TF32}
        self._profiles: list[Profile] = []
        self._cache: Any = None
        self._pools = {trt.MemoryPoolType.WORKSPACE: 80 << 30}
        self._values = {
            "builder_optimization_level": 3,
            "max_aux_streams": -1,
            "avg_timing_iterations": 1,
            "tiling_optimization_level": trt.TilingOptimizationLevel.NONE,
            "hardware_compatibility_level": trt.HardwareCompatibilityLevel.NONE,
            "profiling_verbosity": trt.ProfilingVerbosity.LAYER_NAMES_ONLY,
            "progress_monitor": None,
        }

    def set_flag(self, flag: Any) -> None:
        if self._host.faults.get("flag_ignored") != flag.name:
            self._flags.add(self._trt.BuilderFlag(flag))

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(self._trt.BuilderFlag(flag))

    def get_flag(self, flag: Any) -> bool:
        return flag in self._flags

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        if pool_size < 0:
            raise TypeError(f"incompatible function arguments: {pool_size}")
        self._pools[self._trt.MemoryPoolType(pool)] = pool_size

    def get_memory_pool_limit(self, pool: Any) -> int:
        return self._pools[pool]

    def add_optimization_profile(self, profile: Profile) -> int:
        if not profile:
            _say(self, "ERROR", "please ensure all dimensions are MIN<=OPT<=MAX")
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
        return self._trt.ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        mine = TIMINGS + self._host.version.encode() + self._host.gpu.encode()
        if cache._data and cache._data != mine and not ignore_mismatch:
            _say(self, "ERROR", "timing cache is of another device or version")
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self._cache


def _value_property(name: str) -> property:
    def read(self: Any) -> Any:
        return self._values[name]

    def write(self: Any, value: Any) -> None:
        if name == "hardware_compatibility_level" and "compatibility_ignored" in self._host.faults:
            _say(self, "WARNING", "setHardwareCompatibilityLevel() is unsupported here.")
            return
        if name == "progress_monitor":
            require_initialised(value, "IProgressMonitor")
        self._values[name] = value

    return property(read, write)


for _name in (
    "builder_optimization_level", "max_aux_streams", "avg_timing_iterations",
    "tiling_optimization_level", "hardware_compatibility_level", "profiling_verbosity",
    "progress_monitor",
):  # fmt: skip
    setattr(Config, _name, _value_property(_name))


class Network:
    def __init__(self) -> None:
        self._model: onnx.ModelProto | None = None

    @property
    def num_layers(self) -> int:
        return len(self._model.graph.node) if self._model else 0

    @property
    def num_inputs(self) -> int:
        return len(_inputs(self._model)) if self._model else 0

    @property
    def num_outputs(self) -> int:
        return len(self._model.graph.output) if self._model else 0


class Error:
    def __init__(self, code: Any, desc: str, node: onnx.NodeProto | None = None) -> None:
        self._code, self._desc, self._node = code, desc, node

    def code(self) -> Any:
        return self._code

    def desc(self) -> str:
        return self._desc

    def node_name(self) -> str:
        return self._node.name if self._node else ""

    def node_operator(self) -> str:
        return self._node.op_type if self._node else ""


class Parser(Piece):
    def __init__(self, network: Any, logger: Any) -> None:
        self._network, self._logger = network, logger
        self._errors: list[Any] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return self._errors[index]

    def _refuse(self, code: str, desc: str, node: onnx.NodeProto | None = None) -> None:
        error = self._trt.ParserError(self._trt.ErrorCode[code], desc, node)
        self._errors.append(error)
        name = f"In node 0 with name: {node.name} and operator: {node.op_type} " if node else ""
        _say(self, "ERROR", f"{name}(parse): {code}: {desc}")

    def parse_from_file(self, model: str) -> bool:
        path = Path(model)
        if not path.is_file():
            self._refuse("INVALID_VALUE", f"Input file cannot be found: {model}")
            return False
        try:
            proto = onnx.load(path, load_external_data=False)
        except DecodeError:
            self._refuse("MODEL_DESERIALIZE_FAILED", "Failed to parse the ONNX model.")
            return False
        try:
            onnx.load_external_data_for_model(proto, str(path.parent))
        except (onnx.checker.ValidationError, FileNotFoundError, ValueError):
            _say(self, "ERROR", "Failed to open file: model.onnx.data")
            self._refuse("INVALID_GRAPH", "Failed to import the initializer.")
            return False
        for node in proto.graph.node:
            if not onnx.defs.has(node.op_type):  # whatever its domain says
                self._refuse("INVALID_NODE", "Plugin not found, are the plugin name right?", node)
            elif node.op_type in self._host.faults.get("unsupported", "").split():
                self._refuse("UNSUPPORTED_NODE", "false", node)
        if not self._errors:
            self._network._model = proto
        return not self._errors


class Builder(Piece):
    def __init__(self, logger: Any) -> None:
        require_initialised(logger, "ILogger")
        if "builder_nullptr" in self._host.faults:
            raise TypeError(NULL_POINTER)
        self._logger = logger

    def create_network(self, flags: int = 0) -> Any:
        trt = self._trt
        typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        if flags != typed:
            _say(self, "ERROR", f"unknown flag bits {flags}")
            return None
        return trt.INetworkDefinition()

    def create_builder_config(self) -> Any:
        return self._trt.IBuilderConfig(self._trt, self._logger, self._host)

    def create_optimization_profile(self) -> Any:
        return self._trt.IOptimizationProfile()

    def build_serialized_network(self, network: Any, config: Any, kernel_text: Any = None) -> Any:
        _play_faults(self)
        problem = _fault_line(self._host) or _find_problem(self._trt, network._model, config)
        if problem:
            if problem != "silence":
                _say(self, "ERROR", f"IBuilder::buildSerializedNetwork: {problem}")
            return None
        _report_progress(config._values["progress_monitor"])
        _say(self, "VERBOSE", "Engine generation completed.")
        _say(self, "INFO", "[MemUsageStats] Peak memory usage of TRT CPU/GPU memory allocators.")
        if config._cache is not None:
            config._cache._data = TIMINGS + self._host.version.encode() + self._host.gpu.encode()
        header = _make_header(self._trt, self._host, config)
        return self._trt.IHostMemory(write_plan(header, network._model.SerializeToString()))


def _make_header(trt: Any, host: Host, config: Any) -> dict[str, Any]:
    return {
        "version": host.version,
        "gpu": host.gpu,
        "compute_capability": host.compute_capability,
        "profiles": [profile._shapes for profile in config._profiles],
        "scratch": SCRATCH_BYTES,
        "tf32": trt.BuilderFlag.TF32 in config._flags,
        "version_compatible": trt.BuilderFlag.VERSION_COMPATIBLE in config._flags,
        "lean_runtime": trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME not in config._flags,
        "hardware_compatibility": config._values["hardware_compatibility_level"].name,
        "verbosity": config._values["profiling_verbosity"].name,
        "aux_streams": max(config._values["max_aux_streams"], 0),
        "weight_streaming": trt.BuilderFlag.WEIGHT_STREAMING in config._flags,
        "name": "network",
    }


def _play_faults(builder: Any) -> None:
    faults = builder._host.faults
    if "starved" in faults:
        _say(builder, "WARNING", "Tactic Device request: 4000MB Available: 300MB. Device memory is "
             "insufficient to use tactic.")  # fmt: skip
    if "crash" in faults:
        _say(builder, "INFO", "the last line before the crash")
        os.kill(os.getpid(), signal.SIGSEGV)
    if "slow" in faults:
        time.sleep(float(faults["slow"]))


def _fault_line(host: Host) -> str:
    if "unhelpful" in host.faults:
        return "silence"
    return next((line for name, line in FAULT_LINES.items() if name in host.faults), "")


def _find_problem(trt: Any, model: Any, config: Any) -> str:
    """Return why the real builder would return None, in its words; "" where it would build."""
    if model is None or not model.graph.output:
        return "Error Code 4: API Usage Error (Network must have at least one output)"
    if config._pools[trt.MemoryPoolType.WORKSPACE] < SCRATCH_BYTES:
        return "Error Code 4: no tactics to implement the operation within workspace limit"
    dynamic = {value.name: dims for value in _inputs(model) if -1 in (dims := _dims(value))}
    if dynamic and not config._profiles:
        return (
            "Error Code 4: API Usage Error (Network has dynamic or shape inputs, but no "
            "optimization profile has been defined.)"
        )
    for number, profile in enumerate(config._profiles):
        for name, dims in dynamic.items():
            problem = _profile_problem(name, dims, profile._shapes.get(name), number)
            if problem:
                return problem
    return ""


def _profile_problem(name: str, dims: list[int], shapes: Any, number: int) -> str:
    if shapes is None:
        return f"Dynamic input tensor {name} is missing dimensions in profile {number}."
    for shape in shapes:
        if len(shape) != len(dims):
            return f"{name} has {len(dims)} dimensions but profile {number} has {len(shape)}."
        for axis, (extent, fixed) in enumerate(zip(shape, dims, strict=True)):
            if fixed not in {-1, extent}:
                return f"At dimension axis {axis}, profile has min={extent} but tensor has {fixed}."
    return ""


def _report_progress(monitor: Any) -> None:
    if monitor is None:
        return
    monitor.phase_start("Building", None, STEPS)
    for step in range(STEPS):
        if not monitor.step_complete("Building", step):
            break
    monitor.phase_finish("Building")


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    return [
        dim.dim_value if dim.HasField("dim_value") else -1
        for dim in value.type.tensor_type.shape.dim
    ]


def _say(owner: Any, severity: str, text: str) -> None:
    logger = owner._logger
    logger.log(type(logger).Severity[severity], text)


def install(trt: Any, surface: Surface, host: Host) -> None:
    """Put the builder's classes on the module."""
    kinds = {
        "IHostMemory": HostMemory,
        "ITimingCache": TimingCache,
        "IOptimizationProfile": Profile,
        "IBuilderConfig": Config,
        "INetworkDefinition": Network,
        "ParserError": Error,
        "OnnxParser": Parser,
        "Builder": Builder,
    }
    for name, implementation in kinds.items():
        kind: Any = strict(surface, name, implementation)
        kind._trt, kind._host = trt, host
        setattr(trt, name, kind)
    trt.ITimingCache._make = trt.IHostMemory
