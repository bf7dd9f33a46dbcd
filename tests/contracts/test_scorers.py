"""What every registered scorer keeps to, so that any metric can have a paired interval."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.scorer_samples import MAKERS

from trtproof.data.base import Batch
from trtproof.scoring import SCORERS, load_scorer
from trtproof.scoring.weighing import weigh

UNITS = {"pct", "pp", "ratio", "db", "count", "units"}


def draw(seed):
    """Return a number of samples, and which of them a resample draws."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 12))
    return count, random.integers(0, count, random.integers(1, 20)).tolist()


@pytest.fixture(params=list(SCORERS))
def name(request):
    """Return a registered name whose package is installed."""
    extra = getattr(SCORERS.load(request.param), "extra", None)
    if extra is not None:
        pytest.importorskip(extra.module)
    return request.param


def make(name, seed, count):
    """Return predictions and labels."""
    assert name in MAKERS, f"give scorer {name!r} samples to be tested with"
    outputs, labels = MAKERS[name](np.random.default_rng(seed), count)
    return predict(name, outputs), labels


def predict(name, outputs):
    count = len(next(iter(outputs.values())))
    batch = Batch(feeds={}, labels=None, indices=range(count))
    return list(load_scorer(name).predictions(outputs, batch))


@pytest.mark.parametrize("seed", range(8))
def test_predictions_do_not_depend_on_the_other_samples_of_the_batch(name, seed):
    count, resample = draw(seed)
    outputs, _ = MAKERS[name](np.random.default_rng(seed), count)
    picked = {key: array[resample] for key, array in outputs.items()}
    whole = predict(name, outputs)
    assert predict(name, picked) == [whole[place] for place in resample]


@pytest.mark.parametrize("seed", range(8))
def test_a_resample_scores_what_its_counted_parts_give(name, seed):
    count, resample = draw(seed)
    predictions, labels = make(name, seed, count)
    scorer = load_scorer(name)
    weighable = weigh(scorer, predictions, labels)
    if weighable is None:
        pytest.skip(f"{name} is a mean over samples")
    counts = np.bincount(resample, minlength=count)[np.newaxis].astype(float)
    figures = {key: value[0] for key, value in weighable.figures(counts).items()}
    scored = scorer.score([predictions[i] for i in resample], [labels[i] for i in resample])
    assert {key: value for key, value in figures.items() if np.isfinite(value)} == pytest.approx(
        scored, abs=1e-9
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_mean_over_samples_is_the_score(name, seed):
    count, _ = draw(seed)
    predictions, labels = make(name, seed, count)
    per_sample = load_scorer(name).per_sample(predictions, labels)
    score = load_scorer(name).score(predictions, labels)
    for metric, values in (per_sample or {}).items():
        assert values.shape == (len(labels),)
        assert float(np.mean(values)) == pytest.approx(score[metric], abs=1e-9)
    if weigh(load_scorer(name), predictions, labels) is None:
        assert (per_sample or {}).keys() == score.keys()


@pytest.mark.parametrize("seed", range(8))
def test_the_score_does_not_depend_on_the_order_of_the_samples(name, seed):
    count, _ = draw(seed)
    predictions, labels = make(name, seed, count)
    scorer = load_scorer(name)
    backwards = scorer.score(predictions[::-1], labels[::-1])
    assert backwards == pytest.approx(scorer.score(predictions, labels))


@pytest.mark.parametrize("seed", range(8))
def test_predictions_survive_json(name, seed):
    count, _ = draw(seed)
    predictions, labels = make(name, seed, count)
    again = json.loads(json.dumps(predictions, allow_nan=False))
    scorer = load_scorer(name)
    assert scorer.score(again, labels) == scorer.score(predictions, labels)


def test_there_is_one_prediction_per_sample_and_metric_names_carry_a_unit(name):
    predictions, labels = make(name, 0, 3)
    assert len(predictions) == 3
    scorer = SCORERS.load(name)
    assert list(scorer.score(predictions, labels)) == list(scorer.metrics)
    assert set(getattr(scorer, "lower_is_better", ())) <= set(scorer.metrics)
    for metric in scorer.metrics:
        assert metric.rsplit("_", 1)[-1] in UNITS
        assert "." not in metric


def test_outputs_with_a_nan_predict_nothing_and_stop_nothing(name):
    outputs, labels = MAKERS[name](np.random.default_rng(0), 4)
    broken = {
        key: np.where(np.arange(4).reshape(4, *[1] * (array.ndim - 1)) == 1, np.nan, array)
        if array.dtype.kind == "f"
        else array
        for key, array in outputs.items()
    }
    predictions = predict(name, broken)
    json.dumps(predictions, allow_nan=False)
    scores = load_scorer(name).score(predictions, labels)
    assert all(np.isfinite(value) for value in scores.values())
