from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.config import AxisConfig, ParityConfig
from trtproof.errors import ModelError
from trtproof.parity import require_parity
from trtproof.tensor import TensorSpec

SPECS = [TensorSpec("x", "float32", ("batch", "length"))]
AXES = {"batch": AxisConfig(min=1, opt=4, max=9), "length": AxisConfig(min=2, opt=5, max=7)}
LIMITS = ParityConfig(max_relative_error=1e-4, min_cosine=0.99999)
FEEDS = {"x": np.random.default_rng(0).standard_normal((9, 5), dtype=np.float32)}


def double(feeds):
    return {"y": feeds["x"] * 2, "z": feeds["x"].sum(axis=1)}


def check(exported, *, reference=double, axes=AXES, limits=LIMITS):
    return require_parity(reference, exported, FEEDS, SPECS, axes=axes, limits=limits)


def test_equal_functions_have_no_error_at_min_opt_and_max_of_all_axes_together():
    figures = check(double)
    assert [(f.bound, dict(f.extents), f.output) for f in figures] == [
        (bound, {"batch": batch, "length": length}, output)
        for bound, batch, length in (("min", 1, 2), ("opt", 4, 5), ("max", 9, 7))
        for output in ("y", "z")
    ]
    assert {(f.max_abs, f.max_relative) for f in figures} == {(0.0, 0.0)}
    assert [f.cosine for f in figures] == pytest.approx([1.0] * 6)


def test_both_sides_see_real_samples_of_the_stated_shapes():
    seen = []

    def watch(feeds):
        seen.append(feeds["x"])
        return double(feeds)

    check(watch)
    assert [array.shape for array in seen] == [(1, 2), (4, 5), (9, 7)]
    assert all(np.isin(array, FEEDS["x"]).all() for array in seen)


def test_a_model_of_fixed_shape_is_compared_once():
    specs = [TensorSpec("x", "float32", (9, 5))]
    found = require_parity(double, double, FEEDS, specs, axes={}, limits=LIMITS)
    assert [(f.bound, dict(f.extents)) for f in found] == [("opt", {})] * 2


@given(st.floats(1e-3, 10), st.integers(0, 1))
def test_an_error_beyond_the_limit_names_the_worst_output_its_extents_and_the_value(error, which):
    worst = ["y", "z"][which]

    def wrong(feeds):
        found = double(feeds)
        slightly = found["y" if which else "z"]
        slightly += np.float32(2e-4) * np.abs(slightly).max()
        if len(feeds["x"]) == 4:
            found[worst] += np.float32(error * 10) * np.abs(found[worst]).max()
        return found

    with pytest.raises(ModelError, match=f"output '{worst}' at batch=4, length=5") as caught:
        check(wrong)
    stated = float(str(caught.value).split("differs by ")[1].split()[0])
    assert stated == pytest.approx(error * 10, rel=0.06)
    assert "\n" not in str(caught.value)


def test_the_figures_are_what_they_are_called():
    def add(feeds):
        found = double(feeds)
        return found | {"y": found["y"] + np.float32(0.5)}

    limits = ParityConfig(max_relative_error=10.0, min_cosine=0.0)
    for figure in check(add, limits=limits):
        if figure.output != "y":
            continue
        shape = (figure.extents["batch"], figure.extents["length"])
        x = np.take(FEEDS["x"], np.arange(shape[0]), axis=0)
        y = 2 * np.take(x, np.arange(shape[1]) % 5, axis=1).astype(np.float64)
        assert figure.max_abs == pytest.approx(0.5, rel=1e-6)
        assert figure.max_relative == pytest.approx(0.5 / np.abs(y).max(), rel=1e-6)
        cosine = (y * (y + 0.5)).sum() / np.linalg.norm(y) / np.linalg.norm(y + 0.5)
        assert figure.cosine == pytest.approx(cosine, rel=1e-6)


def test_a_small_error_in_a_large_range_can_still_fail_by_its_direction():
    def reference(feeds):
        return {"y": np.ones_like(feeds["x"])}

    def noisy(feeds):
        signs = np.where(np.arange(feeds["x"].size) % 2, 1, -1).reshape(feeds["x"].shape)
        return {"y": (1 + 0.2 * signs).astype(np.float32)}

    limits = ParityConfig(max_relative_error=0.5, min_cosine=0.99)
    with pytest.raises(ModelError, match=r"cosine 0\.98"):
        check(noisy, reference=reference, limits=limits)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("side", "owner"), [("reference", "the model"), ("exported", "its export")]
)
def test_nan_and_infinity_fail_and_say_whose_they_are(side, owner, value):
    def broken(feeds):
        found = double(feeds)
        found["z"][-1] = value
        return found

    functions = {"reference": double, "exported": double} | {side: broken}
    with pytest.raises(ModelError, match=f"output 'z' at batch=1, length=2: {owner} gives 1 NaN"):
        check(functions["exported"], reference=functions["reference"])


def test_an_extent_fixed_by_the_trace_is_told_as_such():
    def fixed(feeds):
        return {
            name: np.resize(array, (4, *array.shape[1:])) for name, array in double(feeds).items()
        }

    with pytest.raises(ModelError, match=r"shape \[1, 2\], its export \[4, 2\]"):
        check(fixed)


def test_a_missing_output_is_named():
    with pytest.raises(ModelError, match=r"output 'z'.* no such output"):
        check(lambda feeds: {"y": double(feeds)["y"]})


def test_outputs_of_zeros_agree_with_zeros_and_with_nothing_else():
    def zeros(feeds):
        return {"y": np.zeros_like(feeds["x"])}

    assert {(f.max_relative, f.cosine) for f in check(zeros, reference=zeros)} == {(0.0, 1.0)}
    with pytest.raises(ModelError, match="differs by inf"):
        check(lambda feeds: {"y": np.full_like(feeds["x"], 1e-9)}, reference=zeros)


def test_integer_and_boolean_outputs_are_compared_by_value():
    def classes(feeds):
        return {"c": np.ones(len(feeds["x"]), np.int64), "b": np.ones(len(feeds["x"]), bool)}

    assert {f.max_abs for f in check(classes, reference=classes)} == {0.0}


def test_recorded_figures_are_rounded_so_that_noise_does_not_change_the_record():
    def nearly(feeds):
        found = double(feeds)
        return found | {"y": found["y"] * np.float32(1.00001234)}

    record = check(nearly)[0].to_json()
    assert record["max_relative"] == 1.2e-05
    assert json.loads(json.dumps(record)) == record
