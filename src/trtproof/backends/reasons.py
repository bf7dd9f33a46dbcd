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
