"""Modules that return their outputs in any form, and modules whose outputs cannot be had."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from trtproof.config import AxisConfig, ExportConfig, InputConfig, ModelConfig, ParityConfig
from trtproof.errors import AdapterError
from trtproof.models import SOURCES
from trtproof.models.base import input_specs
from trtproof.models.export import export_module
from trtproof.models.reference import make_function

ME = __name__


class Pair(NamedTuple):
    scores: torch.Tensor
    boxes: torch.Tensor


@dataclasses.dataclass
class Found:
    scores: torch.Tensor
    boxes: torch.Tensor
    loss: None = None


class Heads(nn.Module):
    """Two outputs, returned as `form` says."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.boxes = nn.Linear(3, 4)
        self.scores = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> Any:
        scores, boxes = self.scores(x), self.boxes(x)
        return {
            "dict": {"loss": None, "boxes": boxes, "scores": scores},
            "tuple": (scores, boxes),
            "list": [scores, boxes],
            "named": Pair(scores, boxes),
            "dataclass": Found(scores, boxes),
            "nested": (scores, (boxes, boxes)),
            "nested_dict": {"scores": scores, "boxes": {"a": boxes, "b": boxes}},
            "none": (scores, None),
            "short": {"scores": scores},
            "three": (scores, boxes, boxes),
            "single": scores,
            "text": "boxes",
        }[self.form]


def make(form: str) -> nn.Module:
    return Heads(form)


def config_of(form: str, outputs: list[str] | None = None) -> ModelConfig:
    return ModelConfig(
        name="heads",
        source="module",
        factory=f"{ME}:make",
        weights=None,
        options={"form": form},
        files=[],
        inputs={"x": InputConfig(dtype="float32", shape=["batch", 3])},
        outputs=outputs or ["scores", "boxes"],
        axes={"batch": AxisConfig(min=1, opt=2, max=4)},
    )


def run(config: ModelConfig) -> Any:
    module = SOURCES.load("module").make_module(config)
    assert module is not None
    function = make_function(module, input_specs(config), config.outputs, owner=config.factory)
    return module, function(FEEDS)


FEEDS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
FORMS = ["dict", "tuple", "list", "named", "dataclass"]


@pytest.mark.parametrize("form", FORMS)
def test_outputs_come_in_confs_order_whatever_form_they_are_returned_in(form: str) -> None:
    _, found = run(config_of(form))
    _, expected = run(config_of("tuple"))
    assert list(found) == ["scores", "boxes"]
    assert [array.shape for array in found.values()] == [(2, 2), (2, 4)]
    assert all(np.array_equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("form", ["dict", "dataclass", "named"])
def test_fields_are_taken_by_name_and_others_are_left_out(form: str) -> None:
    _, found = run(config_of(form, ["boxes"]))
    assert found["boxes"].shape == (2, 4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
def test_every_form_exports_to_the_same_outputs(form: str, exporter: Any) -> None:
    config = config_of(form)
    module, _ = run(config)
    limits = ParityConfig(max_relative_error=1e-4, min_cosine=0.999)
    settings = ExportConfig(exporter=exporter, opset=20, parity=limits)
    model = export_module(module, config, settings, FEEDS)
    shapes = [[dim.dim_value for dim in o.type.tensor_type.shape.dim] for o in model.graph.output]
    assert [output.name for output in model.graph.output] == ["scores", "boxes"]
    assert [shape[1] for shape in shapes] == [2, 4]


def test_weights_keep_their_names_and_a_copy_returns_the_same() -> None:
    module, _ = run(config_of("dict"))
    assert list(module.state_dict()) == list(Heads("dict").state_dict())
    assert type(module).__name__ == "Heads"
    twin = copy.deepcopy(module)
    with torch.no_grad():
        twin.scores.weight.add_(1)
        first, second = module(torch.ones(1, 3))[0], twin(torch.ones(1, 3))[0]
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("nested", r"output 1 \('boxes'\) is a tuple of 2; return a tensor, a flat tuple"),
        ("nested_dict", r"output 1 \('boxes'\) is a dict of 2"),
        ("none", r"output 1 \('boxes'\) is None"),
        ("short", r"the model returns no 'boxes' \(it returns: scores\); correct `model.outputs`"),
        ("three", "the model returns 3 outputs, `model.outputs` names 2"),
        ("single", "the model returns 1 outputs, `model.outputs` names 2"),
        ("text", "the model returns a value of type str"),
    ],
)
def test_what_is_no_flat_output_is_one_line_that_names_the_factory(form: str, problem: str) -> None:
    with pytest.raises(AdapterError, match=f"^{ME}:make: {problem}"):
        run(config_of(form))


def test_a_shape_that_the_model_refuses_is_one_line_with_the_shape() -> None:
    config = config_of("tuple")
    module = SOURCES.load("module").make_module(config)
    assert module is not None
    function = make_function(module, input_specs(config), config.outputs, owner=config.factory)
    told = rf"^{ME}:make: failed on x \[2, 5\] with RuntimeError: mat1 and mat2 .*; correct it$"
    with pytest.raises(AdapterError, match=told):
        function({"x": np.zeros((2, 5), np.float32)})
