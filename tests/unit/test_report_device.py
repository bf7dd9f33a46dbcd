"""Device time and the parts of requests: figures, verdicts, advice, and why there are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report_device import COPY_IN_NS, COPY_OUT_NS, ENQUEUE_NS, GPU_SHARE
from tests.report_inputs import REFERENCE, Inputs, Made, build, change, load

from trtproof import artifacts
from trtproof.measure.verdict import Word
from trtproof.report.advice import advise
from trtproof.report.cells import Facts
from trtproof.report.comparisons import Comparison
from trtproof.report.device_tables import device_table, draw_parts, parts_table
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings
from trtproof.report.page import render_page
from trtproof.report.pictures import draw_starts
from trtproof.report.scenario_tables import cold_table

SCENARIOS = ("throughput", "cold", "sustained", "device", "parts")
SMALL = Inputs(batches=(1,), requests=30)
ON_GPU = replace(SMALL, scenarios=SCENARIOS, slug="gpu-example")
FAST = "onnxruntime-int8_cpu"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made(inputs: Inputs) -> tuple[Findings, Facts]:
    build(inputs)
    return load(inputs)


def on_device(facts: Facts, variant: str, *path: str) -> float:
    value = facts.on_device(variant, *path)
    assert value is not None
    return value


def test_launches_alone_have_percentiles_with_intervals_and_a_spread() -> None:
    _, facts = made(ON_GPU)
    median = on_device(facts, FAST, "device_b1_ms", "p50")
    assert median == pytest.approx(0.21 * GPU_SHARE, rel=0.01)
    low, high = (on_device(facts, FAST, "device_b1_ms", f"p50_ci_{end}") for end in ("lo", "hi"))
    assert low <= median <= high
    assert on_device(facts, FAST, "device_spread_b1_pct", "cv") == pytest.approx(1.0, rel=0.1)
    assert "p99" in facts.metrics[FAST]["gpu-example"]["device_b1_ms"]
    assert "p99_9" not in facts.metrics[FAST]["gpu-example"]["device_b1_ms"]  # 1080 launches


def test_the_parts_of_a_request_are_medians_and_their_sum_is_trtexecs_latency() -> None:
    _, facts = made(ON_GPU)
    parts = facts.metrics[FAST]["gpu-example"]["parts_b1_ms"]
    assert parts["h2d"] == COPY_IN_NS / 1e6
    assert parts["d2h"] == COPY_OUT_NS / 1e6
    assert parts["enqueue"] == ENQUEUE_NS / 1e6
    assert parts["device"] == pytest.approx(0.21 * GPU_SHARE, rel=0.01)
    assert parts["sum"] == pytest.approx(parts["h2d"] + parts["device"] + parts["d2h"], rel=1e-4)


def test_device_time_is_compared_round_by_round_with_a_control() -> None:
    findings, facts = made(ON_GPU)
    (variant,) = (item for item in findings.variants if item.name == FAST)
    comparison = variant.device.comparisons[1]
    assert isinstance(comparison, Comparison)
    assert comparison.verdict.word is Word.FASTER
    assert comparison.decides
    ratio = on_device(facts, FAST, "speedup_device_p50_b1_ratio", "value")
    assert ratio == pytest.approx(0.62 / 0.21, rel=0.01)
    control = on_device(facts, REFERENCE, "control_device_p50_b1_ratio", "value")
    assert control == pytest.approx(1.0, abs=0.01)
    assert 0 < on_device(facts, REFERENCE, "noise_device_b1_pct", "device_p50") < 1


def test_a_short_profile_decides_nothing() -> None:
    findings, _ = made(replace(ON_GPU, profile="quick"))
    comparison = findings.variants[1].device.comparisons[1]
    assert isinstance(comparison, Comparison)
    assert not comparison.decides


def test_tables_and_chart_show_what_was_measured() -> None:
    findings, facts = made(ON_GPU)
    page = render_page(findings, facts)
    assert "GPU compute" in page
    assert "Where the time goes: one request, batch 1" in page
    rows = {row[0].text: [cell.text for cell in row] for row in device_table(findings, facts).rows}
    assert "FASTER" in rows[FAST]
    assert "reference, run twice" in rows[REFERENCE]
    assert draw_parts(findings, facts).svg is not None


def test_what_runs_on_the_cpu_says_so_in_every_place() -> None:
    findings, facts = made(replace(ON_GPU, on_cpu=["onnxruntime-fp32"]))
    for table in (parts_table(findings, facts), device_table(findings, facts)):
        texts = [row[-1].text for row in table.rows if row[0].text == "onnxruntime-fp32"]
        assert "not measured: it runs on the CPU" in texts
    assert "device_b1_ms" not in facts.metrics["onnxruntime-fp32"]["gpu-example"]


def test_a_session_without_a_gpu_has_no_chart_but_the_reason() -> None:
    findings, facts = made(SMALL)
    picture = draw_parts(findings, facts)
    assert picture.svg is None
    assert picture.absent == "profile full leaves it out (benchmark.device is null)"
    for variant in findings.variants:
        assert isinstance(variant.device.launches, NotMeasured)
        assert variant.device.comparisons == {}
    assert advise(findings) == []


def test_a_quiet_run_of_large_kernels_needs_no_advice() -> None:
    findings, _ = made(ON_GPU)
    assert advise(findings) == []


def test_a_launch_bound_variant_is_offered_a_cuda_graph() -> None:
    findings, _ = made(change(ON_GPU, FAST, median_ms=0.02))  # 16 us on the GPU, 15 us to submit
    (bound, *copies) = advise(findings)
    assert (bound.variant, bound.batch) == (FAST, 1)
    assert "launch bound" in bound.text
    assert "cuda_graph: true" in bound.repair
    assert [advice.text.split(":")[0] for advice in copies] == ["copy bound"]  # in, not out


def test_one_that_replays_a_graph_already_is_offered_something_else() -> None:
    made_so = change(ON_GPU, FAST, median_ms=0.02, engine={"cuda_graph_captured": 1})
    bound = advise(made(made_so)[0])[0]
    assert "launch bound" in bound.text
    assert "already" in bound.repair


def test_device_times_that_vary_are_called_unstable() -> None:
    findings, facts = made(replace(ON_GPU, device_spread=0.05))
    found = advise(findings)
    assert {advice.variant for advice in found} >= {REFERENCE, FAST}
    assert all("unstable" in advice.text for advice in found)
    assert "What the parts say" in render_page(findings, facts)


def test_a_gpus_context_is_shown_as_a_part_of_the_cold_start() -> None:
    build(ON_GPU)
    path = artifacts.BENCHMARK / "run.json"
    record = artifacts.read_json(path, made_by="benchmark")
    for note in record["scenarios"]["cold"]:
        note["context_ns"] = 250_000_000
    artifacts.write_json(path, record)
    findings, facts = load(ON_GPU)
    assert on_device(facts, FAST, "cold_ms", "context") == 250.0
    assert "GPU context" in [column.title for column in cold_table(findings, facts).columns]
    svg = draw_starts(findings, facts).svg
    assert svg is not None
    assert "GPU context" in svg


def test_without_a_gpu_a_cold_start_has_no_context() -> None:
    findings, facts = made(SMALL)
    assert "context" not in facts.metrics[FAST]["cpu-example-8c"]["cold_ms"]
    assert "GPU context" not in [column.title for column in cold_table(findings, facts).columns]


def test_the_best_of_pytorch_by_the_gpus_clock_stands_beside_the_reference() -> None:
    key, graph = "speedup_vs_best_torch_device_p50_b1_ratio", "torch-fp16-graph"
    variants = dict(ON_GPU.variants) | {graph: Made("torch", "fp32", median_ms=0.3)}
    findings, facts = made(replace(ON_GPU, variants=variants))
    best = on_device(facts, graph, "device_b1_ms", "p50")
    for name in (REFERENCE, "onnxruntime-fp32"):
        own = on_device(facts, name, "device_b1_ms", "p50")
        value = on_device(facts, name, key, "value")
        assert value == pytest.approx(best / own, rel=0.01)
        assert on_device(facts, name, key, "ci_lo") < value < on_device(facts, name, key, "ci_hi")
    assert key not in facts.metrics[graph]["gpu-example"]
    table = device_table(findings, facts)
    place = [column.title for column in table.columns].index("Speed, best PyTorch = 1")
    cells = {row[0].text: row[place] for row in table.rows if len(row) > place}
    assert cells[graph].text == "the best PyTorch setting"
    assert cells["onnxruntime-fp32"].detail.startswith(f"{graph} = 1; 95 % 0.7")


def test_with_the_reference_alone_both_device_ratios_are_equal() -> None:
    found = made(ON_GPU)[1].metrics["onnxruntime-fp32"]["gpu-example"]
    both = [found[f"speedup_{name}device_p50_b1_ratio"] for name in ("", "vs_best_torch_")]
    assert both[0] == both[1]
