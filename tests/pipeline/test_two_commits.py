"""`dvc metrics diff` and `dvc plots diff` over two commits, of one machine and of two."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.project import REPOSITORY, Project, make_project
from tests.report_inputs import SLUG, Inputs, build, change, load

from trtproof import artifacts
from trtproof.report.outputs import render_report

INPUTS = Inputs(requests=60, rounds=6, batches=(1,))
INT8 = "onnxruntime-int8_cpu"
OTHER = "cpu-other-machine"


def write(inputs: Inputs) -> None:
    """Write metrics/ as the report stage does."""
    build(inputs)
    for folder in (artifacts.VARIANT_METRICS, artifacts.PLOTS):
        shutil.rmtree(folder, ignore_errors=True)
    for name, text in render_report(load(inputs)[0]).items():
        artifacts.write_text(artifacts.METRICS / name, text)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    made = make_project(tmp_path_factory.mktemp("two") / "project", {})
    shutil.copytree(REPOSITORY / ".dvc" / "plots", made.root / ".dvc" / "plots")
    return made


@pytest.fixture
def first(project, monkeypatch) -> Project:
    monkeypatch.chdir(project.root)
    write(INPUTS)
    project.must("git", "add", "-A")
    project.must("git", "commit", "-q", "--allow-empty", "-m", "first")
    return project


def diff(project: Project) -> dict[str, dict[str, Any]]:
    """Return "variant:path" -> what DVC says of it."""
    found = json.loads(project.must("dvc", "metrics", "diff", "--json", "HEAD"))
    return {
        f"{Path(file).stem}:{key}": entry
        for file, entries in found.items()
        for key, entry in entries.items()
    }


def test_one_machine_is_compared_figure_by_figure(first):
    write(change(INPUTS, INT8, median_ms=0.3, wrong=12))
    found = diff(first)
    assert found[f"{INT8}:{SLUG}.latency_b1_ms.p50"]["diff"] > 0.05
    assert found[f"{INT8}:{SLUG}.speedup_b1_ratio.value"]["diff"] < 0
    assert found[f"{INT8}:scores.top1_drop_pp"]["diff"] == pytest.approx(600 / 360, abs=0.001)
    assert f"torch-fp32:{SLUG}.latency_b1_ms.p50" not in found
    table = first.must("dvc", "metrics", "diff", "HEAD", "--md")
    assert re.search(rf"\| .*{INT8}\.json +\| {SLUG}\.latency_b1_ms\.p50 +\| [\d.]+ +\|", table)


def test_two_machines_are_never_subtracted(first):
    write(replace(change(INPUTS, INT8, median_ms=0.3), slug=OTHER))
    found = diff(first)
    device = {key: entry for key, entry in found.items() if SLUG in key or OTHER in key}
    assert len(device) > 100
    for key, entry in device.items():
        assert "diff" not in entry, key
        assert (entry.get("old") is None) != (entry.get("new") is None), key


def test_plots_of_two_machines_are_separate_series(first):
    write(replace(INPUTS, slug=OTHER))
    drawn = first.must("dvc", "plots", "diff", "HEAD", "--json", "--split")
    for slug in (SLUG, OTHER):
        assert f"onnxruntime-fp32, batch 1, {slug}" in drawn
    entries = json.loads(drawn)["data"]
    for name in ("Median latency", "Latency by percentile"):
        points = entries[name][0]["anchor_definitions"]["<DVC_METRIC_DATA>"]
        by_revision: dict[str, set[str]] = {}
        for point in points:
            by_revision.setdefault(point["rev"], set()).add(point["label"].rpartition(", ")[2])
        assert by_revision == {"HEAD": {SLUG}, "workspace": {OTHER}}


def test_plots_of_one_machine_are_drawn_by_our_templates(first):
    write(change(INPUTS, INT8, median_ms=0.3))
    drawn = json.loads(first.must("dvc", "plots", "diff", "HEAD", "--json"))["data"]
    bars = drawn["Median latency"][0]["content"]
    assert bars["encoding"]["x"]["scale"] == {"zero": True, "domainMin": 0}
    curves = drawn["Latency by percentile"][0]["content"]
    assert curves["mark"] == {"type": "line", "interpolate": "step-after"}
    points = curves["data"]["values"]
    assert {point["rev"] for point in points} == {"HEAD", "workspace"}
    assert all(float(point["latency_ms"]) > 0 for point in points)
