"""The builder half of the strict fake."""

from __future__ import annotations

from typing import Any

from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import Surface


def install(trt: Any, surface: Surface, host: Host) -> None:
    """Put the builder's classes on the module."""
