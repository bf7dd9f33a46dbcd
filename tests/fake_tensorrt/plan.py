"""The fake's plans: a header of facts, then the ONNX model with its weights inside."""

from __future__ import annotations

import json
from typing import Any

MAGIC = b"FAKETRT1"
LENGTH = 4


def write_plan(header: dict[str, Any], model: bytes) -> bytes:
    """Return plan bytes; the header has version, gpu, compute_capability, profiles, scratch, tf32,

    version_compatible, lean_runtime, hardware_compatibility, verbosity, aux_streams, name.

    `profiles` is a list of input name -> [min, opt, max]; `scratch` counts bytes.
    """
    text = json.dumps(header, sort_keys=True).encode()
    return MAGIC + len(text).to_bytes(LENGTH, "little") + text + model


def read_plan(data: bytes) -> tuple[dict[str, Any], bytes] | None:
    """Return header and model; None for bytes that are no plan."""
    if data[: len(MAGIC)] != MAGIC:
        return None
    start = len(MAGIC) + LENGTH
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    return json.loads(data[start : start + length]), data[start + length :]
