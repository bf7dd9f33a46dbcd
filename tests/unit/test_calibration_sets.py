"""Good and bad calibration sets of the digits network, told apart as docs/calibration.md says."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.onnx_graphs import dataset
from tests.quantisation_graphs import digits

from trtproof.calibration import Calibration
from trtproof.calibration.coverage import describe_evaluation, hash_samples
from trtproof.calibration.exchangeability import find_differing, measure_exceedance
from trtproof.calibration.samples import Samples
from trtproof.calibration_check import compare
from trtproof.calibration_verdict import CalibrationVerdict, judge
from trtproof.data.digits import load_part
from trtproof.data_pass import collect
from trtproof.errors import CalibrationError
from trtproof.tensor import Array, Feeds

CHECKED = 250


@cache
def pool() -> tuple[Array, Array]:
    """Return the images and classes that calibration sets are taken from."""
    parts = [load_part("training"), load_part("calibration")]
    labels = np.concatenate([classes for _, classes in parts])
    return np.concatenate([images for images, _ in parts]), labels


@cache
def evaluation() -> Calibration:
    return run({"input": digits().images[:CHECKED]}, split="evaluation")


def run(feeds: Feeds, **options: Any) -> Calibration:
    return collect(digits().model, dataset(feeds), batch=16, threads=1, **options)


def verdict(images: Array) -> CalibrationVerdict:
    calibration = run({"input": images.astype(np.float32)})
    others = evaluation()
    hashes = hash_samples(dataset({"input": digits().images[:CHECKED]}), 16)
    stated = describe_evaluation(calibration.samples, hashes, others.samples)
    coverage = dict(calibration.coverage) | {"evaluation": stated}
    return judge(compare(calibration, others, set(others.samples.sizes)), coverage)


def drawn(count: int, seed: int = 0) -> Array:
    images, _ = pool()
    return images[np.random.default_rng(seed).choice(len(images), count, replace=False)]


def balanced() -> Array:
    images, labels = pool()
    return images[np.concatenate([np.nonzero(labels == one)[0][:10] for one in range(10)])]


def of_classes(*classes: int) -> Array:
    images, labels = pool()
    return images[np.isin(labels, classes)][:100]


def noise(kind: str) -> NDArray[np.float64]:
    generator = np.random.default_rng(0)
    shape = (100, 1, 16, 16)
    return generator.random(shape) if kind == "uniform" else generator.standard_normal(shape)


def blurred(images: Array) -> Array:
    wide = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    return np.mean([wide[:, :, y : y + 16, x : x + 16] for y in range(3) for x in range(3)], axis=0)


@pytest.mark.parametrize("images", [balanced(), drawn(100), drawn(300, 1), drawn(32), drawn(10)])
def test_draws_of_the_same_digits_are_alike(images: Array) -> None:
    found = verdict(images)
    assert found.word == "alike", found
    few = any("only" in remark for remark in found.remarks)
    assert few == (len(images) < 100)


@pytest.mark.parametrize(
    "images",
    [
        of_classes(0, 1),
        of_classes(1),
        1 - balanced(),
        np.rot90(balanced(), 1, (2, 3)),
        blurred(balanced()),
        np.tile(drawn(10), (10, 1, 1, 1)),
    ],
    ids=["classes 0 and 1", "class 1", "inverted", "rotated", "blurred", "ten images repeated"],
)
def test_other_digits_are_different_but_said_to_be_harmless(images: Array) -> None:
    found = verdict(images)
    assert found.word == "different", found
    assert "harmlessly" in found.summary
    assert found.differences
    found.refuse_harm()


@pytest.mark.parametrize("images", [noise("uniform"), 1.5 * balanced()], ids=["noise", "bright"])
def test_ranges_that_are_somewhat_wrong_are_said_to_cost_precision(images: Array) -> None:
    found = verdict(images)
    assert found.word == "different", found
    assert "costs some precision" in found.summary


@pytest.mark.parametrize(
    "images",
    [
        0.3 * balanced(),
        0.6 * balanced(),
        0.5 * balanced() + 0.25,
        16 * balanced(),
        255 * balanced(),
        noise("gauss"),
        np.tile(balanced()[:1], (10, 1, 1, 1)),
        np.zeros((4, 1, 16, 16)),
    ],
    ids=["dark", "dim", "flat", "x16", "x255", "gauss", "one image", "zeros"],
)
def test_ranges_that_ruin_int8_stop_with_the_tensors_and_the_repair(images: Array) -> None:
    found = verdict(images)
    assert found.word == "harmful", found
    with pytest.raises(CalibrationError) as stopped:
        found.refuse_harm()
    text = str(stopped.value)
    assert "\n" not in text
    assert repr(found.worst[0]) in text
    assert "`calibrate.harmful: warn`" in text


def test_zeros_are_called_what_they_are() -> None:
    assert "zero in every calibration sample" in verdict(np.zeros((4, 1, 16, 16))).summary


def test_evaluation_inputs_among_the_calibration_samples_are_remarked() -> None:
    mixed = np.concatenate([drawn(95), digits().images[:5]])
    (remark,) = verdict(mixed).remarks
    assert remark.startswith("5 of 100 calibration samples are evaluation inputs too")


def test_two_odd_evaluation_inputs_are_remarked_and_do_not_condemn_the_set() -> None:
    images = digits().images[:CHECKED].copy()
    images[[3, 77]] *= 100
    odd = run({"input": images}, split="evaluation")
    hashes = hash_samples(dataset({"input": images}), 16)
    calibration = run({"input": drawn(300, 1)})
    stated = describe_evaluation(calibration.samples, hashes, odd.samples)
    comparison = compare(calibration, odd, set(odd.samples.sizes))
    found = judge(comparison, dict(calibration.coverage) | {"evaluation": stated})
    assert found.word == "alike", found
    assert any("a few evaluation inputs go far beyond" in line for line in found.remarks)


def test_repeated_images_are_remarked() -> None:
    repeated = np.tile(drawn(50), (2, 1, 1, 1))
    assert any("50 of 100 samples repeat others" in line for line in verdict(repeated).remarks)


@cache
def everything() -> Samples:
    """Return what the network does to every image that it has, test images included."""
    images, _ = pool()
    return run({"input": np.concatenate([images, digits().images])}).samples


def taken(rows: NDArray[np.int64]) -> Samples:
    whole = everything()
    digests = [whole.digests[row] for row in rows]
    return Samples(digests, {name: sizes[rows] for name, sizes in whole.sizes.items()})


@pytest.mark.parametrize("count", [10, 100, 300])
def test_random_draws_of_all_digits_raise_no_alarm(count: int) -> None:
    generator = np.random.default_rng(count)
    alarms = 0
    for _ in range(8):
        rows = generator.permutation(len(everything().digests))
        first, second = taken(rows[:count]), taken(rows[count : count + CHECKED])
        exceedance = measure_exceedance(first, second)
        alarms += exceedance.p_value <= 0.01 and exceedance.ratio > 3
        alarms += len(find_differing(first, second)) > 0.05 * len(first.sizes)
    # At 2 % at most in all, two alarms in 8 draws come once in a hundred times.
    assert alarms <= 1


def test_more_of_two_classes_make_more_tensors_differ() -> None:
    images, labels = pool()
    generator = np.random.default_rng(0)
    two, others = (np.nonzero(mask)[0] for mask in (labels < 2, labels >= 2))
    shares = []
    for count in (20, 80, 100):
        rows = [generator.choice(two, count, replace=False)]
        rows.append(generator.choice(others, 100 - count, replace=False))
        samples = run({"input": images[np.concatenate(rows)]}).samples
        found = find_differing(samples, evaluation().samples)
        shares.append(len(found) / len(samples.sizes))
    assert shares[0] == 0
    assert 0.2 < shares[1] <= shares[2]
