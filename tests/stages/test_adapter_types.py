"""Unusual inputs, outputs and samples through export, calibrate, convert, audit, build, evaluate.

Half-precision and uint8 inputs, two dynamic axes, a dictionary of outputs, samples of many lengths
without a collate function, arrays as labels and predictions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from trtproof import artifacts
from trtproof.audit import Comparison, Kept, audit
from trtproof.backends.plans import BuildRequest, build_plan
from trtproof.calibration import Calibration
from trtproof.config import (
    AxisConfig,
    BuildConfig,
    DatasetConfig,
    EvaluateConfig,
    ExportConfig,
    InputConfig,
    ModelConfig,
    ParityConfig,
    RunConfig,
)
from trtproof.data import open_dataset
from trtproof.data.arrays import first_samples
from trtproof.data_pass import collect
from trtproof.models import SOURCES
from trtproof.models.base import input_specs, load_files
from trtproof.models.export import describe_export, export_module
from trtproof.models.normalise import normalise, write_model
from trtproof.models.onnx import adopt_config, make_signature
from trtproof.models.weights import write_weights
from trtproof.precision import PASSES
from trtproof.scoring import evaluation, load_scorer
from trtproof.scoring.kept import unpack_outputs

ME = __name__
LENGTHS = [5, 5, 3, 6, 6, 6, 4, 5]
LABEL_ROWS = 2
AXES = {"batch": AxisConfig(min=1, opt=2, max=4), "length": AxisConfig(min=2, opt=4, max=8)}
EXPORT = ExportConfig(
    exporter="dynamo", opset=20, parity=ParityConfig(max_relative_error=1e-3, min_cosine=0.999)
)


class Pixels(nn.Module):
    """Colours of points and a mask; scores per point and one per sample, as a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(3, 8)
        self.points = nn.Linear(8, 4)
        self.whole = nn.Linear(8, 2)

    def forward(self, colours: torch.Tensor, weight: torch.Tensor) -> dict[str, Any]:
        x = torch.relu(self.mix(colours.float() / 255 * weight.float().unsqueeze(-1)))
        return {"whole": self.whole(x.mean(dim=1)), "points": self.points(x), "loss": None}


def make_samples(split: str) -> list[Any]:
    random = np.random.default_rng(len(split))
    return [
        (
            {
                "colours": random.integers(0, 256, (length, 3)).astype(np.uint8),
                "weight": random.random(length).astype(np.float16),
            },
            random.random((LABEL_ROWS, length)),
        )
        for length in LENGTHS
    ]


class PointErrors:
    lower_is_better = ("error_ratio",)

    def predictions(self, outputs: Any, batch: Any) -> list[Any]:
        return [row.astype(np.float16) for row in outputs["points"]]

    def per_sample(self, predictions: Any, labels: Any) -> dict[str, Any]:
        pairs = list(zip(predictions, labels, strict=True))
        assert all(label.shape == (LABEL_ROWS, len(found)) for found, label in pairs)
        errors = [abs(float(found[0, 0]) - label[0, 0]) for found, label in pairs]
        return {"error_ratio": [error / (1 + error) for error in errors]}


