"""The product's own build of TensorRT plans, by TensorRT's real parser, type checker and builder.

Runs where TRTPROOF_TRT_CHECK names the developers' checker and TRTPROOF_TRT_CHECK_PYTHON (by
default this interpreter) has the two packages that it needs besides numpy. The builder there is
TensorRT-RTX's: acceptance says nothing of TensorRT's kernels or speed, and nothing can be loaded.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from onnx import TensorProto, helper
from tests import tensorrt_builds as builds
from tests.fake_tensorrt.host import Host
from tests.pipeline.project import REPOSITORY, Project, make_project

from trtproof.backends.base import BuildSpec, CompileRecord
from trtproof.backends.tensorrt import BACKEND
from trtproof.backends.tensorrt import order as orders
from trtproof.backends.tensorrt.build import Work, run_process
from trtproof.backends.tensorrt.options import read_options
from trtproof.backends.tensorrt.order import Answer, BuildOrder, read_answer
from trtproof.errors import BuildFailedError
from trtproof.models.base import ModelFiles, load_files

CHECKER = os.environ.get("TRTPROOF_TRT_CHECK")
PYTHON = os.environ.get("TRTPROOF_TRT_CHECK_PYTHON", sys.executable)
RECIPES = ("fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8", "fp8_fp16")
MODELS = {
    "digits_resnet": {"batch": (1, 8, 16)},
    "resnet50": {"batch": (1, 2, 4)},
    "vit_small": {"batch": (1, 2, 4)},
    "bert_mini": {"batch": (1, 2, 4), "sequence": (8, 16, 32)},
}
FACTS = Host().facts()
Ranges = list[dict[str, tuple[int, int, int]]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKER, reason="TRTPROOF_TRT_CHECK names no checker"),
]


@pytest.fixture(autouse=True)
def checker(monkeypatch: pytest.MonkeyPatch) -> None:
    builds.use_checker(monkeypatch, PYTHON)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that exports and calibrates a model once and converts it on demand."""
    made: dict[str, Project] = {}

    def convert(model: str, recipe: str) -> ModelFiles:
        if model not in made:
            made[model] = export(tmp_path_factory.mktemp("compile") / model, model)
        folder = made[model].root / "artifacts/convert"
        for step in (recipe.removesuffix("_fp16"), recipe):  # int8_fp16 starts from int8
            if not (folder / step).exists():
                made[model].must("python", "stages/convert.py", step)
        return load_files(folder / recipe)

    return convert


def export(root: Path, model: str) -> Project:
    """Return a project of a shipped model, exported and calibrated on two random samples."""
    text = (REPOSITORY / "conf/config.yaml").read_text(encoding="utf-8")
    text = text.replace(
        "recipe: [fp32, fp16, int8_cpu]", f"recipe: [{', '.join(RECIPES)}, int8_cpu]"
    )
    text = text.replace("model: digits_resnet", f"model: {model}")
    text = text.replace("dataset: digits", "dataset: synthetic")
    project = make_project(root, {"conf/config.yaml": text})
    project.edit("conf/dataset/synthetic.yaml", "count: 32", "count: 2")
    (project.root / "src").mkdir()
    (project.root / "src/trtproof").symlink_to(REPOSITORY / "src/trtproof")
    project.compose()
    for stage in ("gate", "probe", "export", "calibrate"):
        project.must("python", f"stages/{stage}.py")
    return project


def compile_plan(
    model: ModelFiles, folder: Path, precision: str, ranges: Ranges, **options: Any
) -> CompileRecord:
    folder.mkdir(parents=True)
    spec = BuildSpec(
        precision=precision,
        tf32=False,
        workspace_mib=1024,
        profiles=ranges,
        options={"timing_cache": False} | options,
        facts=FACTS,
        model_config={},
    )
    return BACKEND.compile(model, spec, folder)


