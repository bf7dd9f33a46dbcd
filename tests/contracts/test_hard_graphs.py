"""Every precision pass on graphs that users have: valid, finite, and close to the float32 one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.hard_graphs import HARD
from tests.onnx_graphs import dataset
from tests.quantisation_graphs import sqnr_db

from trtproof.backends.onnxruntime import library_version, open_graph
from trtproof.calibration import Calibration
from trtproof.data_pass import collect
from trtproof.precision import PASSES
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.executors import prepare

SOURCES = {"int8_fp16": "int8", "fp8_fp16": "fp8"}
LEAST_DB = {"fp32": 100, "fp16": 55, "bf16": 25, "fp8": 14, "fp8_fp16": 14}
EIGHT_BITS_DB = 17


def convert(kind: str, folder: Path) -> dict[str, tuple[Path, PrecisionRecord]]:
    """Return pass -> its file and record, the source first under an empty name."""
    example = HARD[kind]()
    source = example.write(folder / "source")
    calibration: Calibration = collect(source, dataset(example.feeds), batch=4, threads=1)
    made: dict[str, tuple[Path, PrecisionRecord]] = {}
    for name in (item for item in PASSES if item != "given"):
        out = folder / name / "model.onnx"
        out.parent.mkdir()
        given = made[SOURCES[name]][0] if name in SOURCES else source
        made[name] = (out, PASSES.load(name)(given, out, calibration, {}))
    return made


@pytest.mark.parametrize("kind", list(HARD))
def test_every_pass_gives_a_valid_graph_that_computes_the_same(kind: str, tmp_path: Path) -> None:
    feeds = {name: values[:5] for name, values in HARD[kind]().feeds.items()}
    made = convert(kind, tmp_path)
    before = open_graph(tmp_path / "source" / "model.onnx", threads=1).run(feeds)
    for name, (path, record) in made.items():
        onnx.checker.check_model(str(path), full_check=True)
        ready = prepare(path, record.executor, tmp_path, version=library_version())
        after = open_graph(ready.model, threads=1, optimized=ready.optimized).run(feeds)
        for output, values in before.items():
            assert np.isfinite(after[output]).all(), name
            assert sqnr_db(values, after[output]) > LEAST_DB.get(name, EIGHT_BITS_DB), name


def test_what_stays_in_float32_is_recorded_with_the_reason(tmp_path: Path) -> None:
    made = convert("products", tmp_path / "products")
    assert "no quantised form" in made["int8"][1].kept["net/e"]
    assert "first operand is constant" in made["int8"][1].kept["net/output"]
    made = convert("gru", tmp_path / "gru")
    assert "TensorRT's builder refuses GRU" in made["bf16"][1].kept["net/recurrent"]
