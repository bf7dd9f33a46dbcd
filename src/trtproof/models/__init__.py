"""Model sources: one file each."""

from __future__ import annotations

from trtproof.models.base import ModelSource
from trtproof.registry import Registry

SOURCES: Registry[ModelSource] = Registry(
    "model source",
    {
        "module": "trtproof.models.module:SOURCE",
        "transformers": "trtproof.models.transformers:SOURCE",
        "onnx": "trtproof.models.onnx:SOURCE",
    },
)
