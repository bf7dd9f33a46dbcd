"""A strict stand-in for TensorRT's Python bindings, for machines without TensorRT or a GPU.

surface.py   facts: the recorded names and signatures of both majors (tests/data), and `strict`,
             which turns a plain class into one that has only what the real class has, called only
             as the real one allows
host.py      `Host`: which version on which machine, and the faults to play
plan.py      the fake plan: a header and the ONNX, which ONNX Runtime runs on host memory
builder.py   Builder, IBuilderConfig, INetworkDefinition, OnnxParser, profiles, timing cache
runtime.py   Runtime, ICudaEngine, IExecutionContext, EngineInspector
module.py    `make_tensorrt(host)`: the assembled module
path/        put this folder on PYTHONPATH and `import tensorrt` gives the fake, in any process

It proves that calls are made as the bindings allow and in a legal order; it proves nothing of
speed or of TensorRT's numerics.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
VERSIONS = ("10.16.1.11", "11.4.0.106")
CONSTRUCTORS = {
    "Builder": "__init__(self, logger: ILogger)",
    "Runtime": "__init__(self, logger: ILogger)",
    "OnnxParser": "__init__(self, network: INetworkDefinition, logger: ILogger)",
    "ILogger": "__init__(self)",
    "IProgressMonitor": "__init__(self)",
    "IOutputAllocator": "__init__(self)",
    "IProfiler": "__init__(self)",
}
"""The recorded surfaces hold no constructors; NVIDIA documents these of both majors."""

CALLED_BACK = {
    "IOutputAllocator": {
        "reallocate_output_async": ["f(self, tensor_name, memory, size, alignment, stream)"],
        "notify_shape": ["f(self, tensor_name, shape)"],
    },
}
"""Methods that TensorRT calls on the user's subclass; the bindings record none of these."""


class Surface:
    """The recorded members of one version."""

    def __init__(self, version: str) -> None:
        data = _load(".".join(version.split(".")[:2]))
        self.version = version
        self.classes: dict[str, dict[str, Any]] = data["classes"]
        self.enums: dict[str, dict[str, int]] = data["enums"]
        self.functions: dict[str, Any] = data["functions"]

    def members(self, kind: str) -> dict[str, Any]:
        """Return name -> "property r", "property rw" or the list of signatures."""
        return self.classes[kind] | CALLED_BACK.get(kind, {})

    def bind(self, kind: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse arguments that no recorded signature takes."""
        signatures = self.members(kind)[name]
        if not any(fits(text, args, kwargs) for text in signatures):
            raise TypeError(
                f"{name}(): incompatible function arguments. The following argument types are "
                f"supported: {signatures}"
            )


@cache
def _load(name: str) -> dict[str, Any]:
    text = (DATA / f"tensorrt_surface_{name}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


@cache
def parse(signature: str) -> inspect.Signature:
    """Return a recorded pybind11 signature as Python's."""
    text = re.sub(r"=\s*<[^>]*>", "=...", signature.partition(" -> ")[0])
    text = re.sub(r":\s*[\w.]+::[\w:]+", ": object", text)
    node = ast.parse(f"def {text}: ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    names = node.args
    blanks = [inspect.Parameter.empty] * (len(names.args) - len(names.defaults))
    return inspect.Signature(
        [
            inspect.Parameter(arg.arg, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
            for arg, default in zip(
                names.args, [*blanks, *(None for _ in names.defaults)], strict=True
            )
        ]
    )


def fits(signature: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether a recorded signature takes these arguments after `self`."""
    try:
        parse(signature).bind(None, *args, **kwargs)
    except TypeError:
        return False
    return True


def strict(surface: Surface, kind: str, implementation: type) -> type:
    """Return the class with what this version's `kind` has and nothing else.

    A public member of the implementation that no version has is an error of the fake; one that
    only the other version has is left out. What the real class has and the fake lacks raises
    NotImplementedError. Names that start with an underscore are the fake's own.
    """
    known = set().union(*(Surface(version).members(kind) for version in VERSIONS))
    written = {name for name in vars(implementation) if not name.startswith("_")}
    assert written <= known, f"no version's {kind} has {sorted(written - known)}"
    members = surface.members(kind)
    body = {
        "__getattribute__": _reader(surface, kind, members, implementation),
        "__setattr__": _writer(kind, members),
        "__init__": _constructor(kind, implementation),
    }
    return type(kind, (implementation,), body)


def _reader(
    surface: Surface, kind: str, members: dict[str, Any], implementation: type
) -> Callable[[Any, str], Any]:
    def read(self: Any, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        if name not in members:
            raise AttributeError(
                f"'tensorrt.{kind}' object has no attribute {name!r} ({surface.version})"
            )
        if not hasattr(implementation, name):
            raise NotImplementedError(f"the fake has no {kind}.{name}")
        value = object.__getattribute__(self, name)
        if isinstance(members[name], str):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            surface.bind(kind, name, args, kwargs)
            return value(*args, **kwargs)

        return call

    return read


def _writer(kind: str, members: dict[str, Any]) -> Callable[[Any, str, Any], None]:
    def write(self: Any, name: str, value: Any) -> None:
        if not name.startswith("_"):
            if name not in members:
                raise AttributeError(f"'tensorrt.{kind}' object has no attribute {name!r}")
            if members[name] != "property rw":
                raise AttributeError(f"property {name!r} of {kind!r} object has no setter")
        object.__setattr__(self, name, value)

    return write


def _constructor(kind: str, implementation: Any) -> Callable[..., None]:
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        if kind in CONSTRUCTORS and not fits(CONSTRUCTORS[kind], args, kwargs):
            raise TypeError(f"__init__(): incompatible constructor arguments: {args} {kwargs}")
        implementation.__init__(self, *args, **kwargs)

    return construct


def callback_base(surface: Surface, kind: str) -> type:
    """Return an interface that users subclass: a method that TensorRT never calls is refused."""
    members = surface.members(kind)

    class Base:
        _initialised = False

        def __init__(self) -> None:
            self._initialised = True

        def __init_subclass__(cls) -> None:
            for name, value in vars(cls).items():
                if name.startswith("_") or not inspect.isfunction(value):
                    continue
                if name not in members:
                    raise TypeError(f"TensorRT calls no {kind}.{name}")
                wanted = len(parse(members[name][0]).parameters)
                if len(inspect.signature(value).parameters) != wanted:
                    raise TypeError(f"{kind}.{name} takes {wanted} arguments with self")

    Base.__name__ = kind
    return Base


def require_initialised(value: Any, kind: str) -> None:
    """Refuse a user's subclass whose __init__ did not call the base's, as pybind11 does."""
    if not getattr(value, "_initialised", False):
        raise TypeError(f"{kind}.__init__() must be called when overriding __init__")
