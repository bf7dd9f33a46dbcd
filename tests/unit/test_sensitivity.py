"""Which layers cost accuracy, and the shortest list to leave out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.onnx_graphs import Example, dataset, masked_attention, residual_convolution, two_inputs
from tests.quantisation_graphs import (
    calibrate,
    masked_transformer,
    shared_weights,
    shortcut_convolution,
)

from trtproof.errors import ConfigError, InputError
from trtproof.precision import PASSES
from trtproof.precision.explicit import ExplicitPass
from trtproof.sensitivity import (
    Bench,
    Layer,
    Study,
    load_explicit,
    predict,
    read_layers,
    shortest_list,
    study,
    to_db,
)

NOTHING: dict[str, Any] = {}


def measure(
    example: Example, folder: Path, *, name: str = "int8", exclude: Sequence[str] = ()
) -> Study:
    source = example.write(folder)
    samples = dataset(example.feeds)
    bench = Bench(source, samples, samples=12, batch=5)
    options = {"exclude": list(exclude)}
    return study(source, load_explicit(name), calibrate(example, source), options, bench)


@pytest.mark.parametrize("name", ["int8", "fp8"])
@pytest.mark.parametrize(
    "example",
    [shortcut_convolution(), shared_weights(), masked_transformer()],
    ids=["residual", "shared weights", "attention"],
)
def test_single_errors_add_up_to_the_whole_models(
    example: Example, name: str, tmp_path: Path
) -> None:
    found = measure(example, tmp_path, name=name)
    whole, predicted = to_db(found.noise), to_db(predict(found.layers))
    assert whole is not None
    assert predicted == pytest.approx(whole, abs=2.0)
    noises = [layer.noise for layer in found.layers]
    assert noises == sorted(noises, reverse=True)


def test_every_quantised_node_is_a_layer_the_residual_sum_too(tmp_path: Path) -> None:
    found = measure(shortcut_convolution(), tmp_path)
    assert {layer.node: layer.operator for layer in found.layers} == {
        "net/c1": "Conv",
        "net/deep": "Conv",
        "net/short": "Conv",
        "net/add": "Add",
    }


def test_a_coarse_layer_is_the_worst_and_leaving_it_out_leaves_the_others_error(
    tmp_path: Path,
) -> None:
    example = shortcut_convolution()
    spoilt = next(item for item in example.proto.graph.initializer if item.name == "w1")
    values = onnx.numpy_helper.to_array(spoilt).copy()
    values[:, 0, 0, 0] *= 60  # one large value per channel: few steps are left for the others
    spoilt.CopyFrom(onnx.numpy_helper.from_array(values, "w1"))
    found = measure(example, tmp_path / "all")
    assert found.layers[0].node == "net/c1"
    without = measure(example, tmp_path / "without", exclude=["net/c1"])
    assert "net/c1" not in {layer.node for layer in without.layers}
    assert without.noise < found.noise / 2


def test_the_same_samples_give_the_same_figures_in_other_batches(tmp_path: Path) -> None:
    example = residual_convolution()
    source = example.write(tmp_path)
    ranges = calibrate(example, source)
    found = []
    for batch in (3, 12):
        bench = Bench(source, dataset(example.feeds), samples=12, batch=batch)
        found.append(study(source, load_explicit("int8"), ranges, NOTHING, bench).to_json())
    assert found[0] == found[1]


def test_only_so_many_samples_are_measured_on(tmp_path: Path) -> None:
    example = residual_convolution()
    bench = Bench(example.write(tmp_path), dataset(example.feeds), samples=4, batch=2)
    assert bench.samples_count == 4


def test_without_a_quantised_layer_there_is_nothing_to_rank(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="quantises no layer"):
        measure(two_inputs(), tmp_path)


def test_an_output_that_is_zero_has_no_ratio(tmp_path: Path) -> None:
    example = masked_attention()
    source = example.write(tmp_path)
    zeros = {name: np.zeros_like(values) for name, values in example.feeds.items()}
    with pytest.raises(InputError, match="zero or not finite"):
        Bench(source, dataset(zeros), samples=4, batch=2)


@pytest.mark.parametrize("name", list(PASSES))
def test_a_pass_without_layers_of_its_own_is_refused(name: str) -> None:
    if isinstance(PASSES.load(name), ExplicitPass):
        assert load_explicit(name).precision == name
        return
    with pytest.raises(ConfigError, match=f"pass {name} does not quantise layer by layer"):
        load_explicit(name)


def test_a_layer_that_breaks_an_output_is_kept_as_infinite() -> None:
    layers = (Layer("a", "Conv", math.inf), Layer("b", "Conv", 1e-3))
    stored = Study(layers, math.inf, 3).to_json()
    assert stored["layers"][0]["noise"] is None
    assert read_layers(stored) == list(layers)


noises = st.lists(st.floats(1e-9, 1e-2), min_size=1, max_size=12)


@given(noises, st.floats(10, 90))
def test_no_shorter_list_of_layers_meets_the_budget(values: list[float], budget: float) -> None:
    layers = [Layer(str(i), "Conv", value) for i, value in enumerate(sorted(values, reverse=True))]
    allowed = 10 ** (-budget / 10)
    count = shortest_list(layers, noise=allowed)
    assert predict(layers[count:]) <= allowed
    # Whichever layers one fewer leaves, at least the smallest ones' noise is left.
    if count:
        assert predict(layers[count - 1 :]) > allowed
