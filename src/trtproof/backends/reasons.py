"""Why a backend cannot run a precision here, in words that more than one backend says."""

from __future__ import annotations

from typing import Final

from trtproof.backends.base import Facts
from trtproof.reason import Reason

ONNXRUNTIME_CPU_PRECISIONS: Final = (
    "fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8", "fp8_fp16", "int8_cpu",
)  # fmt: skip
"""What the CPU provider computes truthfully; fp16 is cast to float32 where a kernel is missing."""

ONNXRUNTIME_CUDA_PRECISIONS: Final = ("fp32", "fp16", "bf16")
"""What the CUDA provider has kernels for, so that its time means something."""

_CAUSES: Final = {
    "bf16": "ONNX Runtime has no bfloat16 kernels for this CPU: operators compute in float32 and "
    "round to bfloat16",
    "int8": "int8 is TensorRT's explicit quantisation, which ONNX Runtime runs slower than float32 "
    "on a CPU and in floating point on a GPU; its time there would say nothing about INT8",
    "fp8": "fp8 is TensorRT's explicit quantisation, which ONNX Runtime only emulates",
}


def not_timed(precision: str) -> Reason:
    """Return why a graph is evaluated on a CPU, but its time there would mislead."""
    cause = _CAUSES.get(
        precision.removesuffix("_fp16"),
        f"ONNX Runtime computes this {precision} graph truthfully only as written, unoptimised",
    )
    return Reason(
        code="not_timed_here",
        text=f"evaluated, not timed: {cause}",
        repair="time it with backend tensorrt; for a fast model on a CPU take recipe int8_cpu",
    )


def made_for_cpus(precision: str) -> Reason:
    """Return why a recipe for CPU kernels is not run on a GPU."""
    return Reason(
        code="made_for_cpus",
        text=f"{precision} is made for ONNX Runtime's integer kernels on a CPU; its CUDA provider "
        "has none",
        repair="measure it with target=cpu; on a GPU take recipe int8 with backend tensorrt",
    )


def needs_gpu() -> Reason:
    """Return why a variant for a GPU is not built on a CPU."""
    return Reason(
        code="needs_gpu",
        text="this variant is for a GPU (build.device is cuda), and this run is on the CPU",
        repair="choose `target=cuda` on a machine with an NVIDIA GPU",
    )


def missing_library(facts: Facts, *, title: str, install: str) -> Reason | None:
    """Return that a library is not installed; `install` is the command that installs it."""
    if facts:
        return None
    return Reason(code="not_installed", text=f"{title} is not installed", repair=install)
