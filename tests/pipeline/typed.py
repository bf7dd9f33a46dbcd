"""The embedded model exported, calibrated and converted to every recipe by the real stages."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.project import REPOSITORY, Project, make_project

RECIPES = ("fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8", "fp8_fp16")
"""Those that TensorRT takes."""

MORE_INT8 = """\
# @package recipes
int8_mse:
  pass: int8
  source: artifacts/export
  calibration: artifacts/calibrate
  options:
    quantizer: builtin
    method: mse
    percentile: 99.99
    exclude: [stem/0/Conv, Add]
"""


def make_typed_digits(root: Path) -> Project:
    """Return a project with all recipes converted, a second int8 among them."""
    config = (REPOSITORY / "conf/config.yaml").read_text(encoding="utf-8")
    old, names = "recipe: [fp32, fp16, int8_cpu]", [*RECIPES, "int8_cpu", "int8_mse"]
    assert old in config
    extra = {
        "conf/config.yaml": config.replace(old, f"recipe: [{', '.join(names)}]"),
        "conf/recipe/int8_mse.yaml": MORE_INT8,
    }
    project = make_project(root, extra)
    (root / "src").symlink_to(REPOSITORY / "src")
    project.compose()
    for stage in ("gate", "probe", "export", "calibrate"):
        project.must("python", f"stages/{stage}.py")
    for recipe in names:
        project.must("python", "stages/convert.py", recipe)
    return project
