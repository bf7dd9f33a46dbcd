"""The CSV files and templates that `dvc plots` draws from."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report_inputs import SLUG, Inputs, build, load

from trtproof.report.plots import render_plots

INPUTS = Inputs(requests=40)
TEMPLATES = Path(__file__).parents[2] / ".dvc" / "plots"


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(INPUTS)
    plots = render_plots(*load(INPUTS))
    return {name: list(csv.DictReader(text.splitlines())) for name, text in plots.items()}


def test_latency_has_one_row_per_timed_variant_and_batch(rows):
    assert [(row["variant"], row["batch"]) for row in rows["latency.csv"]] == [
        (variant, batch)
        for batch in ("1", "8")
        for variant in INPUTS.variants
        if not variant.startswith("tensorrt")
    ]


def test_labels_name_the_device_so_that_machines_are_never_one_series(rows):
    for table in rows.values():
        assert all(SLUG in row["label"] for row in table)


def test_latencies_are_those_of_the_metrics(tmp_path, monkeypatch, rows):
    facts = load(INPUTS)[1]
    for row in rows["latency.csv"]:
        figures = facts.metrics[row["variant"]][SLUG][f"latency_b{row['batch']}_ms"]
        assert float(row["p50_ms"]) == figures["p50"]


def test_curves_rise(rows):
    by_label: dict[str, list[tuple[float, float]]] = {}
    for row in rows["percentiles.csv"]:
        point = float(row["nines"]), float(row["latency_ms"])
        by_label.setdefault(row["label"], []).append(point)
    assert len(by_label) == 8
    for points in by_label.values():
        assert points == sorted(points)
        assert len(points) >= 20


def test_hostile_texts_are_cells_and_neither_rows_nor_formulas(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = '=HYPERLINK("http://x"),"a"\r\n<script>\u202e,\x00'
    inputs = replace(INPUTS, slug=evil)
    build(inputs)
    for text in render_plots(*load(inputs)).values():
        found = list(csv.reader(text.splitlines()))
        assert {len(row) for row in found} == {len(found[0])}
        assert "\u202e" not in text
        assert "\x00" not in text
        for row in found:
            assert not any(cell.startswith(("=", "+", "@")) for cell in row)


def test_bars_of_dvc_plots_start_at_zero():
    template = json.loads((TEMPLATES / "latency_bars.json").read_text(encoding="utf-8"))
    assert template["encoding"]["x"]["scale"] == {"zero": True, "domainMin": 0}


def test_curves_of_dvc_plots_are_not_smoothed():
    text = (TEMPLATES / "latency_percentiles.json").read_text(encoding="utf-8")
    assert "loess" not in text
    assert json.loads(text)["encoding"]["y"]["scale"]["type"] == "log"
