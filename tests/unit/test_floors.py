"""Scores by themselves: how surely they are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from trtproof.scoring import resampling
from trtproof.scoring.floors import Scored, bound_scores
from trtproof.scoring.topk import TOP1

SAMPLES = 200


class Shares:
    def predictions(self, outputs, batch):
        raise NotImplementedError

    def score(self, predictions, labels):
        return {"f1_ratio": float(np.mean(predictions))}

    def per_sample(self, predictions, labels):
        return {"f1_ratio": np.asarray(predictions)}


class Whole(Shares):
    def per_sample(self, predictions, labels):
        return None


def scored(predictions):
    return Scored(range(len(predictions)), [1] * len(predictions), predictions)


def test_a_share_of_right_answers_has_its_exact_interval():
    answers = [[1]] * 190 + [[0]] * 10
    found = bound_scores(TOP1, scored(answers), 0.99)["top1_pct"]
    known = binomtest(190, SAMPLES).proportion_ci(0.99, "exact")
    assert found.gate == pytest.approx((100 * known.low, 100 * known.high))
    needed = found.samples_needed(93.0)
    assert needed is not None
    exact = binomtest(round(0.95 * needed), needed).proportion_ci(0.99, "exact")
    assert exact.low > 0.93


@pytest.mark.parametrize("scorer", [Shares(), Whole()])
def test_other_scores_are_resampled(scorer):
    values = np.random.default_rng(0).random(SAMPLES).tolist()
    found = bound_scores(scorer, scored(values), 0.99)["f1_ratio"]
    assert found.gate is not None
    halfwidth = 2.576 * np.std(values, ddof=1) / SAMPLES**0.5
    middle = np.mean(values)
    assert found.gate == pytest.approx((middle - halfwidth, middle + halfwidth), abs=0.012)
    assert found == bound_scores(scorer, scored(values), 0.99)["f1_ratio"]
    needed = found.samples_needed(found.value + 0.01)
    assert needed == pytest.approx(SAMPLES * (halfwidth / 0.01) ** 2, rel=0.3)


def test_equal_values_have_no_interval():
    found = bound_scores(Shares(), scored([0.5] * SAMPLES), 0.99)["f1_ratio"]
    assert (found.gate, found.samples_needed(0.4)) == (None, None)
    assert "all the same" in found.reason


def test_too_many_samples_are_not_rescored(monkeypatch):
    monkeypatch.setattr(resampling, "MOST_RESCORED", 100)
    found = bound_scores(Whole(), scored([0.5] * SAMPLES), 0.99)["f1_ratio"]
    assert found.gate is None
    assert "give the scorer `per_sample`" in found.reason