def size_mib(folder: Path) -> float:
    return (folder / "engine.plan").stat().st_size / 2**20


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_default_model_builds_in_every_precision_static_and_dynamic(
    projects: Any, tmp_path: Path, recipe: str
) -> None:
    model = projects("digits_resnet", recipe)
    dynamic = compile_plan(model, tmp_path / "dynamic", recipe, [MODELS["digits_resnet"]])
    assert dynamic.facts["effective"]["profiles"] == 1
    two = [{"batch": (1, 1, 1)}, {"batch": (2, 8, 16)}]
    assert compile_plan(model, tmp_path / "two", recipe, two).facts["effective"]["profiles"] == 2
    fixed = builds.make_static(model, tmp_path / "model", {"batch": 4})
    assert compile_plan(fixed, tmp_path / "static", recipe, []).facts["effective"]["profiles"] == 0


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        *(("resnet50", recipe) for recipe in ("fp32", "fp16", "bf16", "int8", "fp8_fp16")),
        *(("vit_small", recipe) for recipe in ("fp16", "bf16", "int8_fp16", "fp8")),
        *(("bert_mini", recipe) for recipe in RECIPES),
    ],
)
def test_a_shipped_model_builds_and_is_as_large_as_its_precision(
    projects: Any, tmp_path: Path, name: str, recipe: str
) -> None:
    model = projects(name, recipe)
    record = compile_plan(model, tmp_path / "dynamic", recipe, [MODELS[name]])
    assert record.facts["effective"]["tf32"] is False
    if name == "resnet50":
        largest = {"fp32": 110, "fp16": 56, "bf16": 56, "int8": 34, "fp8_fp16": 34}
        assert size_mib(tmp_path / "dynamic") < largest[recipe]
    if name == "bert_mini" and recipe in {"bf16", "int8_fp16"}:
        extents = {"batch": 2, "sequence": 16}
        fixed = builds.make_static(model, tmp_path / "model", extents)
        compile_plan(fixed, tmp_path / "static", recipe, [])


def test_building_again_gives_the_same_bytes(projects: Any, tmp_path: Path) -> None:
    """The compiler of TensorRT-RTX numbers its temporaries differently in some runs: masked."""
    for recipe in ("fp16", "int8"):
        model = projects("digits_resnet", recipe)
        plans = []
        for number in range(2):
            folder = tmp_path / recipe / str(number)
            compile_plan(model, folder, recipe, [MODELS["digits_resnet"]])
            plans.append(re.sub(rb"__mye\d+", b"", (folder / "engine.plan").read_bytes()))
        assert plans[0] == plans[1]


def test_tf32_reaches_the_builder(projects: Any, tmp_path: Path) -> None:
    model = projects("digits_resnet", "fp32")
    plans = []
    for tf32 in (False, True):
        folder = tmp_path / str(tf32)
        folder.mkdir()
        spec = BuildSpec(
            precision="fp32", tf32=tf32, workspace_mib=1024, profiles=[MODELS["digits_resnet"]],
            options={"timing_cache": False}, facts=FACTS, model_config={},
        )  # fmt: skip
        assert BACKEND.compile(model, spec, folder).facts["effective"]["tf32"] is tf32
        plans.append((folder / "engine.plan").read_bytes())
    assert plans[0] != plans[1]


def test_the_cpus_own_int8_is_refused_by_us_and_by_the_parser(
    projects: Any, tmp_path: Path
) -> None:
    model = projects("digits_resnet", "int8_cpu")
    with pytest.raises(BuildFailedError, match="quantises symmetrically"):
        compile_plan(model, tmp_path / "out", "int8", [MODELS["digits_resnet"]])
    answer = send(order_of(model.onnx, [shapes_of(16)]), tmp_path / "order")
    assert (answer.outcome, answer.code) == ("failed", "model_refused")


def shapes_of(side: int, *, low: int = 1, high: int = 16) -> dict[str, list[list[int]]]:
    return {"input": [[extent, 1, side, side] for extent in (low, 8, high)]}


def order_of(model: Path, profiles: list[Any] | None = None, **options: Any) -> BuildOrder:
    """Return an order as if our own checks had found nothing."""
    given = msgspec.to_builtins(read_options({"timing_cache": False}))
    workspace_mib = options.pop("workspace_mib", 1024)
    return BuildOrder(
        title="test", model=str(model), tf32=False, workspace_mib=workspace_mib,
        profiles=[shapes_of(6)] if profiles is None else profiles, options=given | options,
    )  # fmt: skip


def send(order: BuildOrder, folder: Path) -> Answer:
    """Let the real build process carry out an order."""
    folder.mkdir(parents=True, exist_ok=True)
    order.write(folder)
    spec = BuildSpec(
        precision="fp32", tf32=False, workspace_mib=1, profiles=[], options={}, facts={},
        model_config={},
    )  # fmt: skip
    run_process(Work(spec=spec, options=read_options({}), folder=folder, out=folder))
    answer = read_answer(folder)
    assert answer is not None
    assert (folder / orders.LOG_FILE).exists()
    return answer


def remove_data(build: builds.Build) -> None:
    (build.model.folder / "model.onnx.data").unlink()


def cut_data(build: builds.Build) -> None:
    data = build.model.folder / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:40])


def edited(edit: Any) -> Any:
    return lambda build: build.change(edit)


