"""TensorRT's own parser and builder take every file that export and convert write.

Runs where TRTPROOF_TRT_CHECK names the checker's script and TRTPROOF_TRT_CHECK_PYTHON (by default
this interpreter) has the two packages that it needs. Acceptance says nothing about fusion or speed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.hard_graphs import HARD
from tests.onnx_graphs import EXAMPLES, dataset
from tests.pipeline.typed import RECIPES, make_typed_digits
from tests.quantisation_graphs import ODD
from tests.shipped_models import SOURCES_OF, convert_all, fix_batch, load_model, profiles_of

from trtproof.data_pass import collect
from trtproof.models.normalise import normalise
from trtproof.precision import PASSES

CHECKER = os.environ.get("TRTPROOF_TRT_CHECK")
PYTHON = os.environ.get("TRTPROOF_TRT_CHECK_PYTHON", sys.executable)
ACCEPTS = Path(__file__).with_name("trt_accepts.py")
DIGITS_PROFILE = "input=1x1x16x16:8x1x16x16:16x1x16x16"
GRAPHS = {**EXAMPLES, **ODD, **HARD}
Wanted = Sequence[tuple[Path, Sequence[str]]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKER, reason="TRTPROOF_TRT_CHECK names no checker"),
]


def refused(wanted: Wanted, folder: Path) -> dict[str, str]:
    """Return file -> complaint of those that the parser or the builder does not take."""
    files, answers = folder / "wanted.json", folder / "answers.json"
    listed = [[str(path), list(profiles)] for path, profiles in wanted]
    files.write_text(json.dumps(listed), encoding="utf-8")
    done = subprocess.run(
        [PYTHON, str(CHECKER), "run", str(ACCEPTS), str(files), str(answers)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(answers.read_text(encoding="utf-8"))
    assert len(found) == len(wanted) > 0
    return {
        f"{path.parent.name}/{path.name}": complaint
        for (path, _), (accepted, complaint) in zip(wanted, found, strict=True)
        if not accepted
    }


def test_the_embedded_model_is_accepted_in_every_recipe_and_the_cpus_own_int8_is_not(
    tmp_path: Path,
) -> None:
    project = make_typed_digits(tmp_path / "project")
    names = (*RECIPES, "int8_mse", "int8_cpu")
    paths = [project.root / "artifacts/convert" / name / "model.onnx" for name in names]
    assert list(refused([(path, [DIGITS_PROFILE]) for path in paths], tmp_path)) == [
        "int8_cpu/model.onnx"
    ]


@pytest.mark.parametrize("name", ["bert_mini", "vit_small", "resnet50"])
def test_a_shipped_model_is_accepted_in_every_recipe_static_and_dynamic(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    files = convert_all(name, tmp_path)
    config = load_model(name)
    if importlib.util.find_spec("modelopt") is not None:
        more = convert_all(name, tmp_path / "modelopt", quantizer="modelopt")
        files |= {f"modelopt_{recipe}": path for recipe, path in more.items() if "8" in recipe}
    converted = time.monotonic()
    fixed = {axis: extent.opt for axis, extent in config.axes.items()}
    dynamic = profiles_of(config)
    static = [fix_batch(path, path.with_name("fixed.onnx"), axes=fixed) for path in files.values()]
    wanted = [*((path, dynamic) for path in files.values()), *((path, []) for path in static)]
    assert refused(wanted, tmp_path) == {}
    with capsys.disabled():
        sys.stdout.write(
            f"\n{name}: {converted - started:.0f} s to convert, "
            f"{time.monotonic() - converted:.0f} s for {len(wanted)} files in TensorRT\n"
        )


def make_profile(name: str, shape: Sequence[int]) -> str:
    """Return the profile of an input whose first axis is dynamic."""
    shapes = ("x".join(map(str, (size, *shape[1:]))) for size in (1, 4, 8))
    return f"{name}={':'.join(shapes)}"


def test_graphs_of_every_kind_are_accepted_in_every_recipe(tmp_path: Path) -> None:
    wanted = []
    for kind, make in GRAPHS.items():
        example = make()
        normalise(example.proto)
        source = example.write(tmp_path / kind)
        calibration = collect(source, dataset(example.feeds), batch=4, threads=1)
        profiles = [make_profile(name, values.shape) for name, values in example.feeds.items()]
        files: dict[str, Path] = {}
        for recipe in RECIPES:
            out = tmp_path / kind / f"{kind}-{recipe}" / "model.onnx"
            out.parent.mkdir()
            given = files[SOURCES_OF[recipe]] if recipe in SOURCES_OF else source
            PASSES.load(recipe)(given, out, calibration, {})
            files[recipe] = out
            wanted.append((out, profiles))
    assert refused(wanted, tmp_path) == {}
