from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.calibration.cache_file import HEADER, write_calibration_cache
from trtproof.errors import CalibrationError

NAMES = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1)
SCALES = st.floats(2.0**-24, 2.0**100, width=32)


def test_a_scale_is_written_as_the_big_endian_pattern_of_its_float32(tmp_path: Path) -> None:
    write_calibration_cache(tmp_path / "c", {"b/out:0": 1.0, "a": 2.0**-24})
    text = (tmp_path / "c").read_text()
    assert text == f"{HEADER}\na: 33800000\nb/out:0: 3f800000\n"


def as_modelopt_reads(path: Path) -> dict[str, float]:
    """Read as `modelopt.onnx.quantization.calib_utils` 0.47 does."""
    scales = {}
    for line in path.read_text().splitlines(keepends=True)[1:]:
        layer_name, hex_value = line.replace("\n", "").split(": ")
        scales[layer_name + "_scale"] = struct.unpack("!f", bytes.fromhex(hex_value))[0]
    return scales


@given(scales=st.dictionaries(NAMES, SCALES, max_size=8))
def test_modelopt_finds_the_scales_that_were_written(
    scales: dict[str, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cache") / "calibration.cache"
    write_calibration_cache(path, scales)
    assert as_modelopt_reads(path) == {f"{name}_scale": scale for name, scale in scales.items()}


def test_the_order_of_the_tensors_does_not_show(tmp_path: Path) -> None:
    write_calibration_cache(tmp_path / "a", {"x": 1.0, "y": 2.0})
    write_calibration_cache(tmp_path / "b", {"y": 2.0, "x": 1.0})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, 1e39, 1e-50])
def test_what_is_no_positive_float32_is_refused_with_its_tensor(
    scale: float, tmp_path: Path
) -> None:
    with pytest.raises(CalibrationError, match="'x' is no positive float32"):
        write_calibration_cache(tmp_path / "c", {"x": scale})
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", ["a: b", "a\nb", ""])
def test_a_name_that_would_break_the_lines_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot stand in a calibration cache"):
        write_calibration_cache(tmp_path / "c", {name: 1.0})
