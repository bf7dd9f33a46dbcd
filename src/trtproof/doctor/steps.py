"""The steps, in the order in which a person would repair a machine."""

from __future__ import annotations

from typing import Final

from trtproof.doctor.base import Step

HERE: Final = "trtproof.doctor"
ENGINE: Final = ("device", "import")
BUILD_S: Final = 60.0
"""A tiny graph at a low optimization level: seconds, and as many for loading the libraries."""


def _graph(name: str, title: str) -> Step:
    function = f"{HERE}.engines:check_graph"
    return Step(name, title, function, needs=ENGINE, argument=name, limit_s=BUILD_S)


def _behaviour(name: str, title: str, *needs: str) -> Step:
    function = f"{HERE}.behaviour:check_{name}"
    return Step(name, title, function, needs=(*ENGINE, *needs), limit_s=BUILD_S)


STEPS: Final = (
    Step("python", "Python and the system", f"{HERE}.machine:check_python"),
    Step("packages", "packages that must fit together", f"{HERE}.machine:check_packages"),
    Step("disk", "room for plans and caches", f"{HERE}.machine:check_disk"),
    Step("dvc", "the dvc on the path", f"{HERE}.machine:check_dvc"),
    Step("project", "this folder's settings", f"{HERE}.machine:check_project"),
    Step("onnxruntime", "ONNX Runtime", f"{HERE}.runtimes:check_onnxruntime"),
    Step("references", "what answers are held against", f"{HERE}.runtimes:check_references"),
    Step("driver", "driver and CUDA", f"{HERE}.machine:check_driver"),
    Step("gpu", "the GPU", f"{HERE}.machine:check_gpu"),
    Step("device", "CUDA from Python", f"{HERE}.cuda:check_device", after=("gpu",)),
    Step("copies", "memory and streams", f"{HERE}.cuda:check_copies", needs=("device",)),
    Step("graph", "CUDA graphs", f"{HERE}.cuda:check_graph", needs=("device",)),
    Step("installed", "which TensorRT is installed", f"{HERE}.tensorrt:check_installed"),
    Step("import", "import tensorrt", f"{HERE}.tensorrt:check_import", after=("installed",)),
    Step("mapped", "which libraries are in use", f"{HERE}.tensorrt:check_mapped", ("import",)),
    Step("plugins", "TensorRT's plug-ins", f"{HERE}.tensorrt:check_plugins", ("import",)),
    Step("builder", "a builder", f"{HERE}.tensorrt:check_builder", ("import",)),
    Step("parser", "an ONNX parser", f"{HERE}.tensorrt:check_parser", ("import",)),
    Step("runtime", "a runtime", f"{HERE}.tensorrt:check_runtime", ("import",)),
    _graph("fp32", "float32"),
    _graph("fp16", "half precision"),
    _graph("bf16", "bfloat16"),
    _graph("int8", "explicit int8"),
    _graph("int8_fp16", "explicit int8 with half"),
    _graph("fp8", "explicit float8"),
    _graph("dynamic", "a dynamic batch"),
    _graph("two_inputs", "two inputs"),
    _graph("nonzero", "an output sized by the data"),
    _graph("nms", "non-maximum suppression"),
    _behaviour("replay", "CUDA graph replay"),
    _behaviour("shapes", "other shapes on one engine"),
    _behaviour("profiles", "switching profiles"),
    _behaviour("streams", "two streams at once"),
    _behaviour("outputs", "outputs of changing size"),
    _behaviour("foreign_plan", "plans that must be refused"),
    Step("trtexec", "where trtexec is", f"{HERE}.machine:check_trtexec"),
    _behaviour("trtexec_speed", "speed against trtexec", "trtexec"),
)
