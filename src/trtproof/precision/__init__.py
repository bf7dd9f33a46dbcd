"""Precision passes: one file each."""

from __future__ import annotations

from trtproof.precision.base import PrecisionPass
from trtproof.registry import Registry

PASSES: Registry[PrecisionPass] = Registry(
    "precision pass",
    {
        "fp32": "trtproof.precision.fp32:PASS",
        "fp16": "trtproof.precision.fp16:PASS",
        "int8_cpu": "trtproof.precision.int8_cpu:PASS",
    },
)
