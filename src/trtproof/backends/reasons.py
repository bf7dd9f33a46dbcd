"""Why a backend cannot run a precision here, in words that more than one backend says."""

from __future__ import annotations

from typing import Final

from trtproof.backends.base import Facts
from trtproof.reason import Reason

ONNXRUNTIME_CPU_PRECISIONS: Final = ("fp32", "fp16", "int8_cpu")
"""What the CPU provider has kernels for; fp16 is cast to float32 where a kernel is missing."""

_INT8 = Reason(
    code="not_timed_here",
    text="int8 is TensorRT's explicit quantisation, which ONNX Runtime's CPU kernels run "
    "slower than float32; its time on a CPU would say nothing about INT8",
    repair="take recipe int8_cpu on a CPU; the accuracy of int8 is in its audit",
)
_FP8 = Reason(
    code="not_timed_here",
    text="fp8 is TensorRT's explicit quantisation, which ONNX Runtime only emulates on a CPU",
    repair="measure it with backend tensorrt; the accuracy of fp8 is in its audit",
)

ONNXRUNTIME_CPU_REFUSALS: Final = {
    "bf16": Reason(
        code="no_kernels",
        text="ONNX Runtime has no bfloat16 kernels for this CPU",
        repair="take recipe fp32 or fp16 with backend onnxruntime on a CPU",
    ),
    "int8": _INT8,
    "int8_fp16": _INT8,
    "fp8": _FP8,
    "fp8_fp16": _FP8,
}


ONNXRUNTIME_CUDA_PRECISIONS: Final = ("fp32", "fp16", "bf16")

_NOT_FUSED = (
    "ONNX Runtime's CUDA provider computes quantised graphs in floating point, around every "
    "quantisation; its time would say nothing about {precision}"
)


def refuse_on_cuda(precision: str) -> Reason:
    """Return why a precision is not measured with ONNX Runtime on a GPU."""
    return Reason(
        code="not_timed_here",
        text=_NOT_FUSED.format(precision=precision),
        repair="measure it with backend tensorrt; its accuracy is in its audit",
    )


def missing_library(facts: Facts, *, title: str, install: str) -> Reason | None:
    """Return that a library is not installed; `install` is the command that installs it."""
    if facts:
        return None
    return Reason(code="not_installed", text=f"{title} is not installed", repair=install)
