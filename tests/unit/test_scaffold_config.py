from typing import Any

import pytest
import yaml

from trtproof.errors import InputError
from trtproof.scaffold.adapter_text import adapter_files, model_yaml, quote
from trtproof.scaffold.config_text import choose, make_config
from trtproof.scaffold.described import Described, Input, to_identifier
from trtproof.scaffold.shipped import CONFIG, shipped_files

SHIPPED = shipped_files()[CONFIG].decode()


def described(**changes: Any) -> Described:
    fields: dict[str, Any] = {
        "name": "net",
        "inputs": {"x": Input("float32", ("batch", 3))},
        "outputs": {"y": ("batch", 10)},
        "axes": {"batch": (1, 8, 16)},
        "ran": True,
    }
    return Described(**(fields | changes))


def config(model: Described, *, is_onnx: bool = False) -> dict[str, Any]:
    text = make_config(SHIPPED, model, is_onnx=is_onnx, pythonpath=[".", "../src"], scorer="a:B")
    return yaml.safe_load(text)


def selected(data: dict[str, Any], group: str):
    chosen = [item for item in data["defaults"] if isinstance(item, dict)]
    return next(item[group] for item in chosen if group in item)


def make_samples(files: dict[str, str]):
    scope: dict[str, Any] = {}
    exec(files["net_adapter/samples.py"], scope)  # noqa: S102 - the code that init writes
    return scope["make_samples"]


def test_the_shipped_settings_get_the_projects_choices():
    data, before = config(described()), yaml.safe_load(SHIPPED)
    assert (selected(data, "model"), selected(data, "dataset")) == ("net", "net")
    assert data["pythonpath"] == [".", "../src"]
    assert data["evaluate"]["scorers"] == ["a:B"]
    assert data["reference"] == before["reference"]
    assert data["calibrate"] == before["calibrate"]
    assert selected(data, "variant") == selected(before, "variant")


def test_comments_stay():
    assert choose("a:\n  b: 1 # why\n", {"a/b": "2"}) == "a:\n  b: 2 # why\n"


def test_a_key_is_looked_for_in_its_own_section():
    text = "a:\n  b: 1\n\n  c: 1\nd:\n  b: 1\n"
    assert choose(text, {"d/b": "2"}) == "a:\n  b: 1\n\n  c: 1\nd:\n  b: 2\n"
    with pytest.raises(InputError, match=r"no d\.c"):
        choose(text, {"d/c": "2"})


def test_an_onnx_file_has_no_pytorch_variant():
    data = config(described(), is_onnx=True)
    assert data["reference"] == "onnxruntime-fp32"
    assert selected(data, "variant")
    assert not [name for name in selected(data, "variant") if name.startswith("torch")]


def test_a_fixed_batch_is_the_only_one_that_runs():
    data = config(described(inputs={"x": Input("float32", (4, 3))}, axes={}))
    assert data["calibrate"]["batch"] == data["evaluate"]["batch"] == 4
    assert data["benchmark"] == {"batches": [4], "throughput": {"batches": [4]}}


@pytest.mark.parametrize("name", ["y", "no", "input.1", "a b", "x:0", "1", "été", 'a"b'])
def test_any_name_survives_the_settings_and_the_adapter(name):
    model = described(
        inputs={name: Input("int64", ("batch", 2), 0, 9)}, outputs={name: ("batch", 5)}
    )
    data = yaml.safe_load(model_yaml(model, origin="x", factory=None, weights="a b.onnx"))
    assert data["inputs"] == {name: {"dtype": "int64", "shape": ["batch", 2], "low": 0, "high": 9}}
    assert data["outputs"] == [name]
    assert data["weights"] == "a b.onnx"
    files = adapter_files(model, None, is_onnx=True)
    (arrays, label), _ = make_samples(files)("calibration", 2)
    assert arrays[name].shape == (2,)
    assert str(arrays[name].dtype) == "int64"
    assert label is None
    compile(files["net_adapter/scorer.py"], "scorer.py", "exec")


def test_the_splits_differ_and_repeat():
    make = make_samples(adapter_files(described(), "a.b:c", is_onnx=False))
    first, again = (make("calibration", 1)[0][0]["x"] for _ in range(2))
    other = make("evaluation", 1)[0][0]["x"]
    assert (first == again).all()
    assert (first != other).any()


def test_the_scorer_fits_the_first_output():
    ranks = adapter_files(described(), None, is_onnx=True)["net_adapter/scorer.py"]
    assert "top1_pct" in ranks
    dense = described(outputs={"map": ("batch", 5, 8, 8)})
    assert "mean_error" in adapter_files(dense, None, is_onnx=True)["net_adapter/scorer.py"]


def test_a_guess_says_so():
    text = model_yaml(described(ran=False), origin="x", factory="a:b", weights=None)
    assert "A GUESS" in text
    assert "A GUESS" not in model_yaml(described(), origin="x", factory="a:b", weights=None)


@pytest.mark.parametrize(
    ("text", "name"), [("My-Net v2", "my_net_v2"), ("640", "model_640"), ("---", "model")]
)
def test_names_are_fit_for_files_and_settings(text, name):
    assert to_identifier(text) == name


def test_plain_texts_are_not_quoted():
    assert quote("images/a-b.txt") == "images/a-b.txt"
