import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.pipeline.models import tiny_onnx
from torch import nn

from trtproof.errors import InputError, MissingFileError, ModelError
from trtproof.models.describe import describe, input_names, make_module
from trtproof.scaffold.from_factory import describe_factory, model_name
from trtproof.scaffold.from_onnx import describe_onnx
from trtproof.scaffold.place import find_place


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids=None, attention_mask=None, labels=None):
        weights = attention_mask.unsqueeze(-1).float()
        return {"logits": self.head((self.table(input_ids) * weights).mean(1)), "extra": None}


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.head = nn.Linear(2 * 28 * 28, 10)

    def forward(self, image):
        return self.head(self.conv(image).flatten(1)), image.sum()


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.numbers = nn.Linear(12, 4)
        self.kinds = nn.Embedding(10, 4)

    def forward(self, numbers, kind):
        return self.numbers(numbers) + self.kinds(kind)


class Stubborn(nn.Module):
    def forward(self, anything):
        raise RuntimeError


def test_tokens_with_a_mask_are_found_by_name():
    found = describe(Tokens())
    assert found["ran"]
    assert list(found["inputs"]) == ["input_ids", "attention_mask"]
    ids, mask = found["inputs"].values()
    assert (ids["dtype"], ids["shape"], ids["high"]) == ("int64", ["batch", "sequence"], 50)
    assert (mask["low"], mask["high"]) == (1, 2)
    assert found["outputs"] == {"logits": ["batch", 3]}
    assert set(found["axes"]) == {"batch", "sequence"}


def test_the_only_size_that_a_network_takes_is_found():
    found = describe(Flat())
    assert found["inputs"]["image"]["shape"] == ["batch", 1, 28, 28]
    assert found["outputs"] == {"output_0": ["batch", 10], "output_1": []}


def test_two_inputs_of_different_kinds_are_found():
    found = describe(Table())
    assert found["inputs"]["numbers"]["shape"] == ["batch", 12]
    assert (found["inputs"]["kind"]["dtype"], found["inputs"]["kind"]["shape"]) == (
        "int64",
        ["batch"],
    )


def test_a_model_that_answers_nothing_leaves_a_guess():
    found = describe(Stubborn())
    assert not found["ran"]
    assert list(found["inputs"]) == ["anything"]


def test_a_forward_without_inputs_is_refused():
    class Silent(nn.Module):
        def forward(self, *, key=None):
            return torch.zeros(1)

    with pytest.raises(ModelError, match=r"Silent\.forward takes no tensor"):
        input_names(Silent())


NET = """\
from pathlib import Path
from torch import nn

WIDTH = 8

def make():
    print("loading")
    Path(__file__).with_name("width.txt").read_text()
    return nn.Sequential(nn.Linear(3, 2))

def picky(width):
    return nn.Linear(width, 2)

def number():
    return 3

def broken():
    import not_there
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/net.py").write_text(NET)
    (tmp_path / "nets/width.txt").write_text("8")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    return find_place(tmp_path / "project")


def test_a_factory_is_called_in_a_process_and_what_it_reads_is_noted(place):
    found = describe_factory("nets.net:make", place)
    assert found.name == "nets_net"
    assert found.inputs["input"].shape == ("batch", 3)
    assert found.files == ["../nets/width.txt"]


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        ("detector.net:make_model", "detector_net"),
        ("detector.net:Small", "detector_net_small"),
        ("net:get", "net"),
    ],
)
def test_a_model_is_named_by_its_module(factory, name):
    assert model_name(factory) == name


def test_what_is_wrong_with_a_factory_is_one_line_of_its_name(place):
    with pytest.raises(InputError, match=r"^nets\.net:broken .*not_there") as caught:
        describe_factory("nets.net:broken", place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("factory", "line"),
    [
        ("picky", "needs arguments .*width"),
        ("number", "returned int"),
        ("WIDTH", "of type int, not a function"),
    ],
)
def test_what_makes_no_module_is_refused(place, monkeypatch, factory, line):
    monkeypatch.syspath_prepend(place.repository)
    monkeypatch.delitem(sys.modules, "nets.net", raising=False)
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    with pytest.raises(ModelError, match=line):
        make_module(f"nets.net:{factory}")


def save(path: Path, nodes, inputs, outputs, weights=()) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def value(name: str, dtype: int, shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def test_an_onnx_file_says_what_it_takes(tmp_path):
    tiny_onnx(tmp_path / "Tiny-1.onnx")
    found = describe_onnx(tmp_path / "Tiny-1.onnx")
    assert found.name == "tiny_1"
    assert found.inputs["input"].shape == ["batch", 1, 8, 8]
    assert found.outputs == {"logits": ("batch", 6)}
    assert found.axes == {"batch": (1, 8, 16)}
    assert found.ran


def test_open_extents_are_tried_until_the_model_runs(tmp_path, capfd):
    kernel = numpy_helper.from_array(np.ones((4, 3, 32, 32), np.float32), "w")
    path = save(
        tmp_path / "net.onnx",
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[32, 32])],
        [value("x", TensorProto.FLOAT, [2, 3, "h", "image width"])],
        [value("y", TensorProto.FLOAT, [2, 4, None, None])],
        [kernel],
    )
    found = describe_onnx(path)
    assert found.fixed_batch == 2
    assert found.inputs["x"].shape == [2, 3, "h", "image_width"]
    assert found.axes == {"h": (128, 224, 256), "image_width": (128, 224, 256)}
    assert capfd.readouterr().err == ""


def test_token_inputs_take_the_tables_range(tmp_path):
    table = numpy_helper.from_array(np.ones((100, 8), np.float32), "w")
    path = save(
        tmp_path / "net.onnx",
        [helper.make_node("Gather", ["w", "input.ids"], ["y"])],
        [value("input.ids", TensorProto.INT64, [None, "seq len"])],
        [value("y", TensorProto.FLOAT, [None, "seq len", 8])],
        [table],
    )
    found = describe_onnx(path)
    (ids,) = found.inputs.values()
    assert (ids.shape, ids.low, ids.high) == (["batch", "seq_len"], 0, 100)
    assert found.axes["seq_len"] == (8, 64, 128)


def test_an_onnx_file_that_no_variant_takes_is_refused(tmp_path):
    path = save(
        tmp_path / "net.onnx",
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        [value("x", TensorProto.DOUBLE, ["n", 2])],
        [value("y", TensorProto.FLOAT, ["n", 2])],
    )
    with pytest.raises(ModelError, match="'x' is float64"):
        describe_onnx(path)
    with pytest.raises(MissingFileError):
        describe_onnx(tmp_path / "missing.onnx")
