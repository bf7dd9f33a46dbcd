"""build, benchmark and evaluate with TensorRT, whole, on the strict fake of both majors.

The workers are processes of their own, as in a real run. Times mean nothing here: the fake's engine
is ONNX Runtime on host memory.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stages import benchmark, build, evaluate
from tests.engine_project import EngineProject, make_engine_project, make_variant
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import VERSIONS
from tests.tensorrt_builds import use_fake

from trtproof import artifacts
from trtproof.errors import PlanForeignError
from trtproof.measure.launch import SessionInputs
from trtproof.measure.machine import MachineState
from trtproof.measure.samples import read_samples
from trtproof.scoring import evaluation
from trtproof.sidecar import read_record

READ_MACHINE = partial(MachineState, at_ns=0)


@pytest.fixture(params=VERSIONS)
def host(request: pytest.FixtureRequest) -> Host:
    return Host(version=request.param)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host) -> EngineProject:
    """Return a project whose first variant is TensorRT's and whose second is ONNX Runtime's."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(evaluation, "guard_inputs", lambda *_: None)
    inputs = partial(SessionInputs, read_machine=READ_MACHINE)
    monkeypatch.setattr(benchmark, "SessionInputs", inputs)
    project = make_engine_project(monkeypatch, tmp_path)
    use_fake(monkeypatch, host)
    cache = {"timing_cache_dir": str(tmp_path / "timings")}
    project.params["variants"] = {
        "first": make_variant("tensorrt", **cache),
        "second": make_variant("onnxruntime"),
    }
    project.hardware["engine"]["tensorrt"] = host.facts()
    project.hardware["slug"] = "nvidia-fake-9000-sm90"
    project.write()
    return project


def logits_of(variant: str) -> Any:
    with np.load(artifacts.evaluate(variant) / "outputs.npz") as outputs:
        return outputs["logits"]


def test_a_variant_goes_through_build_benchmark_and_evaluate(
    project: EngineProject, host: Host
) -> None:
    project.variant("first")["run"]["cuda_graph"] = True
    project.write()
    for variant in ("first", "second"):
        build.main(variant)
    record = read_record(artifacts.build("first"))
    assert (record.status, record.reason) == ("built", None)
    assert record.details["tensorrt"] == host.version
    assert record.details["unavailable"] == {}
    assert record.details["effective"]["workspace_mib"] == 64
    assert "inspector.json" in record.files
    benchmark.main()
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    assert set(samples["variant"]) == {"first", "second"}
    timed = artifacts.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    assert timed["variants"]["first"]["answers"]["logits"]["max_abs_difference"] == 0.0
    assert timed["variants"]["first"]["engine"]["cuda_graph_captured"] == 1
    for variant in ("first", "second"):
        evaluate.main(variant)
    np.testing.assert_allclose(logits_of("first"), logits_of("second"), rtol=1e-4, atol=1e-5)


def test_a_failing_build_stops_no_other_variant(
    project: EngineProject, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake(monkeypatch, Host(version=host.version, faults={"unsupported": "Gemm"}))
    build.main("first")
    build.main("second")
    record = read_record(artifacts.build("first"))
    assert record.status == "failed"
    assert record.reason is not None
    assert record.reason.code == "model_refused"
    assert "node 'fc' (Gemm)" in record.reason.text
    log = (artifacts.build("first") / "build.log").read_text(encoding="utf-8")
    assert "In node 0 with name: fc and operator: Gemm" in log
    evaluate.main("second")
    benchmark.main()


def test_a_plan_of_another_machine_is_refused_before_it_is_loaded(
    project: EngineProject, host: Host
) -> None:
    build.main("first")
    project.hardware["engine"]["tensorrt"] = host.facts() | {"compute_capability": "8.9"}
    project.write()
    with pytest.raises(
        PlanForeignError, match=r"compute_capability '9\.0'.*has '8\.9'.*build@first"
    ):
        evaluate.main("first")
