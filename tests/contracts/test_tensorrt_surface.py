"""Every member of TensorRT's that the package touches is in both majors, with those arguments.

A static check: it reads the source and calls nothing. The package's own convention (its docstring)
says which names hold which object.
"""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fake_tensorrt.surface import CONSTRUCTORS, VERSIONS, Surface, parse

import trtproof.backends.tensorrt
from trtproof.backends.tensorrt import settings
from trtproof.backends.tensorrt.options import TensorRtOptions

PACKAGE = Path(trtproof.backends.tensorrt.__file__).parent
SURFACES = [Surface(version) for version in VERSIONS]
OBJECTS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "plan": "IHostMemory",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "timing_cache": "ITimingCache",
    "parser_error": "ParserError",
}
MODULE_NAMES = {"__version__", "__name__", "nptype", "volume"}
COMMON_TO_ENUMS = {"name"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.name, ast.parse(path.read_text(encoding="utf-8"))


def check_source(tree: ast.Module) -> Iterator[str]:
    """Yield what a piece of the package touches that one of the surfaces lacks."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            for surface in SURFACES:
                for problem in check_access(surface, node, calls.get(id(node))):
                    yield f"line {node.lineno}: {problem} ({surface.version})"


def check_access(surface: Surface, node: ast.Attribute, call: ast.Call | None) -> Iterator[str]:
    owner = last_name(node.value)
    if owner == "trt":
        yield from check_module(surface, node.attr, call)
    elif is_module_member(node.value) and owner in surface.enums:
        if node.attr not in surface.enums[owner]:
            yield f"{owner} has no {node.attr}"
    elif owner in OBJECTS:
        yield from check_member(surface, OBJECTS[owner], node, call)


def check_module(surface: Surface, name: str, call: ast.Call | None) -> Iterator[str]:
    known = surface.enums.keys() | surface.classes.keys() | set(surface.functions) | MODULE_NAMES
    if name not in known:
        yield f"the module has no {name}"
    elif name in CONSTRUCTORS and call and not takes([CONSTRUCTORS[name]], call):
        yield f"{name} is not made like that"


def check_member(
    surface: Surface, kind: str, node: ast.Attribute, call: ast.Call | None
) -> Iterator[str]:
    member = surface.members(kind).get(node.attr)
    if member is None:
        yield f"{kind} has no {node.attr}"
    elif isinstance(member, str):
        if call:
            yield f"{kind}.{node.attr} is a property"
        if isinstance(node.ctx, ast.Store) and member != "property rw":
            yield f"{kind}.{node.attr} cannot be set"
    elif call and not takes(member, call):
        yield f"{kind}.{node.attr} does not take these arguments"


def takes(signatures: list[str], call: ast.Call) -> bool:
    """Say whether a signature takes as many arguments, and those keywords."""
    if any(isinstance(arg, ast.Starred) for arg in call.args):
        return True
    keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    for text in signatures:
        try:
            parse(text).bind(None, *call.args, **keywords)
        except TypeError:
            continue
        return True
    return False


def last_name(node: ast.expr) -> str:
    """Return the name that an expression ends in: `self._engine` is "engine"."""
    if isinstance(node, ast.Attribute):
        return node.attr.lstrip("_")
    return node.id if isinstance(node, ast.Name) else ""


def is_module_member(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and last_name(node.value) == "trt"


@pytest.mark.parametrize(("name", "tree"), list(sources()), ids=lambda value: str(value)[:40])
def test_a_module_touches_only_what_both_majors_have(name: str, tree: ast.Module) -> None:
    assert list(check_source(tree)) == [], name


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("config.set_flagg(1)", "no set_flagg"),
        ("config.set_flag()", "does not take"),
        ("config.set_flag(flag=1, on=2)", "does not take"),
        ("engine.num_layers = 3", "cannot be set"),
        ("engine.num_layers()", "is a property"),
        ("self._engine.device_memory_size", "no device_memory_size"),
        ("trt.BuilderFlag.FP16", "BuilderFlag has no FP16"),
        ("trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH", "no EXPLICIT_BATCH"),
        ("trt.IInt8Calibrator", "the module has no"),
        ("trt.Runtime()", "not made like that"),
    ],
)
def test_the_check_finds_what_a_major_lacks(source: str, problem: str) -> None:
    found = list(check_source(ast.parse(source)))
    assert any(problem in text for text in found), found


def test_only_one_module_imports_tensorrt() -> None:
    importing = {
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(a.name == "tensorrt" for a in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "tensorrt")
        or (isinstance(node, ast.Constant) and node.value == "tensorrt" and name == "library.py")
    }
    assert importing == {"library.py"}


@pytest.mark.parametrize("surface", SURFACES, ids=VERSIONS)
def test_settings_that_are_set_by_name_can_be_set(surface: Surface) -> None:
    members = surface.members("IBuilderConfig")
    names = (*settings.NUMBERS, "tiling_optimization_level", "progress_monitor")
    assert {members[name] for name in names} == {"property rw"}


@pytest.mark.parametrize("surface", SURFACES, ids=VERSIONS)
@pytest.mark.parametrize(
    ("option", "enumeration"),
    [
        ("tiling_optimization_level", "TilingOptimizationLevel"),
        ("hardware_compatibility", "HardwareCompatibilityLevel"),
    ],
)
def test_options_offer_what_the_enumeration_has(
    surface: Surface, option: str, enumeration: str
) -> None:
    offered = typing.get_args(typing.get_type_hints(TensorRtOptions)[option])
    assert set(offered) == surface.enums[enumeration].keys()
