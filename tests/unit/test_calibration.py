from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper
from tests.onnx_graphs import (
    Example,
    dataset,
    masked_attention,
    model,
    residual_convolution,
    single,
)

from trtproof import data_pass
from trtproof.artifacts import sha256_folder
from trtproof.calibration import Calibration
from trtproof.calibration import histogram as histogram_module
from trtproof.calibration.histogram import BINS, Accumulator, Statistics, bin_edges, count_bins
from trtproof.data_pass import choose_evaluation, collect, multiplied_tensors
from trtproof.errors import CalibrationError, InputError, MissingFileError, ModelError
from trtproof.precision.graph import load_model
from trtproof.tensor import Array, Feeds

FLOATS = arrays(
    np.float32,
    st.integers(0, 40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def statistics(*parts: Array) -> Statistics:
    accumulator = Accumulator()
    for part in parts:
        assert accumulator.add(part)
    return accumulator.statistics()


def same(first: Statistics, second: Statistics) -> bool:
    ends = (first.lowest, first.highest) == (second.lowest, second.highest)
    arrays_equal = np.array_equal(first.bins, second.bins) and np.array_equal(
        first.counts, second.counts
    )
    return ends and arrays_equal


@given(st.lists(FLOATS, min_size=1, max_size=5), st.randoms())
def test_order_and_partition_of_values_do_not_show(parts: list[Array], random: object) -> None:
    shuffled = parts[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    whole = np.random.default_rng(0).permutation(np.concatenate(parts))
    assert same(statistics(*parts), statistics(*shuffled))
    assert same(statistics(*parts), statistics(whole))
    assert repr(statistics(*parts).lowest) == repr(statistics(whole).lowest)


@pytest.mark.parametrize("zeros", [(0.0, -0.0), (-0.0, 0.0)])
def test_which_of_the_two_zeros_came_first_does_not_show(zeros: tuple[float, float]) -> None:
    found = statistics(*(single([value]) for value in zeros))
    assert (repr(found.lowest), repr(found.highest)) == ("0.0", "0.0")


@given(FLOATS, FLOATS, FLOATS)
def test_merging_is_associative_and_commutative(first: Array, second: Array, third: Array) -> None:
    one, two, three = map(statistics, (first, second, third))
    assert same(one.merge(two), two.merge(one))
    assert same(one.merge(two).merge(three), one.merge(two.merge(three)))
    assert same(one.merge(two), statistics(first, second))


@given(FLOATS)
def test_every_value_is_counted_in_the_bin_whose_edges_hold_its_magnitude(values: Array) -> None:
    found = statistics(values)
    assert found.values_count == values.size
    lower = bin_edges(found.bins)
    upper = bin_edges(found.bins + 1)
    for start, end, count in zip(lower, upper, found.counts, strict=True):
        magnitude = np.abs(values.astype(np.float64))
        assert ((magnitude >= start) & (magnitude < end)).sum() == count
    if values.size:
        assert (found.lowest, found.highest) == (values.min(), values.max())


def test_a_bin_is_no_wider_than_a_256th_of_its_values() -> None:
    bins = count_bins(single([1e-30, 1.0, 1.5, 3.0, 1e30])).nonzero()[0]
    edges, ends = bin_edges(bins), bin_edges(bins + 1)
    assert ((ends - edges) / edges <= 1 / 128).all()
    assert len(bins) == 5


def test_values_are_counted_in_chunks_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).standard_normal(1001).astype(np.float32)
    whole = count_bins(values)
    monkeypatch.setattr(histogram_module, "CHUNK", 10)
    assert np.array_equal(count_bins(values), whole)
    assert whole.size == BINS


def write(example: Example, folder: Path, **changes: object) -> dict[str, str]:
    """Calibrate and return the hashes of the files."""
    path = example.write(folder / "model")
    settings_ = {"batch": 5, "threads": 1, "feeds": example.feeds} | changes
    calibration = collect(
        path,
        dataset(settings_["feeds"], labels=settings_.get("labels")),  # type: ignore[arg-type]
        batch=settings_["batch"],  # type: ignore[arg-type]
        threads=settings_["threads"],  # type: ignore[arg-type]
    )
    out = folder / "out"
    out.mkdir()
    calibration.write(out)
    return sha256_folder(out)


def reordered(feeds: Feeds, seed: int) -> Feeds:
    order = np.random.default_rng(seed).permutation(12)
    return {name: array[order] for name, array in feeds.items()}


@pytest.mark.parametrize("make", [residual_convolution, masked_attention])
def test_batch_threads_order_and_number_of_passes_do_not_show_in_the_files(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = make()  # type: ignore[operator]
    files = [
        write(example, tmp_path / "a"),
        write(example, tmp_path / "b", batch=1),
        write(example, tmp_path / "c", batch=12, threads=2),
        write(example, tmp_path / "d", feeds=reordered(example.feeds, 1)),
        write(example, tmp_path / "e", feeds=reordered(example.feeds, 2), batch=7),
    ]
    monkeypatch.setattr("trtproof.data_pass.TENSORS_PER_PASS", 1)
    files.append(write(example, tmp_path / "f"))
    assert set(files[0]) == {"histograms.npz", "ranges.json", "coverage.json"}
    assert all(item == files[0] for item in files)


def test_another_sample_changes_the_files(tmp_path: Path) -> None:
    example = residual_convolution()
    other = {"input": example.feeds["input"] * single(1.01)}
    before, after = write(example, tmp_path / "a"), write(example, tmp_path / "b", feeds=other)
    assert all(before[name] != after[name] for name in before)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.125, 10, width=32))
def test_ranges_are_the_signed_extremes_of_what_the_graph_computes(scale: float) -> None:
    node = helper.make_node("Mul", ["x", "scale"], ["y"], name="mul")
    proto = model(
        [node],
        {"x": (TensorProto.FLOAT, ("batch", 3))},
        {"y": ("batch", 3)},
        {"scale": single([scale])},
    )
    feeds = {"x": single([[-2, 0, 1], [3, 0.5, -1]])}
    with tempfile.TemporaryDirectory() as folder:
        path = Example(proto, feeds).write(Path(folder))
        found = collect(path, dataset(feeds), batch=1, threads=1)
    assert found.ranges["x"] == (-2.0, 3.0)
    expected = single([-2, 3]) * np.float32(scale)
    assert found.ranges["y"] == (float(expected[0]), float(expected[1]))
    assert found.histogram("y").values_count == 6


def test_every_float32_activation_has_a_range_and_nothing_else_has(tmp_path: Path) -> None:
    example = masked_attention()
    found = collect(example.write(tmp_path), dataset(example.feeds), batch=4, threads=1)
    assert set(found.tensors) == {
        *("input", "q", "k", "v", "kt", "scores", "scaled", "masked", "weights", "mixed", "output")
    }


def test_too_many_activations_are_collected_in_several_passes_of_smaller_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = residual_convolution()
    path = example.write(tmp_path)
    graph = load_model(path)
    samples = dataset(example.feeds)
    assert len(data_pass.plan_passes(graph, samples, 12).groups) == 1
    image_bytes, feature_bytes = 3 * 64 * 4, 8 * 64 * 4
    monkeypatch.setattr(data_pass, "ACTIVATION_BYTES", image_bytes + 2 * feature_bytes)
    plan = data_pass.plan_passes(graph, samples, 12)
    assert plan.groups[0] == ("input", "c1", "r1")
    assert plan.batch == 1
    monkeypatch.setattr(data_pass, "ACTIVATION_BYTES", 1)
    assert all(len(group) == 1 for group in data_pass.plan_passes(graph, samples, 12).groups)


def poisoned(example: Example, sample: int, value: float) -> Feeds:
    feeds = {name: array.copy() for name, array in example.feeds.items()}
    feeds["input"][sample].reshape(-1)[3] = value
    return feeds


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_a_number_that_is_not_finite_stops_with_its_tensor_and_sample(
    value: float, word: str, tmp_path: Path
) -> None:
    example = residual_convolution()
    feeds = poisoned(example, 7, value)
    with pytest.raises(CalibrationError, match=rf"'input' has a {word} for sample 7 "):
        collect(example.write(tmp_path), dataset(feeds), batch=5, threads=1)


def test_an_activation_that_overflows_stops_with_its_tensor_and_sample(tmp_path: Path) -> None:
    proto = model(
        [helper.make_node("Mul", ["x", "x"], ["square"], name="mul")],
        {"x": (TensorProto.FLOAT, ("batch", 2))},
        {"square": ("batch", 2)},
        {},
    )
    feeds = {"x": single([[1, 2], [1, 1], [1, 3e38]])}
    path = Example(proto, feeds).write(tmp_path)
    with pytest.raises(CalibrationError, match="'square' has a infinity for sample 2 "):
        collect(path, dataset(feeds), batch=2, threads=1)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    example = residual_convolution()
    empty = {"input": example.feeds["input"][:0]}
    with pytest.raises(CalibrationError, match="no samples"):
        collect(example.write(tmp_path), dataset(empty), batch=4, threads=1)


def fixed_batch(extent: int) -> Example:
    proto = model(
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        {"x": (TensorProto.FLOAT, (extent, 2))},
        {"y": (extent, 2)},
        {},
    )
    return Example(proto, {"x": np.arange(24, dtype=np.float32).reshape(12, 2)})


def test_a_model_of_a_fixed_batch_is_run_at_that_batch(tmp_path: Path) -> None:
    example = fixed_batch(4)
    found = collect(example.write(tmp_path), dataset(example.feeds), batch=5, threads=1)
    assert found.ranges["y"] == (0.0, 23.0)
    assert found.histogram("y").values_count == 24


def test_a_fixed_batch_that_does_not_divide_the_samples_is_refused(tmp_path: Path) -> None:
    example = fixed_batch(5)
    with pytest.raises(ModelError, match="exactly 5 samples at once, the split has 12"):
        collect(example.write(tmp_path), dataset(example.feeds), batch=5, threads=1)


def test_coverage_states_classes_duplicates_and_identity_of_the_samples(tmp_path: Path) -> None:
    example = residual_convolution()
    feeds = {"input": example.feeds["input"].copy()}
    feeds["input"][5] = feeds["input"][2]
    path = example.write(tmp_path)
    labels: Sequence[int] = [0, 1, 2] * 4
    found = collect(path, dataset(feeds, labels), batch=4, threads=1).coverage
    assert (found["samples_count"], found["duplicates_count"]) == (12, 1)
    assert found["class_counts"] == {"0": 4, "1": 4, "2": 4}
    assert found["synthetic"] is True
    unlabelled = collect(path, dataset(feeds), batch=4, threads=1).coverage
    assert unlabelled["class_counts"] is None
    assert unlabelled["samples_sha256"] == found["samples_sha256"]
    feeds["input"][0, 0, 0, 0] += 1
    other = collect(path, dataset(feeds), batch=4, threads=1).coverage
    assert other["samples_sha256"] != found["samples_sha256"]


def written(tmp_path: Path) -> Path:
    example = residual_convolution()
    collect(example.write(tmp_path), dataset(example.feeds), batch=4, threads=1).write(tmp_path)
    return tmp_path


def test_what_was_written_is_loaded_exactly(tmp_path: Path) -> None:
    example = residual_convolution()
    made = collect(example.write(tmp_path), dataset(example.feeds), batch=4, threads=1)
    made.write(tmp_path)
    loaded = Calibration.load(tmp_path)
    assert loaded.ranges == made.ranges
    assert loaded.coverage == made.coverage
    assert all(same(loaded.histogram(name), made.histogram(name)) for name in made.tensors)
    stored = json.loads((tmp_path / "ranges.json").read_text())
    assert stored["schema"] == 1
    assert stored["tensors"]["logits"]["count"] == 60


def test_histograms_are_stored_so_that_no_zlib_version_shows(tmp_path: Path) -> None:
    with zipfile.ZipFile(written(tmp_path) / "histograms.npz") as stored:
        assert {item.compress_type for item in stored.infolist()} == {zipfile.ZIP_STORED}


def test_a_tensor_that_was_not_seen_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no histogram of tensor 'nowhere'"):
        Calibration.load(written(tmp_path)).histogram("nowhere")


@pytest.mark.parametrize("name", ["histograms.npz", "ranges.json", "coverage.json"])
def test_a_missing_file_names_the_stage_that_makes_it(name: str, tmp_path: Path) -> None:
    (written(tmp_path) / name).unlink()
    with pytest.raises(MissingFileError, match="dvc repro calibrate"):
        Calibration.load(tmp_path)


@pytest.mark.parametrize("name", ["histograms.npz", "ranges.json"])
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    path = written(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="make it again"):
        Calibration.load(tmp_path)


def test_ranges_of_other_tensors_than_the_histograms_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path) / "ranges.json"
    path.write_text(path.read_text().replace('"logits"', '"other"'))
    with pytest.raises(InputError, match="damaged"):
        Calibration.load(tmp_path)


