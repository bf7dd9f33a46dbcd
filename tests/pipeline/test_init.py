"""A new user's first hour: the wheel, `trtproof init`, `dvc repro`, and an edit of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.pipeline import models
from tests.pipeline.installed import InstalledProject, install_wheel

PACKAGE = {
    "detector/__init__.py": "",
    "detector/net.py": """\
import json
from pathlib import Path

import torch
from torch import nn

from detector.layers import Scale

WIDTH = json.loads((Path(__file__).parent / "width.json").read_text())["width"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=16)
        self.scale = Scale()
        self.fc = nn.Linear(WIDTH * 4, 6)

    def forward(self, image):
        return {"logits": self.fc(self.scale(torch.relu(self.stem(image))).flatten(1))}


def make():
    return Net()
""",
    "detector/layers.py": models.TORCH_LAYERS,
    "detector/width.json": '{"width": 8}\n',
    "detector/unused.py": "NOTHING = 1\n",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the wheel."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def repository(installed: Path, tmp_path: Path) -> InstalledProject:
    """Return an empty git repository of a user who has installed the wheel."""
    root = tmp_path / "repository"
    root.mkdir()
    project = InstalledProject(root, {}, installed)
    project.must("git", "init", "-q")
    return project


def test_the_wheel_is_what_runs(repository: InstalledProject) -> None:
    where = repository.must("python", "-c", "import trtproof; print(trtproof.__file__)")
    assert where.startswith(str(repository.venv))


def test_an_empty_repository_comes_to_a_report(repository: InstalledProject) -> None:
    said = repository.must("trtproof", "init", ".")
    assert "dvc repro" in said
    repository.make_small(
        recipes="fp32, int8_cpu", variants="torch-fp32, onnxruntime-int8_cpu, tensorrt-fp32"
    )
    outcome = repository.repro()
    assert outcome.code == 0, outcome.output
    assert (repository.root / "artifacts/report/index.html").is_file()
    variants = {path.stem for path in (repository.root / "metrics/variants").glob("*.json")}
    assert variants == {"torch-fp32", "onnxruntime-int8_cpu", "tensorrt-fp32"}
    fast = repository.json("metrics/variants/onnxruntime-int8_cpu.json")
    assert fast["scores"]["top1_pct"] > 98
    repository.must("git", "add", "-A")
    repository.must("git", "commit", "-qm", "first")
    untracked = repository.must("git", "status", "--porcelain", "--ignored")
    assert set(re.findall(r"^!! (\S+)", untracked, re.MULTILINE)) <= {
        "artifacts/",
        ".dvc/cache/",
        ".dvc/tmp/",
        "example_adapter/__pycache__/",
    }
    assert "clean" in repository.must("trtproof", "why", "--check")
    assert "nothing differs" in repository.must("trtproof", "upgrade")


def test_an_edit_in_a_users_package_runs_what_depends_on_it(repository: InstalledProject) -> None:
    repository.write(PACKAGE)
    repository.must("git", "add", "-A")
    repository.must("git", "commit", "-qm", "my package")
    said = repository.must("trtproof", "init", "inference", "--from", "detector.net:make")
    assert "image float32 [batch, 3, 32, 32]" in said
    assert "logits [batch, 6]" in said
    project = repository.at("inference")
    project.make_small(recipes="fp32", variants="torch-fp32")
    outcome = project.repro()
    assert outcome.code == 0, outcome.output
    assert (project.root / "artifacts/report/index.html").is_file()
    project.must("git", "add", "-A")
    project.must("git", "commit", "-qm", "first")

    for untouched in ("detector/unused.py", "detector/net.py"):
        repository.edit(untouched, "\n", "\n# a comment\n")
    assert project.repro().ran == {"probe"}

    scorer = "inference/detector_net_adapter/scorer.py"
    repository.edit(scorer, "100.0, 0.0", "100.0, 1.0")
    ran = {name.partition("@")[0] for name in project.repro().ran}
    assert ran == {"probe", "audit", "evaluate", "report"}

    repository.edit("detector/layers.py", "* 2.0", "* 3.0")
    clean = project.command("trtproof", "why", "--check")
    assert clean.code == 1
    assert "export" in clean.output
    assert project.repro("export").ran == {"probe", "export"}


def test_a_model_that_exists_only_as_onnx_comes_to_a_report(repository: InstalledProject) -> None:
    models.tiny_onnx(repository.root / "model/tiny.onnx")
    repository.must("trtproof", "init", "inference", "--onnx", "model/tiny.onnx")
    project = repository.at("inference")
    project.make_small(recipes="fp32", variants="onnxruntime-fp32")
    outcome = project.repro()
    assert outcome.code == 0, outcome.output
    assert (project.root / "artifacts/report/index.html").is_file()
    latency = project.json("metrics/variants/onnxruntime-fp32.json")
    assert project.json("metrics/hardware.json")["slug"] in latency
