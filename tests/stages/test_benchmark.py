"""The benchmark stage: one session, and what stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stages import benchmark, build
from tests.benchmark_settings import COLD, DEVICE, SUSTAINED, THROUGHPUT
from tests.engine_project import SAMPLES_COUNT, EngineProject, make_engine_project
from tests.fakes import FAKE_BACKEND, TESTS, make_feeds

from trtproof import artifacts
from trtproof.cores import usable_cores
from trtproof.errors import (
    BackendError,
    ConfigError,
    HardwareError,
    PlanCorruptError,
    PlanForeignError,
)
from trtproof.measure.launch import SessionInputs
from trtproof.measure.machine import MachineReader, MachineState
from trtproof.measure.samples import read_samples


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineProject:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    watch(monkeypatch, lambda: MachineState(at_ns=0))
    return make_engine_project(monkeypatch, tmp_path)


def watch(monkeypatch: pytest.MonkeyPatch, reader: MachineReader) -> None:
    """Let the stage read these counters of the machine, not this one's."""
    inputs = partial(SessionInputs, read_machine=reader)
    monkeypatch.setattr(benchmark, "SessionInputs", inputs)


def pressed(shares: Sequence[float]) -> MachineReader:
    """Return a reader, asked before and after each round of a second, of tasks that waited."""
    states = [MachineState(at_ns=0)]  # at the start
    pressure_us = 0
    for number, share in enumerate(shares):
        states.append(MachineState(number * 10**9, pressure_us=pressure_us))
        pressure_us += int(share * 10**6)
        states.append(MachineState((number + 1) * 10**9, pressure_us=pressure_us))
    return iter(states).__next__


def read_run() -> dict[str, Any]:
    return artifacts.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")


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
    assert run["affinity"]["asked"] is None
    assert run["affinity"]["workers"] == usable_cores()
    assert run["figures"]["wall_p10"] == {"minimum_effect": 0.05, "wanted_halfwidth": 0.01}
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


def test_a_control_runs_twice_like_the_reference(project: EngineProject) -> None:
    project.variant("second")["control"] = True
    build_all(project)
    benchmark.main()
    run = read_run()
    assert run["schedule"]["contenders"] == ["first", "second", "first/again", "second/again"]
    assert run["variants"]["second"]["contenders"] == ["second", "second/again"]
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    again = samples[samples["contender"] == "second/again"]
    assert set(again["variant"]) == {"second"}
    assert len(again) == len(samples[samples["contender"] == "second"])


def test_a_variant_whose_time_would_mislead_is_not_timed(project: EngineProject) -> None:
    stated = {"schema": 1, "precision": "int8", "executor": "onnxruntime-unoptimized"}
    project.variant("second")["backend"] = "onnxruntime"
    project.variant("second")["build"]["options"] = {}
    project.write()
    build.main("first")
    artifacts.write_json(artifacts.EXPORT / "record.json", stated)
    build.main("second")
    benchmark.main()
    second = read_run()["variants"]["second"]
    assert second["status"] == "evaluated_only"
    assert second["reason"]["text"].startswith("evaluated, not timed: ")
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    assert "second" not in set(samples["variant"])


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


