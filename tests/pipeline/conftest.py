"""Two tiny projects, each brought up to date once; every test works on a copy of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.pipeline import models
from tests.pipeline.project import REPOSITORY, Project, make_project

DEFAULTS = """\
  - dataset: digits
  - model: digits_resnet
  - recipe: [fp32, fp16, int8_cpu]
  - variant: [torch-fp32, onnxruntime-fp32, onnxruntime-int8_cpu, tensorrt-fp32, tensorrt-fp16]
  - benchmark: quick
"""


def config(*, model: str, recipes: str, variants: str, reference: str) -> str:
    """Return the repository's conf/config.yaml with other choices."""
    text = (REPOSITORY / "conf/config.yaml").read_text(encoding="utf-8")
    assert DEFAULTS in text, "conf/config.yaml has other defaults than these tests replace"
    chosen = (
        f"  - dataset: columns\n  - model: {model}\n  - recipe: [{recipes}]\n"
        f"  - variant: [{variants}]\n  - benchmark: smoke\n"
    )
    text = text.replace(DEFAULTS, chosen)
    text = text.replace("reference: torch-fp32", f"reference: {reference}")
    return text.replace("exporter: dynamo", "exporter: legacy")


def bring_up(project: Project) -> Project:
    """Give the project data, its own copy of the package, and a first complete run."""
    models.tiny_npz(project.root / "data/calibration.npz", count=24, seed=1)
    models.tiny_npz(project.root / "data/evaluation.npz", count=30, seed=2)
    shutil.copytree(
        REPOSITORY / "src/trtproof",
        project.root / "src/trtproof",
        ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"),
    )
    project.compose()
    outcome = project.repro()
    assert outcome.code == 0, outcome.output
    project.must("git", "add", "-A")
    project.must("git", "commit", "-qm", "base")
    return project


@pytest.fixture(scope="session")
def onnx_base(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return an up-to-date project whose model is an ONNX file: no torch, so seconds per run."""
    root = tmp_path_factory.mktemp("onnx") / "project"
    project = make_project(
        root,
        {
            "conf/model/tiny.yaml": models.MODEL_YAML,
            "conf/dataset/columns.yaml": models.DATASET_YAML,
            "conf/config.yaml": config(
                model="tiny",
                recipes="fp32, int8_cpu",
                variants="onnxruntime-fp32, onnxruntime-int8_cpu, tensorrt-fp32",
                reference="onnxruntime-fp32",
            ),
        },
    )
    models.tiny_onnx(root / "model/tiny.onnx")
    return bring_up(project)


@pytest.fixture(scope="session")
def torch_base(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return an up-to-date project whose model is a PyTorch module of the project's own."""
    root = tmp_path_factory.mktemp("torch") / "project"
    project = make_project(
        root,
        {
            "conf/model/tiny_torch.yaml": models.TORCH_MODEL_YAML,
            "conf/dataset/columns.yaml": models.DATASET_YAML,
            "tinynet/__init__.py": "",
            "tinynet/net.py": models.TORCH_MODEL,
            "tinynet/layers.py": models.TORCH_LAYERS,
            "tinynet/width.json": '{"width": 8}\n',
            "tinynet/notes.txt": "not read by anything\n",
            "conf/config.yaml": config(
                model="tiny_torch",
                recipes="fp32",
                variants="torch-fp32, onnxruntime-fp32",
                reference="torch-fp32",
            ).replace("pythonpath: []", "pythonpath: [.]"),
        },
    )
    models.tiny_weights(root / "model/tiny.safetensors")
    return bring_up(project)


@pytest.fixture
def onnx_project(onnx_base: Project, tmp_path: Path) -> Project:
    """Return a copy of the ONNX project that a test may change."""
    return onnx_base.copy_to(tmp_path / "project")


@pytest.fixture
def torch_project(torch_base: Project, tmp_path: Path) -> Project:
    """Return a copy of the PyTorch project that a test may change."""
    return torch_base.copy_to(tmp_path / "project")