def use_unknown_operator(proto: Any) -> None:
    proto.graph.node[1].op_type = "NoSuchOperator"


def drop_outputs(proto: Any) -> None:
    del proto.graph.output[:]


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda b: b.model.onnx.write_bytes(b"garbage" * 9), "model_refused", "DESERIALIZE_FAILED"),
        (lambda b: b.model.onnx.write_bytes(b""), "empty_network", "has no layers"),
        (lambda b: b.model.onnx.unlink(), "model_refused", "cannot be found"),
        (remove_data, "model_refused", r"(?i)INVALID_GRAPH.*(open|data)"),
        (cut_data, "model_refused", "INVALID_GRAPH"),
        (edited(use_unknown_operator), "model_refused", r"'stem/Relu' \(NoSuchOperator\)"),
        (edited(builds.use_foreign_operators), "model_refused", r"stem/Relu"),
        (edited(builds.make_half_weight), "model_refused", r"block/Conv.*type"),
        (edited(builds.shift_zero_point), "model_refused", "(?i)zero point"),
        (edited(builds.quantise_bias), "model_refused", "d_bias.*Int32"),
        (edited(drop_outputs), "empty_network", "no outputs"),
    ],
)
def test_what_the_parser_refuses_is_named(
    tmp_path: Path, spoil: Any, code: str, words: str
) -> None:
    build = builds.make_build(tmp_path, external=spoil in {remove_data, cut_data})
    spoil(build)
    answer = send(order_of(build.model.onnx), tmp_path / "order")
    assert (answer.outcome, answer.code) == ("failed", code), answer
    assert answer.repair
    assert re.search(words, answer.text), answer.text


@pytest.mark.parametrize(
    ("profiles", "changes", "code"),
    [
        ([], {}, "profile_missing"),
        ([{"other": [[1, 1, 6, 6]] * 3}], {}, "profile_missing"),
        ([shapes_of(6, low=9)], {}, "profile_mismatch"),
        ([{"input": [[1, 6, 6]] * 3}], {}, "profile_mismatch"),
        ([shapes_of(7)], {}, "profile_mismatch"),
        (None, {"workspace_mib": 0}, "workspace_too_small"),
        (None, {"version_compatible": True}, "no_lean_runtime"),
        (None, {"hardware_compatibility": "AMPERE_PLUS"}, "not_in_effect"),
    ],
)
def test_what_the_builder_refuses_has_its_code(
    tmp_path: Path, profiles: Any, changes: dict[str, Any], code: str
) -> None:
    build = builds.make_build(tmp_path)
    answer = send(order_of(build.model.onnx, profiles, **changes), tmp_path / "order")
    assert (answer.outcome, answer.code) == ("failed", code), answer


def test_a_profile_for_an_input_that_does_not_exist_is_taken_in_silence(tmp_path: Path) -> None:
    build = builds.make_build(tmp_path)
    profile = shapes_of(6) | {"nobody": [[1, 2]] * 3}
    assert send(order_of(build.model.onnx, [profile]), tmp_path / "order").outcome == "built"


def test_a_version_compatible_plan_without_its_runtime_is_built(tmp_path: Path) -> None:
    build = builds.make_build(tmp_path)
    record = build.run(version_compatible=True, embed_lean_runtime=False)
    assert record.facts["may_differ"]["bindings"] == "later"


def test_a_model_with_its_weights_in_another_file_is_built(tmp_path: Path) -> None:
    build = builds.make_build(tmp_path, external=True)
    assert build.run().facts["network_layers"] > 0


def test_an_input_in_double_is_taken_in_silence_and_so_refused_by_us(tmp_path: Path) -> None:
    build = builds.make_build(tmp_path)
    build.change(builds.make_double_input)
    assert send(order_of(build.model.onnx), tmp_path / "order").outcome == "built"
    with pytest.raises(BuildFailedError, match="input 'input' is DOUBLE"):
        build.run()


def test_a_plug_in_operator_that_is_not_there_is_named(tmp_path: Path) -> None:
    def use_plug_in(proto: Any) -> None:
        proto.graph.node.append(
            helper.make_node("MyOwnNms", ["logits"], ["kept"], name="nms", domain="mine")
        )
        proto.opset_import.append(helper.make_opsetid("mine", 1))
        proto.graph.output.append(
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, ["batch", 5])
        )

    build = builds.make_build(tmp_path)
    build.change(use_plug_in)
    with pytest.raises(BuildFailedError, match=r"'nms' \(MyOwnNms\).*Plugin not found") as caught:
        build.run()
    assert caught.value.code == "model_refused"
    assert caught.value.log
