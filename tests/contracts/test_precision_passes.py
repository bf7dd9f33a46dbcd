"""What every registered precision pass promises, on small models of each kind."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tests.onnx_graphs import EXAMPLES, Example, dataset

from trtproof.backends.onnxruntime import open_graph
from trtproof.calibration import Calibration
from trtproof.data_pass import collect
from trtproof.errors import ConfigError, MissingFileError, ModelError
from trtproof.precision import PASSES
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.executors import EXECUTORS, prepare
from trtproof.tensor import Feeds

LEAST_SQNR_DB = 20.0
CONVERTING = [name for name in PASSES if name != "given"]  # that one converts nothing
CASES = [(name, kind) for name in CONVERTING for kind in EXAMPLES]
SOURCES = {"int8_fp16": "int8", "fp8_fp16": "fp8"}


def calibrate(example: Example, path: Path) -> Calibration:
    return collect(path, dataset(example.feeds), batch=4, threads=1)


def convert(name: str, kind: str, folder: Path) -> tuple[Path, Path, PrecisionRecord]:
    example = EXAMPLES[kind]()
    source = example.write(folder / "source")
    out = folder / "converted" / "model.onnx"
    out.parent.mkdir()
    given = source
    if name in SOURCES:
        given = folder / "given.onnx"
        PASSES.load(SOURCES[name])(source, given, calibrate(example, source), {})
    record = PASSES.load(name)(given, out, calibrate(example, source), {})
    return source, out, record


def describe(values: object) -> list[tuple[str, int, list[str | int]]]:
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in values  # type: ignore[attr-defined]
    ]


def sqnr_db(reference: Feeds, other: Feeds) -> float:
    signal = sum(float((value.astype(np.float64) ** 2).sum()) for value in reference.values())
    noise = sum(
        float(((reference[name].astype(np.float64) - other[name]) ** 2).sum()) for name in reference
    )
    return float("inf") if noise == 0 else float(10 * np.log10(signal / noise))


def recount(path: Path) -> dict[str, int]:
    """Count again, straight from the definition in PrecisionRecord."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kinds[value.name] = value.type.tensor_type.elem_type
    found: set[str] = {value.name for value in graph.input}
    values: set[str] = set()
    for node in graph.node:
        is_qdq = node.op_type in {"QuantizeLinear", "DequantizeLinear"}
        found.update(node.input[:1] if is_qdq else node.input)
        found.update(node.output)
        if is_qdq:
            values.add(node.output[0] if node.op_type == "QuantizeLinear" else node.input[0])
    counts = Counter(
        TensorProto.DataType.Name(kinds[name])
        for name in found - {""}
        if "FLOAT" in TensorProto.DataType.Name(kinds[name]) or name in values
    )
    return dict(counts)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_result_is_valid_and_keeps_inputs_outputs_and_dynamic_axes(
    name: str, kind: str, tmp_path: Path
) -> None:
    source, out, _ = convert(name, kind, tmp_path)
    onnx.checker.check_model(str(out), full_check=True)
    before, after = onnx.load(source).graph, onnx.load(out).graph
    assert describe(after.input) == describe(before.input)
    assert describe(after.output) == describe(before.output)
    assert "batch" in describe(after.input)[0][2]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_result_is_close_to_the_source_at_every_batch(
    name: str, kind: str, tmp_path: Path
) -> None:
    source, out, record = convert(name, kind, tmp_path)
    before = open_graph(source, threads=1)
    ready = prepare(out, record.executor, tmp_path, version="1.31.1")
    after = open_graph(ready.model, threads=1, optimized=ready.optimized)
    for batch in (1, 12):
        feeds = {key: value[:batch] for key, value in EXAMPLES[kind]().feeds.items()}
        outputs = after.run(feeds)
        assert all(np.isfinite(value).all() for value in outputs.values())
        assert sqnr_db(before.run(feeds), outputs) > LEAST_SQNR_DB


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_record_counts_the_types_that_are_in_the_file(
    name: str, kind: str, tmp_path: Path
) -> None:
    _, out, record = convert(name, kind, tmp_path)
    assert dict(record.dtypes) == recount(out)
    assert record.precision == PASSES.load(name).precision
    assert record.executor in EXECUTORS


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_equal_models_in_two_folders_give_equal_bytes_and_records(
    name: str, kind: str, tmp_path: Path
) -> None:
    made = []
    for folder in ("first", "a/second"):
        (tmp_path / folder).mkdir(parents=True)
        _, out, record = convert(name, kind, tmp_path / folder)
        made.append((out.read_bytes(), record.to_json()))
        assert str(tmp_path).encode() not in made[-1][0]
    assert made[0] == made[1]


HASH_ALL = """
import hashlib, sys
from pathlib import Path
from tests.contracts.test_precision_passes import CASES, convert
for name, kind in CASES:
    folder = Path(sys.argv[1]) / name / kind
    folder.mkdir(parents=True)
    _, out, record = convert(name, kind, folder)
    print(name, kind, hashlib.sha256(out.read_bytes()).hexdigest(), record.to_json())
"""


def test_the_seed_of_pythons_hashes_does_not_show(tmp_path: Path) -> None:
    printed = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", HASH_ALL, str(tmp_path / seed)]
        root = Path(__file__).parents[2]
        done = subprocess.run(
            command, env=environment, cwd=root, capture_output=True, text=True, check=True
        )
        printed.append(done.stdout)
    assert printed[0].count("\n") == len(CASES)
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in printed]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", CONVERTING)
def test_an_option_that_the_pass_does_not_have_is_refused(name: str, tmp_path: Path) -> None:
    example = EXAMPLES["residual_convolution"]()
    source = example.write(tmp_path)
    calibration = calibrate(example, source)
    with pytest.raises(ConfigError, match="exlude"):
        PASSES.load(name)(source, tmp_path / "out.onnx", calibration, {"exlude": []})


@pytest.mark.parametrize("name", CONVERTING)
@pytest.mark.parametrize("content", [b"", b"\x08\x0a", b"not a model at all"])
def test_a_file_that_is_no_model_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(content)
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        PASSES.load(name)(source, tmp_path / "out.onnx", Calibration({}, {}), {})


@pytest.mark.parametrize("name", CONVERTING)
def test_a_missing_model_says_which_stage_makes_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="dvc repro export"):
        PASSES.load(name)(tmp_path / "model.onnx", tmp_path / "out.onnx", Calibration({}, {}), {})


@pytest.mark.parametrize("name", CONVERTING)
def test_weights_in_a_file_beside_the_model_are_converted_too(name: str, tmp_path: Path) -> None:
    example = EXAMPLES["residual_convolution"]()
    inline = example.write(tmp_path / "inline")
    (tmp_path / "external").mkdir()
    external = tmp_path / "external" / "model.onnx"
    onnx.save_model(
        onnx.load(inline),
        external,
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    assert (tmp_path / "external/model.onnx.data").stat().st_size > 1000
    calibration = calibrate(example, external)
    outputs = []
    for source in (inline, external):
        out = source.parent / "out" / "model.onnx"
        out.parent.mkdir()
        record = PASSES.load(name)(source, out, calibration, {})
        ready = prepare(out, record.executor, out.parent, version="1.31.1")
        graph = open_graph(ready.model, threads=1, optimized=ready.optimized)
        outputs.append(graph.run(example.feeds)["logits"])
    assert np.array_equal(outputs[0], outputs[1])
