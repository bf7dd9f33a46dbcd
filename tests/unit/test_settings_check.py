from pathlib import Path
from typing import Any

import pytest
import yaml

from trtproof.compose import compose
from trtproof.config import Params, decode
from trtproof.errors import ConfigError, MissingExtraError
from trtproof.settings_check import check_settings

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def composed() -> str:
    return compose(project=REPOSITORY)


def put(data: dict[str, Any], key: str, value: Any) -> None:
    """Set `a.b.c`; a value of ... deletes the key."""
    *path, last = key.split("/")
    for word in path:
        data = data[word]
    if value is ...:
        del data[last]
    else:
        data[last] = value


def check(text: str, **changes: Any) -> None:
    data = yaml.safe_load(text)
    for key, value in changes.items():
        put(data, key, value)
    check_settings(decode(Params, data, key=""))


def test_what_the_repository_configures_is_sound(composed):
    check(composed)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model/source", "keras", r"model\.source: there is no model source 'keras'; take one of"),
        ("model/factory", None, r"model\.factory: null; name the function"),
        (
            "sensitivity/recipes",
            ["int8_cpu"],
            r"sensitivity\.recipes: int8_cpu is no selected recipe of pass int8 or fp8",
        ),
        ("model/inputs", {}, r"model\.inputs: there are none"),
        ("model/outputs", [], r"model\.outputs: there are none"),
        ("model/inputs/input/shape", [], r"model\.inputs\.input\.shape: empty"),
        ("model/inputs/input/shape", ["batch", 0], r"model\.inputs\.input\.shape: extent 0"),
        ("model/inputs/input/shape", ["n", 1], r"axis 'n' is not in model\.axes"),
        ("model/axes/time", {"min": 1, "opt": 1, "max": 1}, r"model\.axes\.time: no input has"),
        ("model/axes/batch", {"min": 4, "opt": 2, "max": 8}, r"model\.axes\.batch: min 4, opt 2"),
        (
            "variants/tensorrt-fp16/build/options",
            {"turbo": True},
            r"variants\.tensorrt-fp16\.build\.options: object contains unknown field `turbo`",
        ),
        ("dataset/format", "csv", r"dataset\.format: there is no dataset format 'csv'"),
        (
            "dataset/evaluation",
            {"split": "calibration", "count": None},
            r"dataset\.calibration: the s",
        ),
        (
            "dataset/options",
            {"inputs": {"x": {}}},
            r"dataset\.options\.inputs: x \(the model takes in",
        ),
        ("recipes/fp32/pass", "fp7", r"recipes\.fp32\.pass: there is no precision pass 'fp7'"),
        (
            "recipes/fp16/calibration",
            "artifacts/convert/fp32",
            r"recipes\.fp16\.calibration: .*no rang",
        ),
        (
            "recipes/int8_cpu/calibration",
            "artifacts/export",
            r"int8_cpu\.calibration: .*needs ranges",
        ),
        (
            "recipes/fp16/source",
            "artifacts/convert/bf16",
            r"recipes\.fp16\.source: artifacts/convert/bf16",
        ),
        ("recipes/fp16/source", "data", r"recipes\.fp16\.source: data"),
        (
            "variants/torch-fp32/backend",
            "tvm",
            r"variants\.torch-fp32\.backend: there is no backend",
        ),
        (
            "variants/tensorrt-fp16/recipe",
            "bf16",
            r"tensorrt-fp16\.recipe: recipe 'bf16' is not sel",
        ),
        (
            "variants/tensorrt-fp16/source",
            "artifacts/export",
            r"tensorrt-fp16\.source: artifacts/exp",
        ),
        (
            "variants/torch-fp32/source",
            "artifacts/convert/fp32",
            r"torch-fp32\.source: artifacts/conv",
        ),
        (
            "variants/torch-fp32/build/profiles",
            [{}],
            r"build\.profiles\[0\]: it has axes none, the m",
        ),
        (
            "variants/torch-fp32/build/profiles",
            [{"batch": {"min": 3, "opt": 2, "max": 4}}],
            r"build\.profiles\[0\]\.batch: min 3",
        ),
        (
            "variants/torch-fp32/build/profiles",
            [{"batch": {"min": 1, "opt": 2, "max": 999}}],
            r"build\.profiles\[0\]\.batch: 1 to 999, beyond",
        ),
        ("reference", "onnxruntime-fp99", r"reference: there is no variant 'onnxruntime-fp99'"),
        ("reference", "tensorrt-fp16", r"reference: tensorrt-fp16 computes in fp16"),
        ("benchmark/batches", [1, 999], r"benchmark\.batches: 999 \(variant torch-fp32 takes"),
        ("benchmark/batches", [1, 1], r"benchmark\.batches: 1 is there twice"),
        ("evaluate/batch", 999, r"evaluate\.batch: 999"),
        ("evaluate/scorers", ["top1", "top1"], r"evaluate\.scorers: top1 is there twice"),
        ("evaluate/scorers", ["f2"], r"evaluate\.scorers: there is no scorer 'f2'"),
        ("calibrate/batch", 999, r"calibrate\.batch: 999"),
        ("target/require", ["tvm"], r"target\.require: there is no backend 'tvm'"),
        ("variants/a.b", {}, r"variants"),
    ],
)
def test_a_contradiction_is_named_with_its_key(composed, key, value, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check(composed, **{key: value})
    assert "trtproof compose" in str(caught.value)


def test_recipes_in_a_circle_are_refused(composed):
    changes = {}
    for one, other in (("fp32", "fp16"), ("fp16", "fp32")):
        changes[f"recipes/{one}/source"] = f"artifacts/convert/{other}"
        changes[f"recipes/{one}/calibration"] = f"artifacts/convert/{other}"
    with pytest.raises(ConfigError, match="a circle: fp32 <- fp16 <- fp32"):
        check(composed, **changes)


def test_a_recipe_may_start_from_another(composed):
    folder = "artifacts/convert/fp32"
    check(composed, **{"recipes/fp16/source": folder, "recipes/fp16/calibration": folder})


def test_a_users_scorer_is_taken_by_its_path(composed):
    check(composed, **{"evaluate/scorers": ["mine.metrics:F1"]})


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"score_drops": {"f1_pct": 1.0}},
            r"budget\.score_drops\.f1_pct: no scorer .* gives f1_pct .*top5_pct\)",
        ),
        ({"scores": {"top1": 90.0}}, r"budget\.scores\.top1: no scorer .* gives top1 "),
        (
            {"top1_drop_pp": 1.0, "score_drops": {"top1_pct": 1.0}},
            r"budget\.score_drops\.top1_pct: there is a limit in budget\.top1_drop_pp too",
        ),
        ({"score_drops": {"top1_pct": -1.0}}, r"budget\.score_drops.*expected `float` >= 0"),
        ({"plan_size": 3.0}, "plan_size"),
    ],
)
def test_a_budget_of_what_there_is_not_is_refused(composed, limits, message):
    with pytest.raises(ConfigError, match=message):
        check(composed, **{f"budget/{key}": value for key, value in limits.items()})


