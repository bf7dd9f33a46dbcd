"""The report stage: what it writes, and that equal inputs give equal bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from stages import report
from tests.report_inputs import Inputs, build

from trtproof import artifacts
from trtproof.errors import MissingFileError

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
        "metrics/latency.svg",
        "metrics/percentiles.svg",
        "metrics/scores.svg",
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


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("metrics/hardware.json", "probe"),
        ("artifacts/benchmark/run.json", "benchmark"),
        ("artifacts/calibrate/coverage.json", "calibrate"),
        (f"artifacts/evaluate/{INT8}/scores.json", f"evaluate@{INT8}"),
        (f"artifacts/build/{INT8}/engine.json", f"build@{INT8}"),
        ("artifacts/audit/fp32/audit.json", "audit@fp32"),
    ],
)
def test_the_complete_report_refuses_to_be_written_without_an_input(path, stage):
    Path(path).unlink()
    before = contents()
    with pytest.raises(MissingFileError, match=f"{path} does not exist; run `dvc repro {stage}`"):
        report.main()
    assert contents() == before


def test_the_manifest_covers_every_output():
    before = contents().keys()
    report.main()
    manifest = artifacts.read_json(artifacts.REPORT / "manifest.json", made_by="report")
    made = contents().keys() - before - {"artifacts/report/manifest.json"}
    assert set(manifest["written"]) == made


def test_the_outputs_are_those_of_dvc_yaml():
    before = contents().keys()
    report.main()
    text = (Path(__file__).parents[2] / "dvc.yaml").read_text(encoding="utf-8")
    outs = yaml.safe_load(text)["stages"]["report"]["outs"]
    tracked = [out if isinstance(out, str) else next(iter(out)) for out in outs]
    for path in contents().keys() - before:
        assert any(path == out or path.startswith(f"{out}/") for out in tracked), path


def test_random_weights_are_read_from_the_settings():
    build(replace(INPUTS, random_weights=True))
    report.main()
    assert "Random weights" in artifacts.SUMMARY.read_text(encoding="utf-8")
