"""The report stage: what it writes, and that equal inputs give equal bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from stages import report
from tests.report_inputs import SLUG, Inputs, build

from trtproof import artifacts

INPUTS = Inputs(requests=30, batches=(1,))
INT8 = "onnxruntime-int8_cpu"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(INPUTS)


def contents(folder=Path()):
    return {
        path.as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_it_writes_its_outputs_and_nothing_else():
    before = contents()
    report.main()
    after = contents()
    assert {path: after[path] for path in before} == before
    assert after.keys() - before.keys() == {
        "artifacts/report/index.html",
        "artifacts/report/manifest.json",
        "metrics/report.md",
        "metrics/plots/latency.csv",
        "metrics/plots/percentiles.csv",
        *(f"metrics/variants/{name}.json" for name in INPUTS.variants),
    }


def test_a_second_run_writes_the_same_bytes():
    report.main()
    first = contents()
    report.main()
    assert contents() == first


def test_the_manifest_names_and_hashes_all_that_is_shown():
    report.main()
    manifest = artifacts.read_json(artifacts.REPORT / "manifest.json", made_by="report")
    for path, digest in {**manifest["read"], **manifest["written"]}.items():
        assert artifacts.sha256_file(Path(path)) == digest
    assert "artifacts/benchmark/samples.parquet" in manifest["read"]
    assert f"artifacts/build/{INT8}/engine.json" in manifest["read"]
    assert "artifacts/report/index.html" in manifest["written"]
    assert f"metrics/variants/{INT8}.json" in manifest["written"]


def test_a_variant_that_is_dropped_leaves_no_file():
    report.main()
    variants = {name: made for name, made in INPUTS.variants.items() if name != INT8}
    build(replace(INPUTS, variants=variants))
    report.main()
    assert not artifacts.variant_metrics(INT8).exists()
    assert INT8 not in (artifacts.REPORT / "index.html").read_text(encoding="utf-8")


def test_without_a_benchmark_it_reports_scores(tmp_path):
    for path in (tmp_path / "artifacts" / "benchmark").iterdir():
        path.unlink()
    report.main()
    metrics = json.loads(artifacts.variant_metrics(INT8).read_text(encoding="utf-8"))
    assert "top1_pct" in metrics["scores"]
    assert not any(key.startswith("latency") for key in metrics[SLUG])


def test_random_weights_are_read_from_the_settings():
    build(replace(INPUTS, random_weights=True))
    report.main()
    assert "Random weights" in artifacts.SUMMARY.read_text(encoding="utf-8")