def test_a_budget_may_limit_what_scorers_give(composed):
    check(composed, **{"budget/score_drops": {"top5_pct": 1.0}, "budget/top1_drop_pp": 0.5})
    users = {"evaluate/scorers": ["top1", "mine.metrics:F1"], "budget/scores": {"f1_pct": 90.0}}
    check(composed, **users)


def test_the_example_budget_is_sound(composed):
    example = (REPOSITORY / "conf/budget/example.yaml").read_text(encoding="utf-8")
    budget = yaml.safe_load(example)
    assert set(budget) == set(yaml.safe_load(composed)["budget"])  # every key is explained
    check(composed, budget=budget)


def test_an_onnx_model_has_no_pytorch_variant(composed):
    model = {"model/source": "onnx", "model/factory": None, "model/weights": "model.onnx"}
    with pytest.raises(ConfigError, match=r"torch-fp32\.backend: .*has no PyTorch model"):
        check(composed, **model)
    check(composed, **model, **{"variants/torch-fp32": ..., "reference": "onnxruntime-fp32"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model/weights": "model.pt"}, r"model\.weights: 'model\.pt'; name the \.onnx file"),
        ({"model/weights": None}, r"model\.weights: None"),
        ({"model/factory": "a:b"}, r"model\.factory: an ONNX file needs none"),
    ],
)
def test_an_onnx_source_needs_its_file_and_nothing_else(composed, change, message):
    whole = {"model/source": "onnx", "model/factory": None, "model/weights": "model.onnx"}
    with pytest.raises(ConfigError, match=message):
        check(composed, **(whole | change))


