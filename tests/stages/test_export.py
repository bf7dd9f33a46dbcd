"""stages/export.py on small models in a folder of its own; what a user meets runs as a process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from stages import export

from trtproof import stage
from trtproof.errors import (
    AdapterError,
    ConfigError,
    ImportPathError,
    InputError,
    ModelError,
    UnkeyedFileError,
)
from trtproof.models.base import load_files

STAGE = Path(export.__file__).resolve()

FACTORY = """
    from pathlib import Path

    import torch
    from torch import nn

    def make(file=None):
        module = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        if file is not None:
            module[0].bias.data.fill_(float((Path(__file__).parent / file).read_text()))
        return module

    class Untrue(nn.Module):
        def forward(self, x):
            return x + (0.5 if torch.onnx.is_in_onnx_export() else 0.0)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # A hook stays for the life of a process; the tests of it start processes of their own.
    monkeypatch.setattr(stage, "guard_opens", lambda *_, **__: None)
    monkeypatch.delitem(sys.modules, "user_model", raising=False)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "user_model.py").write_text(textwrap.dedent(FACTORY))
    samples = np.random.default_rng(0).standard_normal((7, 3), dtype=np.float32)
    np.savez(tmp_path / "samples.npz", x=samples)
    return tmp_path


def write_onnx(path, *, weight=None):
    weight = np.ones((3, 2), np.float32) if weight is None else weight
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    path.write_bytes(model.SerializeToString())


def write_params(project, *, model=None, export=None, dataset=None):
    params = {
        "pythonpath": ["own"],
        "model": {
            "name": "m",
            "source": "module",
            "factory": "user_model:make",
            "weights": None,
            "options": {},
            "files": [],
            "inputs": {"x": {"dtype": "float32", "shape": ["batch", 3]}},
            "outputs": ["y"],
            "axes": {"batch": {"min": 1, "opt": 2, "max": 9}},
        }
        | (model or {}),
        "export": {
            "exporter": "legacy",
            "opset": 17,
            "parity": {"max_relative_error": 1e-4, "min_cosine": 0.99999},
        }
        | (export or {}),
        "dataset": {
            "name": "mine",
            "format": "npz",
            "synthetic": False,
            "options": {},
            "files": [],
            "calibration": {"file": "samples.npz", "count": None},
            "evaluation": {"file": "absent.npz", "count": None},
        }
        | (dataset or {}),
    }
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def folder_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    "settings", [{"exporter": "legacy", "opset": 17}, {"exporter": "dynamo", "opset": 20}]
)
def test_a_module_becomes_a_checked_model_with_its_signature_and_weights(project, settings):
    write_params(project, export=settings)
    export.main()
    folder = project / "artifacts/export"
    assert sorted(folder_bytes(folder)) == [
        "export.json",
        "model.onnx",
        "signature.json",
        "weights.safetensors",
    ]
    files = load_files(folder)
    assert [list(spec.shape) for spec in files.signature.inputs] == [["batch", 3]]
    assert [list(spec.shape) for spec in files.signature.outputs] == [["batch", 2]]
    assert files.signature.preprocessing == ({"step": "stored", "version": 1},)
    assert sorted(load_file(files.weights)) == ["0.bias", "0.weight"]
    onnx.checker.check_model(str(files.onnx), full_check=True)


def test_the_record_holds_the_exporter_and_the_parity_at_every_bound(project):
    write_params(project)
    export.main()
    record = json.loads((project / "artifacts/export/export.json").read_text())
    assert (record["exporter"], record["opset"]) == ("legacy", 17)
    assert [(item["bound"], item["extents"]) for item in record["parity"]] == [
        ("min", {"batch": 1}),
        ("opt", {"batch": 2}),
        ("max", {"batch": 9}),
    ]
    assert all(item["max_relative"] < 1e-5 for item in record["parity"])


def test_the_same_inputs_give_the_same_bytes(project):
    write_params(project)
    export.main()
    first = folder_bytes(project / "artifacts/export")
    export.main()
    assert folder_bytes(project / "artifacts/export") == first


def test_an_onnx_source_is_taken_as_it_is_and_has_no_weights_of_a_reference(project):
    write_onnx(project / "mine.onnx")
    write_params(project, model={"source": "onnx", "factory": None, "weights": "mine.onnx"})
    export.main()
    files = load_files(project / "artifacts/export")
    assert files.weights is None
    assert files.signature.outputs[0].shape == ("batch", 2)
    record = json.loads((files.folder / "export.json").read_text())
    assert (record["exporter"], record["opset"]) == (None, 20)


def test_an_export_that_is_not_the_model_fails_and_leaves_the_last_one_alone(project):
    write_params(project)
    export.main()
    before = folder_bytes(project / "artifacts/export")
    write_params(project, model={"factory": "user_model:Untrue"})
    with pytest.raises(ModelError, match="output 'y' at batch="):
        export.main()
    assert folder_bytes(project / "artifacts/export") == before
    assert list((project / "artifacts/.tmp").iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_make_nan_or_infinity_are_told(project, value):
    write_onnx(project / "mine.onnx", weight=np.full((3, 2), value, np.float32))
    write_params(project, model={"source": "onnx", "factory": None, "weights": "mine.onnx"})
    with pytest.raises(ModelError, match="output 'y' at batch=1: the model gives 2 NaN"):
        export.main()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": {"factory": "user_model:absent"}}, ImportPathError, "absent"),
        ({"model": {"weights": "absent.pt"}}, InputError, "absent.pt"),
        (
            {"model": {"inputs": {"x": {"dtype": "float32", "shape": ["batch", 4]}}}},
            InputError,
            r"shape \[9, 3\], the model takes \['batch', 4\]",
        ),
        (
            {"model": {"inputs": {"z": {"dtype": "float32", "shape": ["batch", 3]}}}},
            InputError,
            "has no array 'z'",
        ),
        ({"export": {"exporter": "tracer"}}, ConfigError, "export.exporter"),
        ({"model": {"outputs": ["y", "z"]}}, AdapterError, "returns 1 outputs"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(project, changes, error, message):
    write_params(project, **changes)
    with pytest.raises(error, match=message):
        export.main()
    assert not (project / "artifacts/export").exists()


def run_stage(project):
    return subprocess.run(
        [sys.executable, str(STAGE)], cwd=project, capture_output=True, text=True, check=False
    )


def test_a_file_that_the_factory_reads_and_no_key_contains_stops_the_stage(project):
    (project / "own" / "bias.txt").write_text("0.5")
    write_params(project, model={"options": {"file": "bias.txt"}})
    done = run_stage(project)
    assert done.returncode == 1
    message = str(UnkeyedFileError(Path("own/bias.txt"), setting="model.files"))
    assert done.stderr.splitlines()[-1] == f"error: {message}"
    assert not (project / "artifacts/export").exists()


def test_a_file_that_model_files_names_may_be_read(project):
    (project / "own" / "bias.txt").write_text("0.5")
    write_params(project, model={"options": {"file": "bias.txt"}, "files": ["own/*.txt"]})
    done = run_stage(project)
    assert done.returncode == 0, done.stderr
    weights = load_file(project / "artifacts/export/weights.safetensors")
    assert weights["0.bias"].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("kept_bytes", [0, 40])
def test_a_broken_onnx_file_is_one_line_and_exit_code_1(project, kept_bytes):
    write_onnx(project / "mine.onnx")
    path = project / "mine.onnx"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    write_params(project, model={"source": "onnx", "factory": None, "weights": "mine.onnx"})
    done = run_stage(project)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        done.stderr.splitlines()[-1]
    ]
    assert "Traceback" not in done.stderr
