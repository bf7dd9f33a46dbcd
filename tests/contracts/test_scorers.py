"""What every registered scorer keeps to, so that any metric can have a paired interval."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtproof.data.base import Batch
from trtproof.scoring import SCORERS, load_scorer

CLASSES = 10

samples = st.integers(1, 24).flatmap(
    lambda count: st.tuples(
        st.lists(
            st.lists(st.floats(-9, 9, width=32), min_size=CLASSES, max_size=CLASSES),
            min_size=count,
            max_size=count,
        ),
        st.lists(st.integers(0, CLASSES - 1), min_size=count, max_size=count),
        st.lists(st.integers(0, count - 1), min_size=1, max_size=40),
    )
)


def predict(name: str, rows: list[list[float]]) -> list[object]:
    logits = np.asarray(rows, dtype=np.float32)
    batch = Batch(feeds={}, labels=None, indices=range(len(rows)))
    return list(load_scorer(name).predictions({"logits": logits}, batch))


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=30, deadline=None)
@given(samples)
def test_a_resample_scores_what_the_resampled_lists_score(name, drawn):
    rows, labels, resample = drawn
    predictions = predict(name, rows)
    resampled = [rows[index] for index in resample], [labels[index] for index in resample]
    scorer = load_scorer(name)
    picked = scorer.score([predictions[index] for index in resample], resampled[1])
    assert picked == scorer.score(predict(name, resampled[0]), resampled[1])


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=30, deadline=None)
@given(samples)
def test_the_mean_over_samples_is_the_score(name, drawn):
    rows, labels, _ = drawn
    predictions = predict(name, rows)
    per_sample = load_scorer(name).per_sample(predictions, labels)
    if per_sample is None:
        pytest.skip(f"{name} does not decompose over samples")
    score = load_scorer(name).score(predictions, labels)
    assert per_sample.keys() == score.keys()
    for metric, values in per_sample.items():
        assert values.shape == (len(labels),)
        assert float(np.mean(values)) == pytest.approx(score[metric], abs=1e-9)


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=30, deadline=None)
@given(samples)
def test_the_score_does_not_depend_on_the_order_of_the_samples(name, drawn):
    rows, labels, _ = drawn
    predictions = predict(name, rows)
    scorer = load_scorer(name)
    backwards = scorer.score(predictions[::-1], labels[::-1])
    assert backwards == pytest.approx(scorer.score(predictions, labels))


@pytest.mark.parametrize("name", list(SCORERS))
@settings(max_examples=30, deadline=None)
@given(samples)
def test_predictions_survive_json(name, drawn):
    rows, labels, _ = drawn
    predictions = predict(name, rows)
    again = json.loads(json.dumps(predictions, allow_nan=False))
    scorer = load_scorer(name)
    assert scorer.score(again, labels) == scorer.score(predictions, labels)


@pytest.mark.parametrize("name", list(SCORERS))
def test_there_is_one_prediction_per_sample_and_metric_names_carry_a_unit(name):
    predictions = predict(name, [[0.0] * CLASSES] * 3)
    assert len(predictions) == 3
    scores = load_scorer(name).score(predictions, [0, 1, 2])
    assert list(scores) == list(SCORERS.load(name).metrics)
    for metric in scores:
        assert metric.rsplit("_", 1)[-1] in {"pct", "pp", "ratio", "db", "count"}
        assert "." not in metric
