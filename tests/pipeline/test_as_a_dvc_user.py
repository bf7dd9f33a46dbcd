"""The commands that DVC users know do what they expect."""

from __future__ import annotations

import json

import yaml
from tests.pipeline.project import Project


def test_metrics_show_has_a_row_per_variant_under_the_device(onnx_project: Project) -> None:
    shown = json.loads(onnx_project.must("dvc", "metrics", "show", "--json"))
    files = {path: data["data"] for path, data in shown[""]["data"].items() if "variants" in path}
    slug = onnx_project.json("metrics/hardware.json")["slug"]
    assert {path.rpartition("/")[2] for path in files} == {
        "onnxruntime-fp32.json",
        "onnxruntime-int8_cpu.json",
        "tensorrt-fp32.json",
    }
    fast = next(data for path, data in files.items() if path.endswith("onnxruntime-fp32.json"))
    assert fast[slug]["latency_b1_ms"]["p50"] > 0
    assert 0 <= fast["scores"]["top1_pct"] <= 100


def test_metrics_diff_never_subtracts_two_machines(onnx_project: Project) -> None:
    onnx_project.host["cpu"] = "Another CPU @ 9.99GHz"
    onnx_project.must("dvc", "repro")
    rows = json.loads(onnx_project.must("dvc", "metrics", "diff", "--json"))
    latency = {
        (path, key): change
        for path, keys in rows.items()
        for key, change in keys.items()
        if "latency" in key
    }
    assert latency
    assert not [key for key, change in latency.items() if change.get("diff") is not None]
    assert {change["old"] is None for change in latency.values()} == {True, False}


def test_params_diff_names_the_changed_fact(onnx_project: Project) -> None:
    onnx_project.host["versions"] = {"onnxruntime": "1.99.0"}
    onnx_project.must("dvc", "repro", "-q", "probe")
    diff = onnx_project.must("dvc", "params", "diff")
    assert "engine.onnxruntime.version" in diff
    assert "1.99.0" in diff


def test_exp_run_with_an_override_composes_and_runs_what_it_touches(onnx_project: Project) -> None:
    output = onnx_project.must("dvc", "exp", "run", "-n", "longer", "-S", "benchmark.requests=30")
    assert "Running stage 'benchmark'" in output
    assert "Running stage 'build@onnxruntime-fp32'" not in output
    params = yaml.safe_load((onnx_project.root / "params.yaml").read_text())
    assert params["benchmark"]["requests"] == 30
    assert "longer" in onnx_project.must("dvc", "exp", "show", "--csv")


def test_a_clean_clone_restores_everything_from_a_shared_cache(
    onnx_project: Project, tmp_path
) -> None:
    clone = Project(tmp_path / "clone", dict(onnx_project.host))
    onnx_project.must("git", "clone", "-q", ".", str(clone.root))
    clone.must("dvc", "cache", "dir", "--local", str(onnx_project.root / ".dvc/cache"))
    outcome = clone.repro()
    assert outcome.code == 0, outcome.output
    assert outcome.ran <= {"gate", "probe", "report"}, outcome.output
    assert (clone.root / "artifacts/build/onnxruntime-fp32/engine.json").exists()
