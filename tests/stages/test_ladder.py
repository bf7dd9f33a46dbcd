"""An error that is planted in one step is found at that step: through the real stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from stages import audit, build, calibrate, convert, evaluate
from tests.stages.precision_project import make_project

from trtproof import artifacts
from trtproof.budget_config import BudgetConfig
from trtproof.config import RecipeConfig, VariantConfig, load_section
from trtproof.report.evaluated import load_evaluation
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Settings
from trtproof.report.ladder import Step, build_ladder, path_figures
from trtproof.report.ladder_tables import ladder_table
from trtproof.report.sources import Sources
from trtproof.scoring import evaluation
from trtproof.sidecar import read_record, write_record

CPU = {"device": "cpu", "version": "1"}
HARDWARE = {"schema": 1, "slug": "cpu-x", "bench": {}, "engine": {"onnxruntime": CPU}}
RECIPES = ("fp32", "fp16", "int8", "int8_fp16")
REFERENCE = "onnxruntime-fp32"


def recipe(name: str) -> dict[str, Any]:
    source = "artifacts/convert/int8" if name == "int8_fp16" else "artifacts/export"
    ranges = "artifacts/calibrate" if name == "int8" else source
    return {"pass": name, "source": source, "calibration": ranges, "options": {}}


def variant(name: str) -> dict[str, Any]:
    return {
        "backend": "onnxruntime",
        "recipe": name,
        "source": f"artifacts/convert/{name}",
        "build": {
            "tf32": False,
            "workspace_mib": 64,
            "profiles": [{"batch": {"min": 1, "opt": 8, "max": 16}}],
            "options": {},
        },
        "run": {"cuda_graph": False, "threads": 1},
    }


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a project whose reference has answered already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluation, "guard_inputs", lambda *_: None)
    made = {f"onnxruntime-{name}": name for name in ("fp32", "fp16", "int8")}
    make_project(
        tmp_path,
        recipes={name: recipe(name) for name in RECIPES},
        variants={name: variant(precision) for name, precision in made.items()},
    )
    artifacts.write_json(artifacts.HARDWARE, HARDWARE)
    keys = {"code": {"build": {"onnxruntime": {"code": "x"}}}}
    plans: dict[str, Any] = {"plans": {name: {} for name in made}}
    artifacts.write_json(artifacts.INPUTS, {"schema": 1} | keys | plans)
    calibrate.main()
    convert.main("fp32")
    build.main(REFERENCE)
    evaluate.main(REFERENCE)
    variants = load_section(dict[str, VariantConfig], "variants")
    return Settings(
        model="small",
        random_weights=False,
        dataset="digits",
        variants={name: variants[name] for name in made},
        recipes=load_section(dict[str, RecipeConfig], "recipes"),
        reference=REFERENCE,
        budget=load_section(BudgetConfig, "budget"),
    )


def climb(settings: Settings, plant: Callable[[str], None]) -> dict[str, Step]:
    """Run every stage after the reference; `plant` is called after each with its name."""
    for name in RECIPES:
        convert.main(name)
        plant(f"convert@{name}")
        audit.main(name)
    for name in settings.variants:
        if name != REFERENCE:
            build.main(name)
            plant(f"build@{name}")
            evaluate.main(name)
    sources = Sources()
    records = {name: read_record(artifacts.build(name)) for name in settings.variants}
    evaluations = {name: load_evaluation(name, record, sources) for name, record in records.items()}
    steps = build_ladder(settings, evaluations, sources)
    assert not isinstance(steps, NotMeasured)
    return {step.rung.name: step for step in steps}


def spoil(model: Path) -> None:
    """Make every weight of a graph 3 % larger where it is positive."""
    proto = onnx.load(model)
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.size > 10 and not tensor.name.endswith("zero_point"):
            changed = np.where(values > 0, np.rint(values * 1.03), values)
            changed = changed if values.dtype == np.int8 else values * np.where(values > 0, 1.03, 1)
            tensor.CopyFrom(numpy_helper.from_array(changed.astype(values.dtype), tensor.name))
    onnx.save(proto, model)


def spoil_plan(name: str) -> None:
    folder = artifacts.build(name)
    record = read_record(folder)
    spoil(folder / "engine.onnx")
    digest = artifacts.sha256_file(folder / "engine.onnx")
    write_record(folder, replace(record, files=dict(record.files) | {"engine.onnx": digest}))


def test_without_an_error_the_precision_itself_is_where_most_is_lost(settings: Settings) -> None:
    steps = climb(settings, lambda _: None)
    assert list(steps) == [
        REFERENCE, "fp32", "fp16", "int8", "int8_fp16", "onnxruntime-fp16", "onnxruntime-int8",
    ]  # fmt: skip
    made_from = {name: step.rung.made_from for name, step in steps.items()}
    assert made_from == {
        REFERENCE: None,
        "fp32": REFERENCE,
        "fp16": "fp32",
        "int8": "fp32",
        "int8_fp16": "int8",
        "onnxruntime-fp16": "fp16",
        "onnxruntime-int8": "int8",
    }
    assert steps["int8_fp16"].address == steps["onnxruntime-int8"].address == "int8"
    assert steps["onnxruntime-fp16"].address == "fp16"
    assert steps["onnxruntime-int8"].rung.executor == "onnxruntime-unoptimized"
    assert steps["int8"].loss < 1e-2
    assert steps["onnxruntime-int8"].loss < 1e-9


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("export", "fp32"),
        ("convert@int8", "int8"),
        ("convert@int8_fp16", "int8_fp16"),
        ("build@onnxruntime-int8", "onnxruntime-int8"),
    ],
)
def test_a_planted_error_is_found_where_it_was_planted(
    place: str, address: str, settings: Settings
) -> None:
    def plant(stage: str) -> None:
        if stage != place:
            return
        step, _, name = stage.partition("@")
        if step == "build":
            spoil_plan(name)
        else:
            spoil(artifacts.convert(name) / "model.onnx")

    if place == "export":
        spoil(artifacts.EXPORT / "model.onnx")
    steps = climb(settings, plant)
    downstream = {name for name, step in steps.items() if address in {name, step.rung.made_from}}
    assert {steps[name].address for name in downstream} == {address}
    sound = [step for name, step in steps.items() if name not in {address, REFERENCE}]
    assert steps[address].loss > 3 * max(step.loss for step in sound if step.rung.name != "int8")
    figures = path_figures(list(steps.values()), (address,))
    assert [*figures][:: len(figures) - 1] == [REFERENCE, address]
    table = ladder_table(list(steps.values()))
    row = next(row for row in table.rows if row[0].text == address)
    assert row[-1].text == address
    assert row[4].text.endswith(" dB")


def test_scores_change_at_the_step_that_changed_them(settings: Settings) -> None:
    def plant(stage: str) -> None:
        if stage == "convert@fp16":
            path = artifacts.convert("fp16") / "model.onnx"
            proto = onnx.load(path)
            for tensor in proto.graph.initializer:
                values = numpy_helper.to_array(tensor)
                if values.dtype == np.float16:
                    tensor.CopyFrom(numpy_helper.from_array(-values, tensor.name))
            onnx.save(proto, path)

    steps = climb(settings, plant)
    change = {
        name: abs(step.rung.scores["top1_pct"] - step.scores_before.get("top1_pct", 0.0))
        for name, step in steps.items()
        if name != REFERENCE
    }
    assert change["fp16"] > 1
    assert all(value < 1e-3 for name, value in change.items() if name.endswith("-fp16"))