def test_what_disturbed_rounds_is_recorded_and_all_contenders_lose_them(
    project: EngineProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.params["benchmark"]["rounds"] = project.params["benchmark"]["most_rounds"] = 4
    build_all(project)
    watch(monkeypatch, pressed([0.0, 0.05, 0.6, 0.0]))
    benchmark.main()
    disturbed = read_run()["disturbed"]
    assert disturbed["causes"] == {"2": ["pressure"]}
    assert disturbed["left_out"] == [2]
    assert disturbed["mostly_disturbed"] is False
    assert disturbed["limits"]["pressure_share"] == 0.10
    assert [item["evidence"]["pressure_share"] for item in read_run()["rounds"]] == [
        0,
        0.05,
        0.6,
        0,
    ]
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    left_out = samples[samples["status"] == "disturbed"]
    assert left_out.groupby("contender", observed=True).size().to_dict() == {
        "first": 3, "first/again": 3, "second": 3,
    }  # fmt: skip
    assert set(left_out["round"]) == {2}
    assert read_run()["summary"]["1"]["second"]["speedup"]["rounds_count"] == 3


def test_a_machine_that_is_never_quiet_keeps_all_rounds_and_says_so(
    project: EngineProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_all(project)
    watch(monkeypatch, pressed([0.5, 0.5]))
    benchmark.main()
    disturbed = read_run()["disturbed"]
    assert disturbed["mostly_disturbed"] is True
    assert disturbed["left_out"] == []
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet")
    assert "disturbed" not in set(samples["status"])


def test_every_scenario_is_in_one_file(project: EngineProject) -> None:
    project.params["benchmark"] |= {
        "throughput": THROUGHPUT,
        "sustained": SUSTAINED,
        "cold": COLD,
        "device": DEVICE,
    }
    build_all(project)
    benchmark.main()
    samples = read_samples(artifacts.BENCHMARK / "samples.parquet", scenario=None)
    assert set(samples["scenario"]) == {"latency", "throughput", "sustained", "cold"}
    window = samples[samples["scenario"] == "throughput"]
    assert set(window["streams"]) == {1, 2}
    assert set(window["batch"]) == {1, 2}
    assert set(window["contender"]) == {"first", "second", "first/again"}
    notes = read_run()["scenarios"]
    assert len(notes["throughput"]) == 2 * 2 * 2 * 3
    assert [note["contender"] for note in notes["sustained"]] == ["first", "second"]
    assert [note["contender"] for note in notes["cold"]] == ["first", "second", "second", "first"]
    for scenario in ("device", "parts"):  # nothing here runs on a GPU
        assert [note["contender"] for note in notes[scenario]] == ["first", "second", "first/again"]
        assert all("runs on the CPU" in note["reason"] for note in notes[scenario])


def test_the_timed_answers_are_kept_with_the_indices_of_their_samples(
    project: EngineProject,
) -> None:
    build_all(project)
    benchmark.main()
    answers = read_run()["answers"]
    assert answers["indices"] == [0, 1, 2, 3]
    assert answers["max_relative_error"]["second"] == {"logits": 0.0}
    sums = make_feeds(SAMPLES_COUNT)["input"].reshape(SAMPLES_COUNT, -1).sum(axis=1)
    with np.load(artifacts.BENCHMARK / answers["file"], allow_pickle=False) as stored:
        assert set(stored) == {"first/logits", "second/logits"}
        np.testing.assert_array_equal(stored["second/logits"][:, 1], sums[answers["indices"]])


def test_equal_answers_are_equal_bytes(project: EngineProject) -> None:
    build_all(project)
    digests = set()
    for _ in range(2):
        benchmark.main()
        digests.add(artifacts.sha256_file(artifacts.BENCHMARK / "answers.npz"))
    assert len(digests) == 1


def test_a_plan_that_answers_otherwise_than_it_was_evaluated_is_not_timed(
    project: EngineProject,
) -> None:
    project.params["benchmark"]["batches"] = [1, 2]
    project.variant("second")["build"]["options"] = {"mixes": True}
    build_all(project)
    with pytest.raises(BackendError, match=r"second at batch 2 answers otherwise .*'logits'"):
        benchmark.main()
    assert not artifacts.BENCHMARK.exists()


def test_workers_use_the_cores_that_they_are_given(project: EngineProject) -> None:
    core = usable_cores()[-1]
    project.params["benchmark"]["cpu_affinity"] = [core]
    project.variant("first")["run"]["threads"] = 0
    build_all(project)
    before = usable_cores()
    benchmark.main()
    assert read_run()["affinity"] == {"asked": [core], "workers": [core]}
    assert usable_cores() == before


def test_a_core_that_is_not_here_is_refused(project: EngineProject) -> None:
    project.params["benchmark"]["cpu_affinity"] = [99_999]
    build_all(project)
    with pytest.raises(ConfigError, match=r"benchmark\.cpu_affinity: core 99999"):
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
        try:
            assert wait_for(mark.exists)
            workers = workers_of(stage.pid)
            assert workers
            os.kill(stage.pid, how)
        except AssertionError:
            stage.kill()  # it would wait for its worker
            raise
    assert wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert not artifacts.BENCHMARK.exists()
