"""Scorers of the user's own: what they may leave out, give, and be told is wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.artifacts import to_json
from trtproof.data.base import Batch
from trtproof.errors import AdapterError, ImportPathError
from trtproof.scoring import load_scorer
from trtproof.scoring.base import is_lower_better
from trtproof.scoring.drops import Levels, Method, measure_drops
from trtproof.scoring.rescoring import Paired
from trtproof.scoring.values import pack_value, unpack_value

ME = __name__
BATCH = Batch(feeds={}, labels=[["a", "b"], []], indices=[0, 1])
OUTPUTS = {"boxes": np.zeros((2, 3, 4), np.float32)}


class Words:
    """Error rate of transcripts of any length; only what a scorer must have."""

    lower_is_better = "wer_ratio"

    def predictions(self, outputs: Any, batch: Any) -> list[str]:
        return ["one two three", "four"][: len(batch.indices)]

    def per_sample(self, predictions: Any, labels: Any) -> dict[str, list[float]]:
        return {
            "wer_ratio": [float(p != label) for p, label in zip(predictions, labels, strict=True)]
        }


class Boxes:
    """Arrays of another shape per sample as predictions and labels; no values of single samples."""

    def predictions(self, outputs: Any, batch: Any) -> list[Any]:
        return [np.ones((count, 4), np.float32) for count in (3, 0)]

    def score(self, predictions: Any, labels: Any) -> dict[str, Any]:
        assert all(isinstance(item, np.ndarray) for item in (*predictions, *labels))
        close = [p.shape == label.shape for p, label in zip(predictions, labels, strict=True)]
        return {"map_pct": np.float32(100 * np.mean(close))}


class Wrong(Words):
    def __init__(self, **gives: Any) -> None:
        self.gives = gives

    def predictions(self, outputs: Any, batch: Any) -> Any:
        return self.gives.get("predictions", ["", ""])

    def per_sample(self, predictions: Any, labels: Any) -> Any:
        return self.gives.get("per_sample", {"wer_ratio": [0.0, 0.0]})


words = Words()
too_few = Wrong(predictions=[1])
no_json = Wrong(predictions=[{1, 2}, {3}])
int_keys = Wrong(predictions=[{1: 2}, {}])
no_array = Wrong(per_sample={"wer_ratio": [0.0]})
no_unit = Wrong(per_sample={"wer": [0.0, 0.0]})
not_a_scorer = 3


class NeedsArguments(Words):
    def __init__(self, classes: int) -> None:
        self.classes = classes


class Fails(Words):
    def predictions(self, outputs: Any, batch: Any) -> list[Any]:
        return [outputs["bboxes"]]


def score(path: str) -> None:
    scorer = load_scorer(path)
    scorer.score(scorer.predictions(OUTPUTS, BATCH), ["", ""])


def test_score_is_the_mean_of_per_sample_where_the_scorer_has_no_score() -> None:
    scorer = load_scorer(f"{ME}:words")
    predicted = scorer.predictions(OUTPUTS, BATCH)
    assert scorer.score(predicted, ["one two three", "five"]) == {"wer_ratio": 0.5}
    assert is_lower_better(scorer, "wer_ratio")


def test_a_class_is_made_and_a_drop_of_arrays_of_any_length_has_its_interval() -> None:
    scorer = load_scorer(f"{ME}:Boxes")
    predicted = scorer.predictions(OUTPUTS, BATCH)
    labels = [pack_value(np.ones((count, 4)), owner="d") for count in (3, 1)]
    stored = json.loads(to_json({"p": predicted, "l": labels}))
    assert scorer.score(stored["p"], stored["l"]) == {"map_pct": 50.0}
    assert scorer.score(predicted, labels) == {"map_pct": 50.0}
    assert scorer.per_sample(predicted, labels) is None
    none = [pack_value(np.ones((9, 4)), owner="d")] * 2
    paired = Paired(range(40), stored["l"] * 20, stored["p"] * 20, none * 20)
    drop = measure_drops(scorer, paired, Levels(shown=0.95, gate=0.99))["map_pct"]
    assert drop.value == pytest.approx(50.0)
    assert drop.method is Method.RESCORED


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("too_few", r"predictions\(\) gave 1 for a batch of 2 samples"),
        ("no_json", "it gave a value of type builtins.set as a prediction"),
        ("int_keys", "it gave a dictionary with the keys 1"),
        ("no_array", r"per_sample\(\) gave wer_ratio of shape \[1\] for 2 samples"),
        ("no_unit", "it names a metric 'wer'"),
        ("not_a_scorer", "a int is no scorer: it has no predictions and no score or per_sample"),
        ("NeedsArguments", "failed to be made without arguments with TypeError: .*'classes'"),
        ("Fails", r"failed in predictions\(\) with KeyError: 'bboxes' at .*py:\d+; correct it"),
    ],
)
def test_a_wrong_scorer_is_one_line_that_names_it(name: str, problem: str) -> None:
    with pytest.raises(AdapterError, match=f"^{ME}:{name}: {problem}") as caught:
        score(f"{ME}:{name}")
    assert "\n" not in str(caught.value)


def test_a_scorer_that_is_not_there_says_what_its_module_lacks() -> None:
    with pytest.raises(ImportPathError, match="has no 'nothing'"):
        load_scorer(f"{ME}:nothing")


numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    numbers, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)
)


@given(values)
def test_any_json_value_comes_back_as_it_was(value: Any) -> None:
    packed = json.loads(to_json({"value": pack_value(value, owner="o")}))["value"]
    assert unpack_value(packed) == value


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(5,), (2, 0, 3), (64, 64)])
def test_an_array_comes_back_with_its_type_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    back = unpack_value(json.loads(to_json({"a": [pack_value({"m": array}, owner="o")]})))["a"][0]
    assert back["m"].dtype == array.dtype
    assert np.array_equal(back["m"], array)


def test_numpy_numbers_become_plain_and_nan_is_kept() -> None:
    packed = pack_value((np.int64(3), np.float32(0.5), np.array(7), math.nan), owner="o")
    assert packed[:3] == [3, 0.5, 7]
    assert math.isnan(unpack_value(json.loads(to_json({"v": packed})))["v"][3])


def test_a_mask_is_stored_in_less_than_a_tenth_of_its_text() -> None:
    mask = np.zeros((256, 256), np.int64)
    mask[40:90, 30:200] = 7
    assert len(to_json(pack_value(mask, owner="o"))) < len(str(mask.tolist())) / 10
