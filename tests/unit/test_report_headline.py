"""Tiles, and warnings of the first screen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report_inputs import Inputs, build, change, load

from trtproof import artifacts
from trtproof.measure.samples import read_samples, write_samples
from trtproof.measure.verdict import Word
from trtproof.report.figures import NotMeasured
from trtproof.report.headline import fastest_variant, make_tiles, make_warnings
from trtproof.report.markdown import render_markdown
from trtproof.report.page import render_page

INPUTS = Inputs(batches=(1,), requests=30)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_fastest_variant_may_be_slower_than_the_reference():
    slow = INPUTS
    for name, median_ms in (
        ("onnxruntime-fp32", 3.1),
        ("onnxruntime-int8_cpu", 2.8),
        ("onnxruntime-int8", 2.5),
    ):
        slow = change(slow, name, median_ms=median_ms)
    build(slow)
    findings, facts = load(slow)
    fastest = fastest_variant(findings)
    assert fastest is not None
    assert fastest.name == "onnxruntime-int8"
    speed = make_tiles(findings, facts)[1]
    assert speed.value.startswith("0.2")
    assert speed.detail.startswith("SLOWER; 95 % 0.2")


def test_a_variant_like_the_reference_is_not_told_apart():
    same = change(INPUTS, "onnxruntime-fp32", median_ms=INPUTS.variants["torch-fp32"].median_ms)
    build(same)
    verdict = load(same)[0].variants[1].verdict(1)
    assert not isinstance(verdict, NotMeasured)
    assert verdict.word in {Word.SAME, Word.INCONCLUSIVE}


def test_fewer_than_six_rounds_judge_nothing():
    few = replace(INPUTS, rounds=4)
    build(few)
    findings, facts = load(few)
    verdict = findings.variants[1].verdict(1)
    assert not isinstance(verdict, NotMeasured)
    assert verdict.word is Word.INCONCLUSIVE
    assert "too few rounds for an interval" in make_tiles(findings, facts)[1].detail


def test_a_session_that_speaks_against_its_figures_says_so_first(tmp_path):
    build(INPUTS)
    path = tmp_path / "artifacts" / "benchmark"
    record = artifacts.read_json(path / "run.json", made_by="benchmark")
    record["variants"]["onnxruntime-fp32"]["warmup_converged"] = False
    record["schedule"] = {"fits_budget": False}
    artifacts.write_json(path / "run.json", record)
    samples = read_samples(path / "samples.parquet")
    again = samples["contender"] == "torch-fp32/again"
    odd = again & (samples["round"] % 2 == 1)
    samples.loc[odd, "e2e_ns"] = samples.loc[odd, "e2e_ns"] * 3 // 2
    write_samples(path / "samples.parquet", samples)
    busy, warm_up, short = make_warnings(load(INPUTS)[0])
    assert busy.startswith("Noisy: two runs of torch-fp32 may differ by 5")
    assert warm_up == "Warm-up did not settle for onnxruntime-fp32"
    assert "benchmark.max_minutes" in short


@pytest.mark.parametrize("key", ["requests", "seconds"])
def test_blocks_that_were_shrunk_to_fit_say_so(tmp_path, key):
    build(INPUTS)
    path = tmp_path / "artifacts" / "benchmark" / "run.json"
    record = artifacts.read_json(path, made_by="benchmark")
    wanted = {"requests": 1000, "seconds": 0.5}
    for block, warnings in ((wanted, 0), (wanted | {key: wanted[key] / 2}, 1)):
        record["schedule"] = {"wanted": wanted, "block": block, "fits_budget": True}
        artifacts.write_json(path, record)
        found = [text for text in make_warnings(load(INPUTS)[0]) if "max_minutes" in text]
        assert len(found) == warnings


def test_a_full_run_on_real_data_has_no_warning():
    build(INPUTS)
    assert make_warnings(load(INPUTS)[0]) == []


def test_left_out_rounds_are_counted_with_their_cause_and_weaken_nothing():
    inputs = replace(INPUTS, disturbed={4: ["pressure", "steal"]})
    build(inputs)
    findings, facts = load(inputs)
    assert make_warnings(findings) == []
    said = "1 of 9: other tasks waited for a processor; the hypervisor took processor time away"
    page = render_page(findings, facts)
    assert said in page
    assert f"Rounds left out: {said}." in render_markdown(findings, facts)
    assert "With all rounds" in page
    assert ">(5)</text>" in page


def test_a_mostly_disturbed_session_says_inconclusive_on_the_first_screen():
    disturbed = {number: ["pressure"] for number in range(6)}
    inputs = replace(INPUTS, disturbed=disturbed, mostly_disturbed=True)
    build(inputs)
    findings, facts = load(inputs)
    warning = make_warnings(findings)[0]
    assert warning.startswith("INCONCLUSIVE: 6 of 9 rounds were disturbed (other tasks waited")
    tile = make_tiles(findings, facts)[1]
    assert tile.value == "INCONCLUSIVE"  # not a large number that would be quoted without it
    assert "95 %" in tile.detail
    page = render_page(findings, facts)
    assert warning in page.partition("<main>")[0]
    assert ">FASTER<" not in page
    assert ">SLOWER<" not in page


def test_a_machine_that_was_busy_before_says_so_first():
    inputs = replace(INPUTS, load_1min=5.0)
    build(inputs)
    warning = make_warnings(load(inputs)[0])[0]
    assert warning.startswith("Busy machine: 2.5 tasks per core wanted to run before")


def test_blocks_that_began_slowly_are_counted():
    build(INPUTS)
    findings, facts = load(INPUTS)
    assert "all settled; 1 of 9 blocks began with a request" in render_page(findings, facts)


def test_a_cuda_graph_that_was_asked_for_and_is_not_there_is_said_first():
    engine = {"cuda_graph_captured": 0, "cuda_graph_failure": "the weights are streamed"}
    inputs = change(INPUTS, "onnxruntime-fp32", engine=engine)
    build(inputs)
    assert make_warnings(load(inputs)[0]) == [
        "onnxruntime-fp32 asked for a CUDA graph and was timed without: the weights are streamed"
    ]


def test_nodes_that_a_gpu_left_to_the_cpu_are_said_first():
    details = {"nodes_count": 122, "cpu_nodes_count": 2, "cpu_nodes": ["pick (NonZero)", "n (If)"]}
    inputs = change(INPUTS, "onnxruntime-fp32", details=details)
    build(inputs)
    (warning,) = make_warnings(load(inputs)[0])
    assert warning == (
        "onnxruntime-fp32 computes 2 of 122 nodes on the CPU, and copies there and back: "
        "pick (NonZero), n (If)"
    )


def test_a_captured_cuda_graph_is_no_warning():
    inputs = change(INPUTS, "onnxruntime-fp32", engine={"cuda_graph_captured": 1})
    build(inputs)
    assert make_warnings(load(inputs)[0]) == []