def heads_in_front() -> Example:
    """Return a product whose first axis holds every sample's two heads."""
    nodes = [
        helper.make_node("Reshape", ["x", "split"], ["heads"], name="split"),
        helper.make_node("MatMul", ["heads", "w"], ["mixed"], name="mix"),
        helper.make_node("Reshape", ["mixed", "join"], ["y"], name="join"),
    ]
    weights = {
        "split": np.array([-1, 3]),
        "w": np.eye(3, dtype=np.float32),
        "join": np.array([-1, 6]),
    }
    proto = model(nodes, {"x": (TensorProto.FLOAT, ("batch", 6))}, {"y": ("batch", 6)}, weights)
    return Example(proto, {"x": np.arange(72, dtype=np.float32).reshape(12, 6)})


def test_sizes_are_those_of_each_sample_wherever_a_tensor_holds_the_batch(tmp_path: Path) -> None:
    example = heads_in_front()
    found = collect(example.write(tmp_path), dataset(example.feeds), batch=4, threads=1)
    assert set(found.samples.sizes) == {"heads"}
    assert sorted(found.samples.sizes["heads"][:, 0]) == example.feeds["x"].max(axis=1).tolist()


def test_sizes_do_not_depend_on_batch_threads_or_order(tmp_path: Path) -> None:
    example = residual_convolution()
    path = example.write(tmp_path)
    first = collect(path, dataset(example.feeds), batch=5, threads=1).samples
    second = collect(path, dataset(reordered(example.feeds, 3)), batch=12, threads=2).samples
    assert first.digests == second.digests
    assert all(np.array_equal(first.sizes[name], second.sizes[name]) for name in first.sizes)
    assert set(first.sizes) == multiplied_tensors(load_model(path))


def test_evaluation_inputs_may_be_broken_and_are_told(tmp_path: Path) -> None:
    example = residual_convolution()
    feeds = poisoned(example, 7, np.nan)
    path = example.write(tmp_path)
    found = collect(path, dataset(feeds), batch=5, threads=1, split="evaluation")
    assert len(found.samples.digests) == 12
    assert len(found.samples.finite().digests) == 11
    assert np.isfinite(found.ranges["input"]).all()


def test_a_fixed_batch_gets_a_multiple_of_it_to_compare(tmp_path: Path) -> None:
    example = fixed_batch(5)
    path = example.write(tmp_path)
    assert len(choose_evaluation(path, dataset(example.feeds), 7)) == 5
    assert len(choose_evaluation(path, dataset(example.feeds), None)) == 10
    free = residual_convolution()
    (tmp_path / "free").mkdir()
    chosen = choose_evaluation(free.write(tmp_path / "free"), dataset(free.feeds), 7)
    assert len(chosen) == 7
