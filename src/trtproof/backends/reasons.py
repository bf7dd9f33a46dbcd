"""Why a backend cannot run a precision here, in words that more than one backend says."""

from __future__ import annotations

from typing import Final

from trtproof.backends.base import Facts
from trtproof.reason import Reason

ONNXRUNTIME_CPU_PRECISIONS: Final = (
    "fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8", "fp8_fp16", "int8_cpu",
)  # fmt: skip
"""What the CPU provider computes truthfully; fp16 is cast to float32 where a kernel is missing."""

_CAUSES: Final = {
    "bf16": "ONNX Runtime has no bfloat16 kernels for this CPU: operators compute in float32 and "
    "round to bfloat16",
    "int8": "int8 is TensorRT's explicit quantisation, which ONNX Runtime's CPU kernels run slower "
    "than float32; its time on a CPU would say nothing about INT8",
    "fp8": "fp8 is TensorRT's explicit quantisation, which ONNX Runtime only emulates on a CPU",
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


def missing_backend(facts: Facts, *, title: str, install: str) -> Reason | None:
    """Return why a library that runs on the CPU cannot run here: not installed, or not its device.

    `install` is the command that installs it.
    """
    if not facts:
        return Reason(code="not_installed", text=f"{title} is not installed", repair=install)
    if facts.get("device") != "cpu":
        return Reason(
            code="cuda_not_yet",
            text=f"{title}: CUDA execution provider is not supported by this version yet",
            repair=f"set target=cpu to measure {title} on the CPU",
        )
    return None
