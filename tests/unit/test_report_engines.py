"""What the report shows of the inside of engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.inspector_texts import engine, layer, onnx, small
from tests.report_inputs import SLUG, Inputs, Made, build, load

from trtproof.backends.tensorrt.inspected import Asked, inspect_text
from trtproof.report import engines
from trtproof.report.engine_figures import engine_figures
from trtproof.report.engines import show_engines
from trtproof.report.page import render_page

NAME = "tensorrt-int8"


def make(text: str, precision: str = "int8") -> Inputs:
    inspected = inspect_text(text, Asked(precision))
    details = {
        "inspection": inspected.facts(),
        "effective": {"workspace_mib": 64},
        "device_memory_bytes": 3 * 2**19,
    }
    layers = [one.to_json() for one in inspected.inspection.layers]
    made = Made("tensorrt", "int8", median_ms=0.1, details=details, layers=layers)
    inputs = Inputs(rounds=6, requests=20, batches=(1,))
    inputs = Inputs(variants={**inputs.variants, NAME: made}, rounds=6, requests=20, batches=(1,))
    build(inputs)
    return inputs


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_metrics_of_an_inspected_engine_are_its_counts_and_shares() -> None:
    _, facts = load(make(small("Int8", major=11)))
    metrics = facts.metrics[NAME][SLUG]
    assert metrics["layers_count"] == 5
    assert metrics["kernels_count"] == 3
    assert metrics["reformats_count"] == 1
    assert metrics["quantizers_count"] == 1
    assert metrics["casts_count"] == 0
    assert metrics["int8_share_pct"] == 100
    assert metrics["half_share_pct"] == 0
    assert metrics["workspace_limit_mib"] == 64
    assert metrics["device_memory_mib"] == 1.5
    assert "layers_count" not in facts.metrics["onnxruntime-fp32"][SLUG]


def test_an_engine_without_inspector_has_no_figures_instead_of_zeros() -> None:
    assert engine_figures({}) == {}
    assert engine_figures({"inspection": {"layers": 3}}) == {"layers_count": 3}


def test_the_summary_says_the_verdict_and_its_proof() -> None:
    findings, facts = load(make(small("FP32"), "int8"))
    (row,) = show_engines(findings, facts).summary.rows
    assert row[0].text == NAME
    assert row[1].text == "5"
    assert row[-1].text == "not as asked"
    assert "asked for int8, but of 2 multiplying layers" in row[-1].detail


def test_every_engine_layer_stands_beside_its_onnx_nodes() -> None:
    findings, facts = load(make(small("Int8")))
    ((title, table),) = show_engines(findings, facts).fusions
    assert title == f"{NAME}: 3 ONNX nodes in 2 of 5 engine layers"
    texts = [[cell.text for cell in row] for row in table.rows]
    assert texts[1] == [
        "1", "conv1 + relu1", "conv1, relu1", "int8 → int8", "CaskConvolution",
        "sm90_CaskConvolution",
    ]  # fmt: skip
    assert texts[0][4] == "Reformat QDQ"
    assert texts[0][2] == "none"


def test_the_page_shows_both_and_escapes_names() -> None:
    hostile = layer("<b>conv</b>", "Conv", "Half", "Half", Metadata=onnx("<i>n</i>"))
    findings, facts = load(make(engine([hostile])))
    page = render_page(findings, facts)
    assert "Inside the engines" in page
    assert "&lt;b&gt;conv&lt;/b&gt;" in page
    assert "<i>n</i>" not in page


def test_a_page_without_inspected_engines_has_no_such_section() -> None:
    inputs = Inputs(rounds=6, requests=20, batches=(1,))
    build(inputs)
    assert "Inside the engines" not in render_page(*load(inputs))


def test_a_long_engine_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "MOST_ROWS", 2)
    findings, facts = load(make(small("Int8")))
    ((_, table),) = show_engines(findings, facts).fusions
    assert len(table.rows) == 2
    assert table.notes == ["3 more layers are not shown."]


def test_an_engine_of_the_names_only_kind_is_shown_as_undecidable() -> None:
    findings, facts = load(make(engine(["Conv_0 + Relu_1"])))
    shown = show_engines(findings, facts)
    assert shown.summary.rows[0][-1].text == "undecidable"
    assert shown.fusions[0][1].rows[0][4].text == "not shown"
