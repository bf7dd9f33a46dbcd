"""Backends: one file each."""

from __future__ import annotations

from trtproof.backends.base import Backend
from trtproof.registry import Registry

BACKENDS: Registry[Backend] = Registry(
    "backend",
    {
        "onnxruntime": "trtproof.backends.onnxruntime:BACKEND",
        "tensorrt": "trtproof.backends.tensorrt:BACKEND",
        "torch": "trtproof.backends.torch:BACKEND",
    },
)
