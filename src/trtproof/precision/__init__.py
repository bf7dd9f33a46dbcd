"""Precision passes: one file each."""

from __future__ import annotations

from trtproof.precision.base import PrecisionPass
from trtproof.registry import Registry

PASSES: Registry[PrecisionPass] = Registry(
    "precision pass",
    {
        "fp32": "trtproof.precision.fp32:PASS",
        "fp16": "trtproof.precision.fp16:PASS",
        "bf16": "trtproof.precision.bf16:PASS",
        "int8": "trtproof.precision.int8:PASS",
        "int8_fp16": "trtproof.precision.int8_fp16:PASS",
        "fp8": "trtproof.precision.fp8:PASS",
        "fp8_fp16": "trtproof.precision.fp8_fp16:PASS",
        "int8_cpu": "trtproof.precision.int8_cpu:PASS",
        "given": "trtproof.precision.given:PASS",
    },
)
