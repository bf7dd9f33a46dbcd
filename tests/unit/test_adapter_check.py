"""`trtproof try`: what it shows of an adapter, and one line for each thing that can be wrong."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from trtproof.adapter_check import try_adapter
from trtproof.config import Params, decode
from trtproof.errors import PipelineError
from trtproof.registry import load_object
from trtproof.scoring.segmentation import MeanIou, encode_map

ME = __name__
REPOSITORY = Path(__file__).parents[2]
CALLS = itertools.count()
POINTS = {"dtype": "float32", "shape": ["batch", "length", 2]}


class Net(nn.Module):
    """Half-precision and uint8 inputs of two axes, and a limit like that of position embeddings."""

    def __init__(self, limit: int = 64, fault: str = "") -> None:
        super().__init__()
        self.limit = limit
        self.fault = fault
        self.fc = nn.Linear(2, 3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> Any:
        if x.shape[1] > self.limit:
            raise IndexError(self.limit)
        scores = self.fc(x.float() * mask.unsqueeze(-1)).sum(dim=1)
        if self.fault == "nan":
            scores = scores / 0 * 0
        if self.fault == "one_row":
            scores = scores.sum(dim=0)
        return {"scores": scores}


def samples(split: str) -> list[Any]:
    lengths = [3, 5, 4, 4] if split == "evaluation" else [4] * 4
    return [(inputs_of(length), f"text {length}") for length in lengths]


def inputs_of(length: int) -> dict[str, Any]:
    x = np.arange(2 * length, dtype=np.float16).reshape(length, 2)
    return {"x": x, "mask": np.ones(length, np.uint8)}


def unlabelled(split: str) -> list[Any]:
    return [inputs for inputs, _ in samples(split)]


def too_long(split: str) -> list[Any]:
    return [(inputs_of(9), "")] * 2


def in_double(split: str) -> list[Any]:
    return [({**inputs_of(4), "x": np.zeros((4, 2))}, "")] * 2


def too_wide(split: str) -> list[Any]:
    return [({**inputs_of(4), "x": np.zeros((4, 3), np.float16)}, "")] * 2


def without_mask(split: str) -> list[Any]:
    return [({"x": inputs_of(4)["x"]}, "")] * 2


def drawn_when_made(split: str) -> list[Any]:
    noise = np.float16(next(CALLS))
    return [({**inputs_of(4), "x": np.full((4, 2), noise)}, "")] * 2


class Lengths:
    def predictions(self, outputs: Any, batch: Any) -> list[str]:
        return [f"text {batch.feeds['mask'].shape[1]}"] * len(batch.indices)

    def score(self, predictions: Any, labels: Any) -> dict[str, float]:
        return {"right_pct": float(np.mean(self.hits(predictions, labels)))}

    def per_sample(self, predictions: Any, labels: Any) -> dict[str, Any]:
        return {"right_pct": self.hits(predictions, labels)}

    def hits(self, predictions: Any, labels: Any) -> list[float]:
        return [100.0 * (p == label) for p, label in zip(predictions, labels, strict=True)]


class OtherScore(Lengths):
    def score(self, predictions: Any, labels: Any) -> dict[str, float]:
        return {"right_pct": 7.0}


class NeedsBoxes(Lengths):
    def hits(self, predictions: Any, labels: Any) -> list[float]:
        return [label["boxes"] for label in labels]


class GivesNan(Lengths):
    def hits(self, predictions: Any, labels: Any) -> list[float]:
        return [float("nan")] * len(labels)


class HasBoxes(Lengths):
    def hits(self, predictions: Any, labels: Any) -> list[float]:
        return [float(len(label["boxes"]) == 1) for label in labels]


def with_boxes(split: str) -> list[Any]:
    corners = [tuple(np.arange(4) / 2)]
    return [
        (inputs_of(4), {"boxes": corners, "map": np.zeros((2, 3), np.uint8), "count": np.int64(1)})
    ] * 2


def with_maps(split: str) -> list[Any]:
    return [(inputs_of(4), np.zeros((2, 3), np.uint8))] * 2


class OneClass(MeanIou):
    def predictions(self, outputs: Any, batch: Any) -> list[Any]:
        return [encode_map(np.zeros((2, 3), np.uint8)) for _ in batch.indices]


def make_params(
    model: dict[str, Any] | None = None, dataset: dict[str, Any] | None = None, scorer: str = ""
) -> Params:
    data = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    axes = {"batch": {"min": 1, "opt": 8, "max": 16}, "length": {"min": 2, "opt": 4, "max": 8}}
    data["model"] = {
        "name": "net",
        "source": "module",
        "factory": f"{ME}:Net",
        "weights": None,
        "options": {},
        "files": [],
        "inputs": {
            "x": {"dtype": "float16", "shape": ["batch", "length", 2]},
            "mask": {"dtype": "uint8", "shape": ["batch", "length"]},
        },
        "outputs": ["scores"],
        "axes": axes,
    } | (model or {})
    data["dataset"] = {
        "name": "own",
        "format": "factory",
        "factory": f"{ME}:samples",
        "synthetic": False,
        "options": {},
        "files": [],
        "calibration": {},
        "evaluation": {},
    } | (dataset or {})
    data["evaluate"]["scorers"] = [f"{ME}:{scorer or 'Lengths'}"]
    for variant in data["variants"].values():
        variant["build"]["profiles"] = [axes]
    return decode(Params, data, key="")


def test_every_part_is_shown_with_names_types_shapes_axes_labels_and_scores() -> None:
    lines = [(line.part, line.owner, line.found) for line in try_adapter(make_params())]
    assert lines == [
        ("model", f"{ME}:Net", "Net, 9 parameters, its own weights"),
        ("input", "conf/model", "x  float16 [batch, length, 2]  batch 1..8..16, length 2..4..8"),
        ("input", "conf/model", "mask  uint8 [batch, length]  batch 1..8..16, length 2..4..8"),
        (
            "calibration",
            f"{ME}:samples",
            "4 samples; the first: x [4, 2], mask [4]; label 'text 4'",
        ),
        ("evaluation", f"{ME}:samples", "4 samples; the first: x [3, 2], mask [3]; label 'text 3'"),
        ("output", f"{ME}:Net", "scores  float32 [batch, 3]"),
        ("scorer", f"{ME}:Lengths", "right_pct 100 on 2 samples (a value per sample)"),
    ]


def test_samples_without_labels_are_predicted_and_not_scored() -> None:
    params = make_params(dataset={"factory": f"{ME}:unlabelled"})
    found = [line.found for line in try_adapter(params) if line.part == "scorer"]
    assert found == ["predicts; nothing is scored, the samples have no labels"]


def test_numbers_and_arrays_of_a_label_are_shown_as_what_they_are() -> None:
    params = make_params(dataset={"factory": f"{ME}:with_boxes"}, scorer="HasBoxes")
    (found,) = [line.found for line in try_adapter(params) if line.part == "evaluation"]
    assert "label {boxes: [[0.0, 0.5, 1.0, 1.5]], map: ..." in found


def test_a_figure_of_the_whole_set_is_said_to_be_one() -> None:
    params = make_params(dataset={"factory": f"{ME}:with_maps"}, scorer="OneClass")
    (found,) = [line.found for line in try_adapter(params) if line.part == "scorer"]
    assert "mean_iou_pct 100" in found
    assert "(a figure of the set, resampled from parts of samples)" in found


def test_an_export_is_compared_with_the_model_at_every_bound() -> None:
    found = [line for line in try_adapter(make_params(), with_export=True) if line.part == "export"]
    assert "differs by at most" in found[0].found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"model": {"factory": f"{ME}:Absent"}},
            f"cannot import '{ME}:Absent': .* has no 'Absent'",
        ),
        (
            {"model": {"options": {"width": 3}}},
            "model.options: .*:Net does not take them .*'width'",
        ),
        (
            {"model": {"inputs": {"mask": POINTS, "x": POINTS}}},
            r":Net: forward\(\) takes x, mask, `model.inputs` lists mask, x; list them in",
        ),
        ({"model": {"outputs": ["logits"]}}, ":Net: the model returns no 'logits'"),
        ({"model": {"options": {"fault": "nan"}}}, ":Net: output 'scores': the model gives .* NaN"),
        (
            {"model": {"options": {"fault": "one_row"}}},
            r":Net: output 'scores' has shape \[3\] for a batch of 1",
        ),
        (
            {"model": {"options": {"limit": 7}}},
            r":Net: failed on x \[1, 8, 2\], mask \[1, 8\] with IndexError: 7 at .*py:\d+; correct",
        ),
        ({"dataset": {"factory": f"{ME}:Nothing"}}, f"cannot import '{ME}:Nothing'"),
        (
            {"dataset": {"options": {"size": 3}}},
            r":samples: it cannot be called as samples\(..., si",
        ),
        (
            {"dataset": {"factory": f"{ME}:too_long"}},
            ":too_long: the calibration split: 'x' has length 9, the model takes 2 to 8; cut",
        ),
        (
            {"dataset": {"factory": f"{ME}:in_double"}},
            ":in_double: the calibration split: 'x' is float64, the model takes float16",
        ),
        (
            {"dataset": {"factory": f"{ME}:too_wide"}},
            r":too_wide: the calibration split: 'x' has shape \[1, 4, 3\], the model takes",
        ),
        (
            {"dataset": {"factory": f"{ME}:without_mask"}},
            r":without_mask: the calibration split has no array 'mask' \(it has: x\)",
        ),
        (
            {"dataset": {"factory": f"{ME}:drawn_when_made"}},
            ":drawn_when_made: the calibration split: 'x' of sample 0 is another one when it is op",
        ),
        (
            {"scorer": "OtherScore"},
            r":OtherScore: score\(\) gives right_pct 7, the mean of per_sample\(\) is 100",
        ),
        ({"scorer": "NeedsBoxes"}, r":NeedsBoxes: failed in score\(\) with TypeError: .*py:\d+"),
        ({"scorer": "GivesNan"}, "GivesNan' gave right_pct = nan; correct the scorer"),
        ({"scorer": "Missing"}, "has no 'Missing'"),
        (
            {"model": {"axes": {"batch": {"min": 1, "opt": 8, "max": 16}}}},
            "axis 'length' is not in",
        ),
    ],
)
def test_a_fault_is_one_line_with_the_function_and_the_repair(changes: Any, told: str) -> None:
    with pytest.raises(PipelineError, match=told) as caught:
        list(try_adapter(make_params(**changes)))
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nothing_of_the_kind", "it imports 'nothing_of_the_kind', which is not installed"),
        ("from os import nothing", "failed to be imported with ImportError: cannot import name"),
        ("x = 1 / 0", "failed to be imported with ZeroDivisionError: division by zero at bad.py:1"),
        ("def f(:", "failed to be imported with SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(text, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    with pytest.raises(PipelineError, match=told) as caught:
        load_object("bad:f")
    assert "\n" not in str(caught.value)
    assert "bad:f" in str(caught.value)
