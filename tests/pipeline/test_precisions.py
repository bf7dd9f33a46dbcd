"""What each precision costs the embedded model: the real stages on all evaluation samples."""

from __future__ import annotations

from typing import Any

import pytest
from tests.pipeline.project import Project
from tests.pipeline.typed import make_typed_digits

pytestmark = pytest.mark.slow

LEAST_DB = {"fp16": 55.0, "bf16": 40.0, "int8": 38.0, "int8_fp16": 38.0, "fp8": 30.0}
MOST_DROP_PP = 0.5


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the embedded model in every recipe."""
    return make_typed_digits(tmp_path_factory.mktemp("precisions") / "project")


def audit(project: Project, recipe: str) -> Any:
    """Return what the audit stage found of a recipe."""
    project.must("python", "stages/audit.py", recipe)
    return project.json(f"artifacts/audit/{recipe}/audit.json")


@pytest.mark.parametrize("recipe", list(LEAST_DB))
def test_a_precision_costs_no_more_than_it_must(typed: Project, recipe: str) -> None:
    before, after = audit(typed, "fp32"), audit(typed, recipe)
    assert after["outputs"]["logits"]["sqnr_db"] >= LEAST_DB[recipe]
    drop = before["scores"]["top1"]["top1_pct"] - after["scores"]["top1"]["top1_pct"]
    assert drop <= MOST_DROP_PP


def test_two_int8_recipes_stand_side_by_side(typed: Project) -> None:
    kept = typed.json("artifacts/convert/int8_mse/record.json")["kept"]
    assert kept["stem/0/Conv"] == "excluded by the recipe"
    assert "stem/0/Conv" not in typed.json("artifacts/convert/int8/record.json")["kept"]
    ratios = [audit(typed, name)["outputs"]["logits"]["sqnr_db"] for name in ("int8", "int8_mse")]
    assert ratios[0] != ratios[1]
    assert min(ratios) > LEAST_DB["int8"]
