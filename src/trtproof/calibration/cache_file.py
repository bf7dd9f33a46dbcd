"""The calibration cache: a text file of scales, as TensorRT's calibrators wrote it until 10.

NVIDIA ModelOpt takes its int8 scales from such a file. After a first line that names the writer,
each line is a tensor, a colon, a space, and the float32 pattern of its scale in eight hexadecimal
digits, most significant byte first.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trtproof import artifacts
from trtproof.errors import CalibrationError

HEADER: Final = "TRT-8501-EntropyCalibration2"
"""Readers skip it, or want a name that they know; it says nothing of how the scales were found."""

SEPARATOR: Final = ": "


def write_calibration_cache(path: Path, scales: Mapping[str, float]) -> None:
    """Write tensor name -> int8 scale (what one step of the grid stands for), sorted by name.

    Raises:
        CalibrationError: a scale is not a positive finite float32, or the format cannot hold a
            tensor's name.
    """
    lines = [_line(name, scale) for name, scale in sorted(scales.items())]
    artifacts.write_text(path, "\n".join([HEADER, *lines, ""]))


def _line(name: str, scale: float) -> str:
    if SEPARATOR in name or not name.isprintable() or not name:
        raise CalibrationError(
            f"tensor {name!r} cannot stand in a calibration cache, whose lines are NAME: SCALE; "
            "rename it in the model, or take `quantizer: builtin`"
        )
    try:
        packed = struct.pack(">f", scale)
    except OverflowError:
        packed = struct.pack(">f", math.inf)
    (stored,) = struct.unpack(">f", packed)
    if not 0 < stored < math.inf:
        raise CalibrationError(
            f"the scale {scale!r} of tensor {name!r} is no positive float32; calibrate with real "
            "samples, or exclude the nodes that read it"
        )
    return f"{name}{SEPARATOR}{packed.hex()}"
