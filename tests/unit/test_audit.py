from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tests.onnx_graphs import Example, dataset, model, normal, residual_convolution, single

from trtproof.audit import Comparison, Kept, OutputError, audit, round_figure
from trtproof.backends.onnxruntime import open_graph
from trtproof.data.base import Batch
from trtproof.errors import InputError, ModelError
from trtproof.tensor import Array, Feeds


class SignScorer:
    """Predict whether the first output value is positive."""

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[bool]:
        return [bool(row[0] > 0) for row in outputs["y"]]

    def score(self, predictions: Sequence[bool], labels: Sequence[int]) -> Mapping[str, float]:
        hits = [bool(label) == guess for guess, label in zip(predictions, labels, strict=True)]
        return {"hits_pct": 100 * sum(hits) / len(hits)}

    def per_sample(self, predictions: Sequence[bool], labels: Sequence[int]) -> None:
        return None


def scaled(factor: float, folder: Path) -> Path:
    proto = model(
        [helper.make_node("Mul", ["x", "factor"], ["y"], name="mul")],
        {"x": (TensorProto.FLOAT, ("batch", 2))},
        {"y": ("batch", 2)},
        {"factor": single(factor)},
    )
    return Example(proto, {}).write(folder)


def compare(tmp_path: Path, factor: float, feeds: Array, **changes: Any) -> dict[str, Any]:
    pair = Comparison(
        reference=scaled(1.0, tmp_path / "a"),
        converted=scaled(factor, tmp_path / "b"),
        executor=changes.get("executor", "onnxruntime"),
    )
    samples = dataset({"x": feeds}, changes.get("labels"))
    return audit(
        pair, samples, batch=changes.get("batch", 4), scorers={"sign": SignScorer()}, kept=Kept(3)
    )


FEEDS = single([[1, -2], [3, 4], [-5, 6], [7, 8], [9, 10]])


def test_figures_are_over_all_samples_and_as_by_hand(tmp_path: Path) -> None:
    found = compare(tmp_path, 1.5, FEEDS)
    assert found["samples_count"] == 5
    assert found["outputs"]["y"] == {
        "max_abs": 5.0,
        "cosine": 1.0,
        "sqnr_db": round_figure(20 * math.log10(2)),
        "nan_count": 0,
        "inf_count": 0,
    }


def test_the_same_graph_has_no_error_and_no_ratio(tmp_path: Path) -> None:
    found = compare(tmp_path, 1.0, FEEDS)["outputs"]["y"]
    assert (found["max_abs"], found["cosine"], found["sqnr_db"]) == (0.0, 1.0, None)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_batch_does_not_show(batch: int, tmp_path: Path) -> None:
    feeds = normal(11, 2)
    assert compare(tmp_path, 1.1, feeds, batch=batch) == compare(tmp_path, 1.1, feeds, batch=4)


def test_scores_are_those_of_the_converted_graph(tmp_path: Path) -> None:
    labels = [1, 1, 0, 1, 1]
    assert compare(tmp_path, 0.5, FEEDS, labels=labels)["scores"] == {"sign": {"hits_pct": 100.0}}
    assert compare(tmp_path, -1, FEEDS, labels=labels)["scores"] == {"sign": {"hits_pct": 0.0}}


def test_samples_without_labels_have_no_scores(tmp_path: Path) -> None:
    assert compare(tmp_path, 0.5, FEEDS)["scores"] is None


@pytest.mark.parametrize(("factor", "count"), [(np.inf, "inf_count"), (np.nan, "nan_count")])
def test_outputs_that_are_not_finite_are_counted_and_have_no_figures_or_scores(
    factor: float, count: str, tmp_path: Path
) -> None:
    found = compare(tmp_path, factor, FEEDS, labels=[1] * 5)
    figures = found["outputs"]["y"]
    assert figures[count] == 10
    assert figures["max_abs"] is figures["cosine"] is figures["sqnr_db"] is None
    assert found["scores"] is None


def test_one_sample_without_a_finite_output_takes_the_scores_of_all(tmp_path: Path) -> None:
    feeds = FEEDS.copy()
    feeds[2, 0] = 3e38
    found = compare(tmp_path, 10.0, feeds, labels=[1] * 5, batch=1)
    assert found["outputs"]["y"]["inf_count"] == 1
    assert found["scores"] is None


def test_another_shape_cannot_be_compared() -> None:
    error = OutputError()
    error.add(np.ones((2, 3)), np.ones((2, 3)))
    error.add(np.ones((2, 3)), np.ones((2, 4)))
    assert error.to_json()["max_abs"] is None


def test_integer_outputs_are_compared_too() -> None:
    error = OutputError()
    error.add(np.array([1, 2, 3]), np.array([1, 2, 5]))
    assert error.to_json()["max_abs"] == 2.0


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.integers(1, 19))
def test_parts_of_the_samples_add_up(values: list[float], cut: int) -> None:
    before = np.array(values)
    after = np.round(before)
    whole, parts = OutputError(), OutputError()
    whole.add(before, after)
    parts.add(before[:cut], after[:cut])
    parts.add(before[cut:], after[cut:])
    for name, value in whole.to_json().items():
        expected = value if value is None else pytest.approx(value, rel=1e-5)
        assert parts.to_json()[name] == expected


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="executor 'abacus'; I know about onnxruntime"):
        compare(tmp_path, 1.0, FEEDS, executor="abacus")


def test_the_executor_decides_whether_the_graph_is_optimised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trtproof import audit as module

    opened = []
    original = open_graph

    def spy(path: Path, **options: Any) -> Any:
        opened.append((path.parent.name, options.get("optimized", True)))
        return original(path, **options)

    monkeypatch.setattr(module, "open_graph", spy)
    compare(tmp_path, 1.0, FEEDS, executor="onnxruntime-unoptimized")
    assert sorted(opened) == [("a", True), ("b", False)]


def test_a_fixed_batch_that_does_not_divide_the_samples_is_refused(tmp_path: Path) -> None:
    example = residual_convolution()
    for value in (*example.proto.graph.input, *example.proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 5
    path = example.write(tmp_path)
    with pytest.raises(ModelError, match="exactly 5 samples at once, the split has 12"):
        audit(
            Comparison(path, path, "onnxruntime"),
            dataset(example.feeds),
            batch=5,
            scorers={},
            kept=Kept(0),
        )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_rounded_figure_stays_within_six_digits(value: float) -> None:
    rounded = round_figure(value)
    assert rounded is not None
    assert rounded == pytest.approx(value, rel=1e-5)
    assert round_figure(rounded) == rounded


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_first_samples_outputs_are_kept(batch: int, tmp_path: Path) -> None:
    reference, converted = scaled(1.0, tmp_path / "a"), scaled(2.0, tmp_path / "b")
    kept = Kept(3)
    found = audit(
        Comparison(reference, converted, "onnxruntime"),
        dataset({"x": FEEDS}),
        batch=batch,
        scorers={},
        kept=kept,
    )
    kept.write(tmp_path / "outputs.npz")
    assert found["kept_indices"] == [0, 1, 2]
    with np.load(tmp_path / "outputs.npz") as outputs:
        np.testing.assert_array_equal(outputs["y"], 2 * FEEDS[:3])
