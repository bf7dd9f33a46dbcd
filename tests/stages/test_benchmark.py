"""The benchmark stage: one session, and what stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stages import benchmark, build
from tests.engine_project import EngineProject, make_engine_project
from tests.fakes import FAKE_BACKEND, TESTS

from trtproof import artifacts
from trtproof.errors import (
    BackendError,
    ConfigError,
    HardwareError,
    PlanCorruptError,
    PlanForeignError,
)
from trtproof.measure.samples import read_samples


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineProject:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return make_engine_project(monkeypatch, tmp_path)


def build_all(project: EngineProject) -> None:
    project.write()
    for name in project.params["variants"]:
        build.main(name)


def test_every_variant_is_timed_and_the_reference_twice(project: EngineProject) -> None:
    build_all(project)
    benchmark.main()
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    assert set(samples["contender"]) == {"first", "second", "first/again"}
    counts = samples[samples["status"] == "counted"].groupby("contender", observed=True).size()
    assert counts.to_dict() == {"first": 6, "second": 6, "first/again": 6}
    assert (samples["e2e_ns"] > 0).all()
    assert samples["protocol"].unique().tolist() == ["abba/1"]


def test_the_session_is_recorded_beside_its_samples(project: EngineProject) -> None:
    build_all(project)
    benchmark.main()
    run = artifacts.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    assert run["protocol"] == "abba/1"
    assert run["profile"] == "smoke"
    first, second = run["variants"]["first"], run["variants"]["second"]
    assert first["contenders"] == ["first", "first/again"]
    digest = artifacts.sha256_file(artifacts.build("first") / "engine.fake")
    assert first["plan_sha256"] == digest
    assert first["answers"]["logits"]["max_abs_difference"] == 0.0
    assert second["answers"]["logits"]["max_abs_difference"] > 0.0
    assert len(run["schedule"]["rounds"]) == 2
    assert run["schedule"]["rounds"][1] == run["schedule"]["rounds"][0][::-1]
    assert run["harness"]["e2e_ns"] > 0
    assert run["summary"]["1"]["second"]["speedup"]["rounds_count"] == 2
    assert run["summary"]["1"]["first"]["speedup"] is None


def test_a_variant_that_is_not_here_is_recorded_with_its_reason(project: EngineProject) -> None:
    project.variant("second")["backend"] = "tensorrt"
    build_all(project)
    benchmark.main()
    run = artifacts.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    second = run["variants"]["second"]
    assert second["status"] == "unavailable"
    assert second["reason"]["code"] == "no_bindings"
    assert second["contenders"] == []
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    assert set(samples["variant"]) == {"first"}


def test_a_reference_that_could_not_be_built_leaves_the_others_measured(
    project: EngineProject,
) -> None:
    project.variant("first")["build"]["options"] = {"fails": True}
    build_all(project)
    benchmark.main()
    run = artifacts.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    assert run["variants"]["first"]["status"] == "failed"
    assert run["schedule"]["contenders"] == ["second"]
    assert run["summary"]["1"]["second"]["speedup"] is None


def test_with_nothing_to_measure_the_reasons_are_the_error(project: EngineProject) -> None:
    for name in ("first", "second"):
        project.variant(name)["backend"] = "tensorrt"
    build_all(project)
    with pytest.raises(HardwareError, match=r"no variant can be measured on cpu-test \(first: Ten"):
        benchmark.main()
    assert not artifacts.BENCHMARK.exists()


def test_outputs_that_are_not_numbers_are_counted(project: EngineProject) -> None:
    project.variant("second")["build"]["options"] = {"nan": True}
    build_all(project)
    benchmark.main()
    run = artifacts.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    assert run["variants"]["second"]["answers"]["logits"]["not_finite_count"] == 4


def test_a_truncated_plan_stops_the_session_before_it_starts(project: EngineProject) -> None:
    build_all(project)
    (artifacts.build("second") / "engine.fake").write_text("{", encoding="utf-8")
    with pytest.raises(PlanCorruptError, match="second"):
        benchmark.main()


def test_a_plan_of_another_machine_is_not_timed(project: EngineProject) -> None:
    build_all(project)
    project.hardware["engine"]["fake"] = {"device": "cpu", "cpu": "other", "version": "1"}
    project.write()
    with pytest.raises(PlanForeignError, match="cpu 'test', this machine has 'other'"):
        benchmark.main()


def test_a_worker_that_crashes_is_an_error_and_records_nothing(project: EngineProject) -> None:
    project.variant("second")["build"]["options"] = {"die_at": 5}
    build_all(project)
    with pytest.raises(BackendError, match=r"worker of second died .*the fake died"):
        benchmark.main()
    assert not artifacts.BENCHMARK.exists()
    assert list(artifacts.TEMPORARY.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("batches", [9], r"benchmark\.batches: 9"), ("items", 12, r"benchmark\.items: 12")],
)
def test_settings_that_plans_or_data_cannot_serve_are_refused(
    project: EngineProject, key: str, value: object, message: str
) -> None:
    project.params["benchmark"][key] = value
    build_all(project)
    with pytest.raises(ConfigError, match=message):
        benchmark.main()


STAGE = """
import sys
sys.path[:0] = {path!r}
from trtproof.backends import BACKENDS
BACKENDS.entries["fake"] = {backend!r}
from stages import benchmark
benchmark.main()
"""


def workers_of(pid: int) -> list[int]:
    """Return the processes that a stage started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(word) for word in children.split()]


def wait_for(condition: Callable[[], bool], *, limit_s: float = 30.0) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_stage_leaves_no_worker(project: EngineProject, how: signal.Signals) -> None:
    mark = Path("hangs").absolute()
    project.variant("second")["build"]["options"] = {"hang_at": 3, "mark": str(mark)}
    build_all(project)
    code = STAGE.format(path=[str(TESTS.parent), str(TESTS)], backend=FAKE_BACKEND)
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as stage:
        assert wait_for(mark.exists)
        workers = workers_of(stage.pid)
        assert len(workers) == 3
        os.kill(stage.pid, how)
    assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert not artifacts.BENCHMARK.exists()
