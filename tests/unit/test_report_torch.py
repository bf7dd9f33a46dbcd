"""The best PyTorch setting: which one it is, and every variant against it beside the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.report_inputs import REFERENCE, SLUG, Inputs, Made, build, load

from trtproof.measure.ratios import ratio_of_rounds
from trtproof.report.cells import Facts
from trtproof.report.comparisons import Comparison, Comparisons
from trtproof.report.device_tables import device_table
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.headline import make_tiles, speed_sentence
from trtproof.report.load import load_findings
from trtproof.report.markdown import render_markdown
from trtproof.report.metrics import make_metrics
from trtproof.report.page import render_page
from trtproof.report.pictures import draw_bars
from trtproof.report.quiet import quiet_table
from trtproof.report.targets import judge_targets
from trtproof.report.timing_tables import latency_table, verdict_table
from trtproof.report.torch_best import TorchBest, find_best
from trtproof.report.torch_tables import best_text, setting_text, torch_table

KEY = "speedup_vs_best_torch_b1_ratio"
GRAPH = "torch-fp16-graph"
FAST = Made("torch", "fp32", median_ms=0.31)
ONE_TORCH = Inputs(batches=(1,), requests=30)
TWO_TORCH = replace(ONE_TORCH, variants=dict(ONE_TORCH.variants) | {GRAPH: FAST})


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(inputs: Inputs) -> tuple[Findings, Facts]:
    build(inputs)
    return load(inputs)


def timings(findings: Findings, name: str, batch: int = 1) -> Timing:
    found = next(item for item in findings.variants if item.name == name).timings[batch]
    assert isinstance(found, Timing)
    return found


def test_the_best_setting_has_the_smallest_median_and_every_ratio_is_over_the_same_rounds():
    findings, facts = read(TWO_TORCH)
    assert findings.best_torch[1] == TorchBest(GRAPH, (REFERENCE, GRAPH))
    for name in ("onnxruntime-int8_cpu", "onnxruntime-fp32", REFERENCE):
        best, own = (timings(findings, item).rounds_ms for item in (GRAPH, name))
        sessions = timings(findings, name).sessions
        expected = ratio_of_rounds(
            [best[number] for number in own], list(own.values()),
            sessions=[sessions[number] for number in own],
        )  # fmt: skip
        assert facts.on_device(name, KEY, "value") == pytest.approx(expected.value, rel=1e-4)
        assert facts.on_device(name, KEY, "ci_lo") == pytest.approx(expected.low, rel=1e-4)
        assert facts.on_device(name, KEY, "ci_hi") == pytest.approx(expected.high, rel=1e-4)
    both = [facts.metrics["onnxruntime-fp32"][SLUG][key] for key in (KEY, "speedup_b1_ratio")]
    assert both[0]["value"] < 1 < both[1]["value"]  # slower than the best of PyTorch
    assert facts.on_device(GRAPH, KEY, "value") is None


def test_with_the_reference_alone_both_ratios_are_equal_and_the_report_says_so():
    findings, facts = read(ONE_TORCH)
    said = f"{REFERENCE}, the reference, is the only PyTorch setting measured"
    for name in ("onnxruntime-int8_cpu", "onnxruntime-int8"):
        both = [facts.metrics[name][SLUG][key] for key in (KEY, "speedup_b1_ratio")]
        assert both[0] == both[1]
    assert best_text(findings, 1) == said
    assert f"{said}." in render_markdown(findings, facts)
    assert said in render_page(findings, facts)


def test_the_reference_can_be_the_best_of_several():
    slow = replace(
        TWO_TORCH, variants=dict(TWO_TORCH.variants) | {GRAPH: replace(FAST, median_ms=3.0)}
    )
    findings, facts = read(slow)
    assert best_text(findings, 1).startswith(
        f"Best of 2 PyTorch settings: {REFERENCE}, the reference itself (eager, float32"
    )
    assert facts.metrics[GRAPH][SLUG][KEY]["value"] < 0.3


def test_without_a_torch_variant_there_is_no_ratio_and_the_reason_stands_there():
    inputs = ONE_TORCH
    build(inputs)
    settings = inputs.settings()
    variants = {
        name: msgspec.structs.replace(config, backend="onnxruntime")
        for name, config in settings.variants.items()
    }
    findings = load_findings(replace(settings, variants=variants))
    facts = Facts(make_metrics(findings), findings.hardware.slug)
    reason = "not measured: no variant of backend torch"
    assert best_text(findings, 1) == f"Best PyTorch setting: {reason}"
    assert not any(KEY in file.get(SLUG, {}) for file in facts.metrics.values())
    assert [tile.value for tile in make_tiles(findings, facts)][2] == "not measured"
    cells = [row[6].text for row in latency_table(findings, facts, 1).rows if len(row) > 6]
    assert set(cells) == {reason}
    assert f"{reason}." in render_page(findings, facts)
    assert reason in render_markdown(findings, facts)


def test_a_torch_variant_that_was_not_timed_is_not_the_best():
    inputs = replace(
        TWO_TORCH, variants=dict(TWO_TORCH.variants) | {GRAPH: replace(FAST, status="unavailable")}
    )
    findings, _ = read(inputs)
    assert findings.best_torch[1] == TorchBest(REFERENCE, (REFERENCE,))
    absent = NotMeasured("the GPU is gone")
    configs = {name: item.config for name, item in ((v.name, v) for v in findings.variants)}
    alone = {REFERENCE: {1: absent}}
    assert find_best(configs, alone, 1) == NotMeasured(
        f"no variant of backend torch was timed ({REFERENCE}: the GPU is gone)"
    )


def test_no_place_shows_a_speed_over_the_reference_alone():
    findings, facts = read(TWO_TORCH)
    shown = f"{facts.on_device('onnxruntime-int8_cpu', KEY, 'value'):.4f}".rstrip("0")
    tiles = {tile.label: tile for tile in make_tiles(findings, facts)}
    tile = tiles["Speed, best PyTorch setting = 1"]
    assert shown in tile.value
    assert GRAPH in tile.detail
    sentence = speed_sentence(findings, facts)
    assert f"Best of 2 PyTorch settings: {GRAPH}" in sentence
    assert shown in sentence
    svg = draw_bars(findings, facts, 1).svg
    assert svg is not None
    assert svg.count(", best PyTorch = 1") >= 4
    assert f"Best of 2 PyTorch settings: {GRAPH}" in draw_bars(findings, facts, 1).lead
    assert shown in render_markdown(findings, facts)
    heads = [column.title for column in latency_table(findings, facts, 1).columns]
    assert f"Speed, best PyTorch ({GRAPH}) = 1" in heads
    rows = verdict_table(findings, facts, 1).rows
    assert [row[1].text for row in rows if row[1].detail == f"against {GRAPH}"].count(
        "wall median"
    ) == 3 + 1  # the reference is compared as well


def engine(**facts: Any) -> Mapping[str, Any]:
    return {"device": "cuda", "execution": "eager", "dtype": "float32", **facts}


def test_settings_are_named_from_what_the_engine_said():
    compiled = replace(
        FAST,
        engine=engine(
            execution="torch.compile, mode max-autotune", dtype="bfloat16", compile="max-autotune",
            channels_last=True, cudnn_benchmark=True, compile_s=41.25,
        ),
    )  # fmt: skip
    plain = replace(FAST, engine=engine())
    untold = replace(
        FAST, engine=engine(execution="torch.compile, mode default", compile="default")
    )
    extra = {"torch-compiled": compiled, "torch-plain": plain, "torch-untold": untold}
    findings, facts = read(replace(ONE_TORCH, variants=dict(ONE_TORCH.variants) | extra))
    by_name = {item.name: item for item in findings.variants}
    said = setting_text(by_name["torch-compiled"], findings.run)
    assert said == (
        "torch.compile, mode max-autotune, bfloat16, TF32 off, channels-last, cuDNN search"
    )
    assert setting_text(by_name["torch-plain"], findings.run) == "eager, float32, TF32 off"
    table = torch_table(findings, facts)
    times = {row[0].text: row[2].text for row in table.rows}
    assert times["torch-compiled"] == "41.250 s"
    assert times["torch-plain"] == "not compiled"
    assert times["torch-untold"] == "not measured: the backend did not tell it apart"
    assert len(table.rows) == 4


def test_tf32_and_the_graph_are_part_of_a_setting_and_a_failed_capture_is_said():
    graph = replace(FAST, engine=engine(cuda_graph_captured=0))
    findings, _ = read(replace(ONE_TORCH, variants=dict(ONE_TORCH.variants) | {GRAPH: graph}))
    variant = findings.variants[-1]
    config = msgspec.structs.replace(
        variant.config,
        run=msgspec.structs.replace(variant.config.run, cuda_graph=True),
        build=msgspec.structs.replace(variant.config.build, tf32=True),
    )
    said = setting_text(replace(variant, config=config), findings.run)
    assert said == "eager, float32, TF32 on, CUDA graph asked for, not captured"


def test_the_noise_of_the_reference_is_that_of_every_comparison_with_the_best():
    findings, _ = read(TWO_TORCH)
    for variant in findings.variants:
        found = variant.against_torch[1]
        if isinstance(found, NotMeasured):
            continue
        control = findings.reference.comparisons[1]
        assert not isinstance(control, NotMeasured)
        assert found[HEADLINE].verdict.noise_floor == pytest.approx(
            control[HEADLINE].verdict.noise_floor
        )


def test_a_target_of_speed_says_the_other_speed_as_well():
    findings, facts = read(replace(TWO_TORCH, budget={"speedup_ratio": 1.2}))
    why = {item.variant: item.why for item in judge_targets(findings, facts)}
    assert f"with {GRAPH} = 1, the best PyTorch setting" in why["onnxruntime-fp32"]
    assert "best PyTorch" not in why[GRAPH]
    findings, facts = read(replace(ONE_TORCH, budget={"speedup_ratio": 1.2}))
    assert not any("best PyTorch" in item.why for item in judge_targets(findings, facts))


def with_a_control() -> Inputs:
    return replace(
        TWO_TORCH, controls=(GRAPH,), scenarios=(*TWO_TORCH.scenarios, "device", "parts")
    )


def floor_of(comparison: Comparison | NotMeasured) -> float:
    assert isinstance(comparison, Comparison)
    assert comparison.verdict.noise_floor is not None
    return comparison.verdict.noise_floor


def test_what_is_compared_with_a_best_setting_is_judged_by_the_noisier_of_both():
    findings, facts = read(with_a_control())
    by_name = {item.name: item for item in findings.variants}
    own, reference = by_name[GRAPH], by_name[REFERENCE]
    floor, other = (floor_of(item.controls[1][HEADLINE]) for item in (own, reference))
    device, other_device = (floor_of(item.device.control[1]) for item in (own, reference))
    assert floor != other
    assert device != other_device
    for name in ("onnxruntime-fp32", "onnxruntime-int8_cpu"):  # these ran once
        assert floor_of(against(by_name[name])[HEADLINE]) == floor
        assert floor_of(by_name[name].device.against_torch[1]) == device
    assert floor_of(against(reference)[HEADLINE]) == max(floor, other)
    assert floor_of(reference.device.against_torch[1]) == max(device, other_device)
    found = own.comparisons[1]
    assert not isinstance(found, NotMeasured)
    assert floor_of(found[HEADLINE]) == max(floor, other)  # either way round
    assert floor_of(own.device.comparisons[1]) == max(device, other_device)
    metrics = facts.metrics[GRAPH][SLUG]
    assert metrics["noise_b1_pct"]["wall_p50"] == pytest.approx(100 * floor, rel=1e-4)
    assert metrics["control_b1_ratio"]["value"] == pytest.approx(1, abs=0.05)
    assert metrics["control_device_p50_b1_ratio"]["value"] == pytest.approx(1, abs=0.05)
    assert "device_p50" in metrics["noise_device_b1_pct"]
    assert metrics["speedup_b1_ratio"]["value"] > 1.5  # the same key as ever beside it


def against(variant: VariantFindings) -> Comparisons:
    found = variant.against_torch[1]
    assert not isinstance(found, NotMeasured)
    return found


def test_every_place_that_names_the_best_setting_shows_its_own_second_run():
    findings, facts = read(with_a_control())
    shown = f"{facts.on_device(GRAPH, 'control_b1_ratio', 'value'):.5g}"
    checks = {row[0].text: row[1].text for row in quiet_table(findings, facts).rows}
    assert shown in checks[f"{GRAPH} twice (A/A), batch 1"]
    assert f"{GRAPH} against its own second run: batch 1 {shown}" in render_markdown(
        findings, facts
    )
    row = next(row for row in latency_table(findings, facts, 1).rows if row[0].text == GRAPH)
    assert any(shown in cell.detail for cell in row if cell.text == "the best PyTorch setting")
    device = next(row for row in device_table(findings, facts).rows if row[0].text == GRAPH)
    assert "run twice" in device[-2].detail
    tile = {tile.label: tile for tile in make_tiles(findings, facts)}[
        "Speed, best PyTorch setting = 1"
    ]
    assert f"{GRAPH} against itself {shown}" in tile.detail


def test_a_setting_that_ran_once_has_no_control():
    findings, facts = read(TWO_TORCH)
    own = next(item for item in findings.variants if item.name == GRAPH)
    assert own.controls == {}
    assert not {"control_b1_ratio", "noise_b1_pct"} & facts.metrics[GRAPH][SLUG].keys()
    assert f"{GRAPH} against its own" not in render_markdown(findings, facts)