def test_inputs_share_the_batch_axis(composed):
    other = {"dtype": "float32", "shape": [2, 3]}
    with pytest.raises(ConfigError, match=r"model\.inputs\.mask\.shape: axis 0 is 2"):
        check(composed, **{"model/inputs/mask": other})


def test_a_fixed_batch_allows_only_itself(composed):
    fixed: dict[str, Any] = {
        "model/inputs/input/shape": [4, 1, 16, 16],
        "model/axes": {},
        "benchmark/batches": [4],
        "benchmark/throughput/batches": [4],
        "evaluate/batch": 4,
        "calibrate/batch": 4,
    }
    for name in yaml.safe_load(composed)["variants"]:
        fixed[f"variants/{name}/build/profiles"] = [{}]
    check(composed, **fixed)
    with pytest.raises(ConfigError, match=r"benchmark\.batches: 1 .*4 to 4"):
        check(composed, **(fixed | {"benchmark/batches": [1]}))
    with pytest.raises(ConfigError, match=r"benchmark\.throughput\.batches: 1 .*4 to 4"):
        check(composed, **(fixed | {"benchmark/throughput/batches": [1]}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 7}, r"benchmark\.rounds: 7, but every second round mirrors"),
        ({"restart_every_rounds": 3}, r"benchmark\.restart_every_rounds: 3, but every second"),
        ({"most_rounds": 33}, r"benchmark\.most_rounds: 33, but every second"),
        ({"most_rounds": 6}, r"benchmark\.most_rounds: 6 is fewer than rounds, 8"),
        ({"most_rounds": 12}, r"benchmark\.most_rounds: .*restart_every_rounds is 0"),
        ({"throughput/streams": [2, 2]}, r"benchmark\.throughput\.streams: 2 is there twice"),
        ({"throughput/batches": [1, 1]}, r"benchmark\.throughput\.batches: 1 is there twice"),
        ({"device/rounds": 7}, r"benchmark\.device\.rounds: 7, but every second"),
        (
            {"figures/device_p50/wanted_halfwidth": 0.005},
            r"device_p50\.wanted_halfwidth: 0\.005, but only latency adds rounds",
        ),
        ({"figures/mean": {}}, r"'mean' .*benchmark\.figures"),
    ],
)
def test_a_benchmark_that_cannot_be_run_is_refused(composed, changes, message):
    with pytest.raises(ConfigError, match=message):
        check(composed, **{f"benchmark/{key}": value for key, value in changes.items()})


def test_rounds_may_be_added_where_workers_restart(composed):
    check(composed, **{"benchmark/most_rounds": 32, "benchmark/restart_every_rounds": 4})


def test_a_method_that_chooses_ranges_is_refused_where_a_file_gives_them(composed):
    recipe = {
        "pass": "int8",
        "source": "artifacts/export",
        "calibration": "artifacts/calibrate",
        "options": {"method": "mse"},
    }
    given = {"calibrate/from": "scales.json", "recipes/int8": recipe}
    with pytest.raises(ConfigError, match=r"recipes\.int8\.options\.method: mse chooses ranges"):
        check(composed, **given)
    check(composed, **given | {"recipes/int8": recipe | {"options": {"method": "max"}}})


def test_a_package_that_a_scorer_needs_is_asked_for_before_anything_runs(composed, monkeypatch):
    monkeypatch.setattr("trtproof.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"scorer wer needs jiwer.*trtproof\[speech\]"):
        check(composed, **{"evaluate/scorers": ["top1", "wer"]})
    own = {"evaluate/scorers": ["top1", "trtproof.scoring.coco:CocoMap"]}
    with pytest.raises(MissingExtraError, match=r"CocoMap needs pycocotools"):
        check(composed, **own)


def test_a_budget_may_limit_an_error_of_a_registered_scorer(composed):
    check(composed, **{"evaluate/scorers": ["top1", "wer"], "budget/scores": {"wer_pct": 8.0}})
