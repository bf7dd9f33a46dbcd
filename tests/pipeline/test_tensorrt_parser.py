"""TensorRT's own parser and builder take every file that export and convert write.

Runs where TRTPROOF_TRT_CHECK names the checker's script and TRTPROOF_TRT_CHECK_PYTHON (by default
this interpreter) has the two packages that it needs. Acceptance says nothing about fusion or speed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pipeline.project import REPOSITORY, Project, make_project

CHECKER = os.environ.get("TRTPROOF_TRT_CHECK")
PYTHON = os.environ.get("TRTPROOF_TRT_CHECK_PYTHON", sys.executable)
RECIPES = ("fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8", "fp8_fp16")
PROFILE = "input=1x1x16x16:8x1x16x16:16x1x16x16"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKER, reason="TRTPROOF_TRT_CHECK names no checker"),
]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with the embedded model exported and in every recipe for TensorRT."""
    config = (REPOSITORY / "conf/config.yaml").read_text(encoding="utf-8")
    recipes = config.replace(
        "recipe: [fp32, fp16, int8_cpu]", f"recipe: [{', '.join((*RECIPES, 'int8_cpu'))}]"
    )
    project = make_project(
        tmp_path_factory.mktemp("typed") / "project", {"conf/config.yaml": recipes}
    )
    weights = "src/trtproof/models/embedded/digits_resnet.safetensors"
    (project.root / weights).parent.mkdir(parents=True)
    (project.root / weights).symlink_to(REPOSITORY / weights)
    project.compose()
    for stage in ("gate", "probe", "export", "calibrate"):
        project.must("python", f"stages/{stage}.py")
    for recipe in (*RECIPES, "int8_cpu"):
        project.must("python", "stages/convert.py", recipe)
    return project


def check(model: Path) -> subprocess.CompletedProcess[str]:
    """Run the checker on one file."""
    return subprocess.run(
        [PYTHON, str(CHECKER), "build", str(model), "--profile", PROFILE],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_typed_graph_is_accepted(converted: Project, recipe: str) -> None:
    done = check(converted.root / "artifacts/convert" / recipe / "model.onnx")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ACCEPTED" in done.stdout


def test_the_cpus_own_int8_is_refused(converted: Project) -> None:
    done = check(converted.root / "artifacts/convert/int8_cpu/model.onnx")
    assert "ACCEPTED" not in done.stdout
