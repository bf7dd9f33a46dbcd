"""Figures over a whole set: their values by hand or by others, and their paired intervals."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score
from tests.scorer_samples import MAKERS

from trtproof.data.base import Batch
from trtproof.errors import InputError, MissingExtraError
from trtproof.extras import Extra
from trtproof.scoring import load_scorer
from trtproof.scoring.drops import Levels, Method, measure_drops
from trtproof.scoring.f1 import F1
from trtproof.scoring.floors import Scored, bound_scores
from trtproof.scoring.own import OwnScorer
from trtproof.scoring.regression import ERRORS, NumberErrors
from trtproof.scoring.rescoring import Paired
from trtproof.scoring.segmentation import MEAN_IOU, decode_map, encode_map
from trtproof.scoring.values import pack_value
from trtproof.scoring.wer import WER, CtcErrorRate

LEVELS = Levels(shown=0.95, gate=0.99)


def batch_of(count):
    return Batch(feeds={}, labels=None, indices=range(count))


def bounds(found):
    """Return an interval that there is."""
    assert found is not None
    return found


def paired(labels, reference, variant):
    return Paired(range(len(labels)), labels, reference, variant)


def test_mean_iou_is_over_all_pixels_and_leaves_ignored_ones_out():
    labels = [[[0, 0], [1, 255]], [[1, 1], [1, 0]]]
    found = [[[0, 1], [1, 1]], [[1, 1], [0, 0]]]
    # class 0: 2 right of 4 in either; class 1: 3 right of 5 in either; 5 of 7 pixels are right
    scores = MEAN_IOU.score([encode_map(np.array(item)) for item in found], labels)
    assert scores["mean_iou_pct"] == pytest.approx(100 * (2 / 4 + 3 / 5) / 2)
    assert scores["pixel_accuracy_pct"] == pytest.approx(100 * 5 / 7)


def test_a_class_that_neither_labels_nor_predictions_have_does_not_count():
    labels = [[[0, 7]]]
    assert MEAN_IOU.score([encode_map(np.array([[0, 7]]))], labels)["mean_iou_pct"] == 100


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 7)])
def test_a_class_map_comes_back_from_its_runs(shape):
    classes = np.random.default_rng(0).integers(0, 2, shape)
    np.testing.assert_array_equal(decode_map(encode_map(classes)), classes)


def test_labels_of_another_size_are_refused_with_the_repair():
    with pytest.raises(InputError, match=r"size, got \(1, 3\) for \(1, 2\).*resize"):
        MEAN_IOU.score([encode_map(np.zeros((1, 2)))], [[[0, 0, 0]]])


def test_an_array_stored_as_a_label_is_a_class_map():
    stored = pack_value(np.array([[0, 1]]), owner="the dataset")
    assert MEAN_IOU.score([encode_map(np.array([[0, 1]]))], [stored])["mean_iou_pct"] == 100


def test_f1_is_scikit_learns():
    random = np.random.default_rng(0)
    labels, found = random.integers(0, 5, (2, 80)).tolist()
    scores = F1.score(found, labels)
    assert scores["f1_macro_pct"] == pytest.approx(100 * f1_score(labels, found, average="macro"))
    assert scores["f1_micro_pct"] == pytest.approx(100 * f1_score(labels, found, average="micro"))


def test_f1_of_sets_counts_every_class_of_a_sample():
    scores = F1.score([["a", "b"], [], ["c"]], [["a"], ["b"], ["c"]])
    assert scores["f1_micro_pct"] == pytest.approx(100 * 4 / (4 + 1 + 1))
    assert scores["exact_match_pct"] == pytest.approx(100 / 3)


def test_an_exact_match_has_the_exact_interval_and_f1_the_bootstraps():
    labels = [place % 3 for place in range(200)]
    variant = [0 if place < 40 else label for place, label in enumerate(labels)]
    drops = measure_drops(F1, paired(labels, labels, variant), LEVELS)
    assert drops["exact_match_pct"].method is Method.EXACT
    assert drops["f1_macro_pct"].method is Method.SUMS
    low, high = bounds(drops["f1_macro_pct"].gate)
    assert low < drops["f1_macro_pct"].value < high


def test_answers_are_scored_by_their_words_against_the_best_allowed_one():
    scorer = load_scorer("answers")
    scores = scorer.score(["The  red, house", "no"], [["a house", "red house"], "yes"])
    assert scores == {"answer_f1_pct": 50.0, "answer_match_pct": 50.0}
    assert scorer.score(["red house"], ["house"])["answer_f1_pct"] == pytest.approx(100 * 2 / 3)


def test_the_word_error_rate_is_over_all_words_and_not_the_mean_of_rates():
    pytest.importorskip("jiwer")
    labels, found = ["one", "one two three four five six seven"], ["two", labels_text()]
    assert WER.score(found, labels)["wer_pct"] == pytest.approx(100 * 1 / 8)


def labels_text():
    return "one two three four five six seven"


def test_more_word_errors_are_a_loss():
    pytest.importorskip("jiwer")
    labels = [f"word {place} is said" for place in range(60)]
    worse = [text.replace("said", "sad") if place % 3 == 0 else text
             for place, text in enumerate(labels)]  # fmt: skip
    drop = measure_drops(WER, paired(labels, labels, worse), LEVELS)["wer_pct"]
    assert drop.value == pytest.approx(100 * 20 / 240)
    assert drop.method is Method.SUMS
    low, high = bounds(drop.gate)
    assert 0 < low < drop.value < high < 100


def test_a_label_without_a_word_is_refused():
    pytest.importorskip("jiwer")
    with pytest.raises(InputError, match="at least one word"):
        WER.score(["a"], [" "])


def test_the_best_path_of_a_ctc_head_is_read_without_repeats_and_blanks():
    scorer = CtcErrorRate(vocabulary=("", "|", "a", "b"))
    path = [0, 2, 2, 0, 2, 1, 3, 3, 0]
    outputs = {"logits": np.eye(4)[path][np.newaxis]}
    assert scorer.predictions(outputs, batch_of(1)) == ["aa b"]
    with pytest.raises(InputError, match="vocabulary of 2 symbols, the output has 4"):
        CtcErrorRate(vocabulary=("", "a")).predictions(outputs, batch_of(1))


def test_errors_of_numbers_are_in_the_labels_unit():
    scorer = NumberErrors(unit="kelvin")
    scores = scorer.score([[1.0, 3.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]])
    assert scores == pytest.approx({"mae_kelvin": 6 / 4, "rmse_kelvin": (14 / 4) ** 0.5})


def test_the_root_of_a_mean_square_is_resampled_as_such():
    random = np.random.default_rng(0)
    labels = random.normal(size=300).tolist()
    reference, variant = (
        [[label + error] for label, error in zip(labels, random.normal(0, width, 300), strict=True)]
        for width in (0.1, 0.5)
    )
    drops = measure_drops(ERRORS, paired(labels, reference, variant), LEVELS)
    assert drops["mae_units"].method is Method.BOOTSTRAP
    assert drops["rmse_units"].method is Method.SUMS
    assert drops["rmse_units"].value == pytest.approx(0.4, abs=0.1)
    low, high = bounds(drops["rmse_units"].shown)
    assert low < drops["rmse_units"].value < high


def test_there_is_no_error_of_numbers_that_are_none():
    assert ERRORS.predictions({"y": np.array([[1.0], [np.nan]])}, batch_of(2)) == [[1.0], None]
    assert ERRORS.score([[1.0], None], [1.0, 2.0]) == {}


def test_labels_of_another_number_are_refused():
    with pytest.raises(InputError, match="got 1 for 2"):
        ERRORS.score([[1.0, 2.0]], [1.0])


def test_few_samples_that_differ_give_no_interval_of_a_set_figure():
    labels = [0, 1] * 100
    drop = measure_drops(F1, paired(labels, labels, [1, *labels[1:]]), LEVELS)["f1_macro_pct"]
    assert drop.method is Method.NONE
    assert "1 of 200 samples differ" in drop.reason


def test_a_set_figure_has_an_interval_of_its_own():
    random = np.random.default_rng(0)
    labels, found = random.integers(0, 3, (2, 400)).tolist()
    score = bound_scores(F1, Scored(range(400), labels, found), 0.99)["f1_macro_pct"]
    low, high = bounds(score.gate)
    assert low < score.value < high
    assert high - low < 20


def test_intervals_of_a_ratio_of_sums_hold_the_truth_as_often_as_they_say():
    """A ratio whose weights go with its errors, so that the mean of ratios is another figure."""
    random, held, trials, samples = np.random.default_rng(0), 0, 50, 120
    for _ in range(trials):
        sizes = random.integers(1, 8, samples)
        labels = [[0] * int(size) for size in sizes]
        wrong = random.random(samples) < sizes / 20
        scorer = NumberErrors()
        reference = [[0.0] * int(size) for size in sizes]
        variant = [
            [float(is_wrong)] * int(size) for is_wrong, size in zip(wrong, sizes, strict=True)
        ]
        drop = measure_drops(scorer, paired(labels, reference, variant), LEVELS)["mae_units"]
        assert drop.method is Method.SUMS
        # of sizes 1 to 7 alike: sum of size * size / 20 by sum of size
        truth = -sum(size * size / 20 for size in range(1, 8)) / sum(range(1, 8))
        low, high = bounds(drop.shown)
        held += low <= -truth <= high
    assert held >= 0.9 * trials


def test_mean_average_precision_is_pycocotools():
    pytest.importorskip("pycocotools")
    outputs, labels = MAKERS["coco_map"](np.random.default_rng(3), 30)
    for label in labels:
        label["crowd"] = [1] + [0] * (len(label["classes"]) - 1)
    scorer = load_scorer("coco_map")
    predictions = scorer.predictions(outputs, batch_of(30))
    assert list(scorer.score(predictions, labels).values()) == pytest.approx(
        official(predictions, labels), abs=1e-9
    )


def official(predictions, labels):
    """Return AP, AP50 and AP75 in percent as pycocotools itself accumulates them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from trtproof.scoring.coco import _annotations

    sides = []
    with redirect_stdout(io.StringIO()):
        for items in (labels, predictions):
            side = COCO()
            rows = [row for image, item in enumerate(items, 1) for row in _annotations(item, image)]
            side.dataset = {
                "images": [{"id": image} for image in range(1, len(labels) + 1)],
                "categories": [{"id": index} for index in range(3)],
                "annotations": [{"id": place, **row} for place, row in enumerate(rows, 1)],
            }
            side.createIndex()
            sides.append(side)
        found = COCOeval(*sides, iouType="bbox")
        found.evaluate()
        found.accumulate()
        found.summarize()
    return [100 * value for value in found.stats[:3]]


