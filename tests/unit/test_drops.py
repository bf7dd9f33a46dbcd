"""The drop of every score with its intervals, by whatever the scorer gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trtproof.errors import InputError
from trtproof.scoring import resampling
from trtproof.scoring.drops import Levels, Method, measure_drops
from trtproof.scoring.proportions import Discordance, drop_interval, samples_to_settle
from trtproof.scoring.rescoring import Paired
from trtproof.scoring.topk import TOP1

LEVELS = Levels(shown=0.95, gate=0.99)
SAMPLES = 400


def paired(reference, variant):
    return Paired(range(len(reference)), [1] * len(reference), reference, variant)


def answers(wrong):
    """Return top-1 predictions of which the named samples are wrong (the label is 1)."""
    return [[0] if place in wrong else [1] for place in range(SAMPLES)]


class Overlap:
    """A share of one sample, as an F1 of its words; predictions are the shares."""

    lower_is_better: tuple[str, ...] = ()
    metric = "overlap_ratio"
    scale = 1.0

    def predictions(self, outputs, batch):
        raise NotImplementedError

    def score(self, predictions, labels):
        return {self.metric: self.scale * float(np.mean(predictions))}

    def per_sample(self, predictions, labels):
        return {self.metric: self.scale * np.asarray(predictions)}


class Whole(Overlap):
    """A score that does not decompose: the largest minus the mean."""

    def score(self, predictions, labels):
        return {self.metric: float(np.median(predictions))}

    def per_sample(self, predictions, labels):
        return None


def test_right_and_wrong_answers_have_the_exact_interval():
    drop = measure_drops(TOP1, paired(answers({1, 2}), answers({2, 3, 4, 5})), LEVELS)["top1_pct"]
    counts = Discordance(lost=3, gained=1, samples=SAMPLES)
    assert drop.method is Method.EXACT
    assert (drop.lost_count, drop.gained_count, drop.value) == (3, 1, 0.5)
    for found, level in ((drop.shown, 0.95), (drop.gate, 0.99)):
        assert found == pytest.approx(np.multiply(100, drop_interval(counts, level)))
    assert drop.p_value == pytest.approx(0.625)
    assert drop.samples_needed(1.5) == samples_to_settle(counts, 0.015, 0.99)


@pytest.mark.parametrize("wrong", [set(), {4}, set(range(SAMPLES))])
def test_equal_answers_have_no_drop_but_an_interval(wrong):
    drop = measure_drops(TOP1, paired(answers(wrong), answers(wrong)), LEVELS)["top1_pct"]
    assert drop.value == 0
    assert drop.gate is not None
    assert drop.gate[0] < -1 < 1 < drop.gate[1]


def test_one_sample_says_nothing():
    drop = measure_drops(TOP1, paired([[1]], [[0]]), LEVELS)["top1_pct"]
    assert drop.value == 100
    assert drop.gate is not None
    assert drop.gate[0] < 0


def shares(seed=0, loss=0.0, share=0.3):
    rng = np.random.default_rng(seed)
    before = 0.5 + 0.4 * rng.random(SAMPLES)
    after = before - np.where(rng.random(SAMPLES) < share, loss + rng.normal(0, 0.05, SAMPLES), 0)
    return paired(before.tolist(), after.tolist())


def test_shares_of_a_sample_are_bootstrapped():
    drop = measure_drops(Overlap(), shares(loss=0.1), LEVELS)["overlap_ratio"]
    assert drop.method is Method.BOOTSTRAP
    assert drop.shown is not None
    assert drop.gate is not None
    assert drop.gate[0] < drop.shown[0] < 0.03 < drop.shown[1] < drop.gate[1]
    assert drop.p_value is None
    assert drop == measure_drops(Overlap(), shares(loss=0.1), LEVELS)["overlap_ratio"]
    needed, margin = drop.samples_needed(drop.value + 0.001), drop.gate[1] - drop.value
    assert needed == pytest.approx(SAMPLES * (margin / 0.001) ** 2, rel=0.01)


def test_few_samples_that_differ_are_bounded_by_the_range():
    one = shares(share=0.0)
    variant = [one.variant[0] - 0.25, *one.variant[1:]]
    drop = measure_drops(Overlap(), replace(one, variant=variant), LEVELS)["overlap_ratio"]
    assert drop.method is Method.BOUND
    assert drop.value == pytest.approx(0.25 / SAMPLES)
    assert drop.gate is not None
    assert drop.gate[1] == pytest.approx(0.01846, abs=1e-4)  # 1 of 400, Clopper and Pearson
    needed = drop.samples_needed(0.01)
    assert needed is not None
    assert SAMPLES < needed < 3 * SAMPLES


def test_values_beyond_the_units_range_have_no_bound():
    one = shares(share=0.0)
    scorer = Overlap()
    scorer.scale = 3.0
    drop = measure_drops(scorer, one, LEVELS)["overlap_ratio"]
    assert (drop.method, drop.gate, drop.samples_needed(0.1)) == (Method.NONE, None, None)
    assert "fewer than 10 samples differ" in drop.reason


def test_a_lower_error_is_no_loss():
    scorer = Overlap()
    scorer.metric, scorer.lower_is_better = "wer_ratio", ("wer_ratio",)
    drop = measure_drops(scorer, shares(loss=0.1), LEVELS)["wer_ratio"]
    assert drop.value < 0
    assert drop.gate is not None
    assert drop.gate[1] < 0


def test_a_score_of_the_whole_set_is_rescored():
    drop = measure_drops(Whole(), shares(loss=0.2, share=1.0), LEVELS)["overlap_ratio"]
    assert drop.method is Method.RESCORED
    assert drop.shown is not None
    assert 0.1 < drop.shown[0] < drop.value < drop.shown[1] < 0.3
    assert drop.lost_count is None


def test_a_score_of_the_whole_set_needs_samples_that_differ(monkeypatch):
    few = measure_drops(Whole(), shares(share=0.0), LEVELS)["overlap_ratio"]
    assert few.reason == "0 of 400 samples have another prediction, resampling takes 10"
    monkeypatch.setattr(resampling, "MOST_RESCORED", 399)
    many = measure_drops(Whole(), shares(share=1.0), LEVELS)["overlap_ratio"]
    assert many.gate is None
    assert "give the scorer `per_sample`" in many.reason


def test_a_scorer_that_cannot_score_a_resample_gives_the_reason():
    class Fussy(Whole):
        def score(self, predictions, labels):
            if len(set(predictions)) < len(predictions):
                problem = "two samples are the same"
                raise InputError(problem)
            return super().score(predictions, labels)

    drop = measure_drops(Fussy(), shares(share=1.0), LEVELS)["overlap_ratio"]
    assert drop.reason == "the scorer cannot score a resample: two samples are the same"


def test_values_that_do_not_average_to_the_score_are_not_used():
    class Wrong(Overlap):
        def per_sample(self, predictions, labels):
            return {"overlap_ratio": np.asarray(predictions) ** 2}

    drop = measure_drops(Wrong(), shares(loss=0.2), LEVELS)["overlap_ratio"]
    assert drop.reason == "per_sample does not average to the score"


@pytest.mark.parametrize("limit", [0.0, 0.5, -3.0])
def test_no_number_of_samples_settles_a_drop_that_is_the_limit(limit):
    drop = measure_drops(TOP1, paired(answers(set()), answers({1, 2})), LEVELS)["top1_pct"]
    assert drop.value == 0.5
    assert (drop.samples_needed(limit) is None) == (limit == 0.5)
