"""Which facts of a machine may differ from those that a plan was built for."""

from __future__ import annotations

from trtproof.backends.tensorrt.options import TensorRtOptions

VERSION_FACTS = ("bindings", "libraries")
GPU_FACTS = ("gpu", "memory_gib")


def allowed_differences(options: TensorRtOptions) -> dict[str, str]:
    """Return fact -> rule of `trtproof.sidecar`, for the facts that the plan does not insist on.

    Version-compatible plans run on later versions (NVIDIA, "Engine Compatibility"); `AMPERE_PLUS`
    ones on compute capability 8.0 and later, `SAME_COMPUTE_CAPABILITY` ones on other GPUs of
    the same (NvInfer.h, HardwareCompatibilityLevel).
    """
    rules: dict[str, str] = {}
    if options.version_compatible:
        rules |= dict.fromkeys(VERSION_FACTS, "later")
    if options.hardware_compatibility != "NONE":
        rules |= dict.fromkeys(GPU_FACTS, "any")
    if options.hardware_compatibility == "AMPERE_PLUS":
        rules["compute_capability"] = "from 8.0"
    return rules
