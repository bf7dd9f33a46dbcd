"""Say of many ONNX files whether TensorRT's parser and builder take them; run by the checker.

Reads JSON from the file named by the first argument: [[path, [profile text ...]] ...], writes
[[accepted, first complaint] ...] to that named by the second.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tensorrt as trt


class Logger(trt.ILogger):  # type: ignore[misc]
    """Keeps errors; the one about a missing driver says nothing of the file."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        """Take one message."""
        if severity <= trt.ILogger.Severity.ERROR and "cudaError 35" not in message:
            self.errors.append(message)


LOGGER = Logger()
BUILDER = trt.Builder(LOGGER)


def accepts(path: str, profiles: list[str]) -> tuple[bool, str]:
    """Parse and build one file."""
    LOGGER.errors.clear()
    strong = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = BUILDER.create_network(strong)
    parser = trt.OnnxParser(network, LOGGER)
    parsed = parser.parse_from_file(path)
    found = [parser.get_error(index).desc() for index in range(parser.num_errors)]
    if not parsed or not network.num_layers:
        return False, "; ".join([*found, *LOGGER.errors])[:600]
    config = BUILDER.create_builder_config()
    if profiles:
        profile = BUILDER.create_optimization_profile()
        for text in profiles:
            name, shapes = text.split("=")
            sizes = (tuple(map(int, shape.split("x"))) for shape in shapes.split(":"))
            profile.set_shape(name, *sizes)
        config.add_optimization_profile(profile)
    plan = BUILDER.build_serialized_network(network, config)
    return plan is not None, "; ".join(LOGGER.errors)[:600]


def main() -> None:
    """Check every file of the list."""
    wanted = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = [accepts(path, profiles) for path, profiles in wanted]
    Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
