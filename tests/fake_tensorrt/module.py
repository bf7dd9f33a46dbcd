"""The fake `tensorrt` module of one host, put together from its halves."""

from __future__ import annotations

import enum
import math
from types import ModuleType
from typing import Any

import numpy as np
from tests.fake_tensorrt import builder, runtime
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import Surface, callback_base

CALLBACKS = ("IProgressMonitor", "IOutputAllocator", "IProfiler")
NUMPY = {
    "FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32,
    "INT64": np.int64, "BOOL": np.bool_, "UINT8": np.uint8,
}  # fmt: skip
HALVES = (builder, runtime)
"""Modules with `install(trt, surface, host)`, which put strict classes on the module."""


def make_tensorrt(host: Host | None = None) -> Any:
    """Return a fresh fake module; nothing is shared between two of them."""
    host = host or Host()
    surface = Surface(host.version)
    trt: Any = ModuleType("tensorrt")
    trt.__version__ = host.version
    for name, members in surface.enums.items():
        setattr(trt, name, make_enum(name, members))
    trt.ILogger = _logger_base(surface)
    for name in CALLBACKS:
        setattr(trt, name, callback_base(surface, name))
    trt.float32, trt.float16, trt.int8 = trt.DataType.FLOAT, trt.DataType.HALF, trt.DataType.INT8
    trt.volume = math.prod
    trt.nptype = _numpy_type
    trt.init_libnvinfer_plugins = _init_plugins
    for half in HALVES:
        half.install(trt, surface, host)
    return trt


class _Numbered(enum.Enum):
    """An enumeration as pybind11 makes it: `int()` works, arithmetic with it does not."""

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return int(self.value)


def make_enum(name: str, members: dict[str, int]) -> Any:
    """Return an enumeration of the bindings."""
    make: Any = _Numbered
    return make(name, members)


def _logger_base(surface: Surface) -> type:
    base: Any = callback_base(surface, "ILogger")
    names = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
    base.Severity = make_enum("Severity", {name: number for number, name in enumerate(names)})
    for name in names:
        setattr(base, name, base.Severity[name])
    made: type = base
    return made


def _numpy_type(trt_type: Any) -> Any:
    if trt_type.name not in NUMPY:
        raise TypeError(
            f"Could not resolve TensorRT datatype to an equivalent numpy datatype: {trt_type}"
        )
    return NUMPY[trt_type.name]


def _init_plugins(logger: Any, namespace: str) -> bool:
    return bool(logger) and isinstance(namespace, str)