def test_a_worse_detector_loses_average_precision_surely():
    pytest.importorskip("pycocotools")
    outputs, labels = MAKERS["coco_map"](np.random.default_rng(3), 40)
    scorer = load_scorer("coco_map")
    reference = scorer.predictions(outputs, batch_of(40))
    moved = outputs | {"boxes": outputs["boxes"] + 6.0}
    variant = scorer.predictions(moved, batch_of(40))
    drop = measure_drops(scorer, paired(labels, reference, variant), LEVELS)["map_pct"]
    assert drop.method is Method.SUMS
    low, high = bounds(drop.gate)
    assert 0 < low < drop.value < high


def test_boxes_and_classes_of_unequal_number_are_refused_with_the_sample():
    pytest.importorskip("pycocotools")
    label = {"boxes": [[0, 0, 1, 1]], "classes": [1, 2]}
    with pytest.raises(InputError, match="label of sample 1 is not boxes"):
        load_scorer("coco_map").score([None, None], [{"boxes": [], "classes": []}, label])


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    absent = Extra(module="no_such_package", name="speech")
    monkeypatch.setattr("trtproof.scoring.wer.WER", replace(WER, extra=absent))
    with pytest.raises(MissingExtraError, match=r"wer needs no_such_package.*trtproof\[speech\]"):
        load_scorer("wer")


class Nearest(NumberErrors):
    """A scorer of the user's own that builds on a shipped one."""

    def predictions(self, outputs, batch):
        return [np.rint(row) for row in outputs["y"]]


def test_a_scorer_that_builds_on_a_shipped_one_keeps_its_interval_and_direction():
    scorer = OwnScorer("mine:SCORER", Nearest(unit="years"))
    random = np.random.default_rng(0)
    reference, variant = (
        scorer.predictions({"y": random.normal(0, width, (200, 1))}, batch_of(200))
        for width in (1, 3)
    )
    drop = measure_drops(scorer, paired([0.0] * 200, reference, variant), LEVELS)["rmse_years"]
    assert drop.method is Method.SUMS
    assert drop.value > 1