MODEL = ModelConfig(
    name="pixels",
    source="module",
    factory=f"{ME}:Pixels",
    weights=None,
    options={},
    files=[],
    inputs={
        "colours": InputConfig(dtype="uint8", shape=["batch", "length", 3]),
        "weight": InputConfig(dtype="float16", shape=["batch", "length"]),
    },
    outputs=["points", "whole"],
    axes=AXES,
)
DATASET = DatasetConfig(
    name="points",
    format="factory",
    factory=f"{ME}:make_samples",
    synthetic=False,
    options={},
    files=[],
    calibration={},
    evaluation={},
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with artifacts/export/ as the stage writes it."""
    root = tmp_path_factory.mktemp("types")
    folder = root / artifacts.EXPORT
    folder.mkdir(parents=True)
    module = SOURCES.load("module").make_module(MODEL)
    assert module is not None
    feeds = first_samples(open_dataset(DATASET, "calibration"), 4)
    graph = export_module(module, MODEL, EXPORT, feeds)
    adopt_config(graph, MODEL)
    normalise(graph)
    write_model(graph, folder)
    write_weights(module, folder / "weights.safetensors")
    signature = make_signature(graph, MODEL, ())
    artifacts.write_json(folder / "signature.json", signature.to_json())
    artifacts.write_json(folder / "export.json", describe_export(graph, MODEL, EXPORT))
    return root


@pytest.fixture(scope="module")
def calibration(exported: Path) -> Calibration:
    model = exported / artifacts.EXPORT / "model.onnx"
    return collect(model, open_dataset(DATASET, "calibration"), batch=4, threads=1)


def test_the_signature_has_every_type_axis_and_output(exported: Path) -> None:
    signature = load_files(exported / artifacts.EXPORT).signature
    assert signature.inputs == input_specs(MODEL)
    assert [(spec.name, list(spec.shape)) for spec in signature.outputs] == [
        ("points", ["batch", "length", 4]),
        ("whole", ["batch", 2]),
    ]


@pytest.mark.parametrize("name", ["fp32", "fp16", "bf16", "int8", "fp8", "int8_cpu"])
def test_every_recipe_converts_and_is_audited_on_samples_of_many_lengths(
    name: str, exported: Path, calibration: Calibration, tmp_path: Path
) -> None:
    source = exported / artifacts.EXPORT / "model.onnx"
    record = PASSES.load(name)(source, tmp_path / "model.onnx", calibration, {})
    kept = Kept(most=5)
    found = audit(
        Comparison(source, tmp_path / "model.onnx", record.executor),
        open_dataset(DATASET, "evaluation"),
        batch=4,
        scorers={"points": load_scorer(f"{ME}:PointErrors")},
        kept=kept,
    )
    assert found["samples_count"] == len(LENGTHS)
    assert found["outputs"]["points"]["cosine"] > 0.95
    assert 0 < found["scores"]["points"]["error_ratio"] < 1
    kept.write(tmp_path / "outputs.npz")
    with np.load(tmp_path / "outputs.npz") as stored:
        points = unpack_outputs(dict(stored))["points"]
    assert [sample.shape for sample in points] == [(length, 4) for length in LENGTHS[:5]]


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_both_backends_answer_and_are_scored_alike(
    backend: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported)
    source = artifacts.EXPORT
    axes = {name: msgspec.structs.asdict(axis) for name, axis in AXES.items()}
    settings = BuildConfig(
        tf32=False,
        workspace_mib=1,
        profiles=[{name: AxisConfig(**axis) for name, axis in axes.items()}],
        options={},
    )
    request = BuildRequest(
        variant="own",
        backend=backend,
        recipe="fp32",
        source=source,
        settings=settings,
        facts={"device": "cpu", "version": "0"},
        slug="here",
        key={},
        plan_key={},
        pythonpath=[],
    )
    if not (source / "record.json").exists():
        record = PASSES.load("fp32")(source / "model.onnx", tmp_path / "copy.onnx", None, {})
        artifacts.write_json(source / "record.json", record.to_json())
    built = build_plan(request, tmp_path)
    assert built.status == "built", built.reason
    run = RunConfig(cuda_graph=False, threads=1)
    plan = evaluation.OpenablePlan(tmp_path, built, run, [])
    config = EvaluateConfig(batch=4, scorers=["points"], keep_outputs=8)
    scorers = {"points": load_scorer(f"{ME}:PointErrors")}
    result = evaluation.evaluate_plan(plan, open_dataset(DATASET, "evaluation"), scorers, config)
    scores = evaluation.score(result, scorers)["points"]
    evaluation.write_evaluation(tmp_path, built, result, {"points": scores}, synthetic=False)
    stored = artifacts.read_json(tmp_path / "predictions.json", made_by="evaluate")
    assert scorers["points"].score(stored["predictions"]["points"], stored["labels"]) == scores
    assert scores["error_ratio"] == pytest.approx(0.3, abs=0.29)
