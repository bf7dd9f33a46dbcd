"""The runtime half of the strict fake: Runtime here; engine.py, context.py and world.py beside it.

The "engine" is the plan's ONNX, run by ONNX Runtime on the memory of the fake GPU
(tests/fake_cuda), when somebody waits for the stream. The rules are NvInferRuntime.h's; a broken
one answers False or None with an ERROR line, as TensorRT does. `_rules` on the module lists what
TensorRT would not even notice (an object that outlives what it depends on): tests want it empty.
"""

from __future__ import annotations

from typing import Any

import onnx
from tests.fake_tensorrt.engine import ICudaEngine
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.plan import read_plan
from tests.fake_tensorrt.surface import Surface, require_initialised
from tests.fake_tensorrt.world import World


def install(trt: Any, surface: Surface, host: Host) -> None:
    """Put the runtime's classes on the module."""
    world = World(trt, surface, host)
    trt.Runtime = world.make_class("Runtime", Runtime)
    trt._rules = world.rules


def _is_whole(model: bytes) -> bool:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError:
        return False
    return True


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
        if not _is_whole(model):
            text = "Serialization assertion plan.header.size == blobSize failed."
            return world.error(call, text, code=1)
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
