"""What the runtime classes of one fake module share: the host, the log, broken rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import Surface, strict

TYPES = {
    "tensor(float)": "FLOAT",
    "tensor(float16)": "HALF",
    "tensor(bfloat16)": "BF16",
    "tensor(int64)": "INT64",
    "tensor(int32)": "INT32",
    "tensor(int8)": "INT8",
    "tensor(uint8)": "UINT8",
    "tensor(bool)": "BOOL",
}
NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT64": np.int64,
    "INT32": np.int32,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}


class World:
    """What the classes of one module share."""

    def __init__(self, trt: Any, surface: Surface, host: Host) -> None:
        self.trt = trt
        self.surface = surface
        self.host = host
        self.rules: list[str] = []
        self.classes: dict[str, type] = {}
        self.logger: Any = None

    def make_class(self, kind: str, implementation: type) -> type:
        if kind not in self.classes:
            made = strict(self.surface, kind, implementation)
            made._world = self  # type: ignore[attr-defined]
            self.classes[kind] = made
        return self.classes[kind]

    def log(self, severity: str, text: str) -> None:
        self.logger.log(self.trt.ILogger.Severity[severity], text)

    def error(self, call: str, text: str, code: int = 3) -> None:
        kinds = {
            1: "Serialization",
            2: "Internal Error",
            3: "API Usage Error",
            6: "API Usage Error",
        }
        self.log("ERROR", f"{call}: Error Code {code}: {kinds[code]} ({text})")
