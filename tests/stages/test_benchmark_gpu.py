"""benchmark on a machine with several GPUs: the probed one is watched, and told in run.json."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stages import benchmark, build
from tests.benchmark_settings import ENERGY, settings
from tests.engine_project import EngineProject, make_engine_project
from tests.fake_machine.fake_nvml import FakeGpu, FakeNvml, make_gpus

from trtproof import artifacts
from trtproof.errors import HardwareError
from trtproof.measure.launch import SessionInputs
from trtproof.measure.machine import MachineState
from trtproof.nvml import hash_uuid

CHOSEN = 1


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[FakeGpu]:
    begun = time.monotonic()
    found = make_gpus(2, clock=lambda: time.monotonic() - begun)
    found[CHOSEN].temperature_c = 63
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*found))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: list[FakeGpu]) -> EngineProject:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(gpu.uuid for gpu in gpus))
    made = make_engine_project(monkeypatch, tmp_path)
    made.hardware["bench"]["gpu_uuid"] = hash_uuid(gpus[CHOSEN].uuid)
    quiet = partial(SessionInputs, read_machine=partial(MachineState, at_ns=0))
    monkeypatch.setattr(benchmark, "SessionInputs", quiet)
    made.params["benchmark"] = settings(
        rounds=2, most_rounds=2, max_minutes=0.2, batches=[1], energy=ENERGY, memory_ledger=True,
    )  # fmt: skip
    made.write()
    for name in made.params["variants"]:
        build.main(name)
    return made


def run() -> dict[str, Any]:
    benchmark.main()
    return artifacts.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")


def test_a_session_on_a_gpu_records_its_state_energy_and_memory(
    project: EngineProject, gpus: list[FakeGpu]
) -> None:
    del project
    record = run()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpus[CHOSEN].uuid
    assert record["gpu"]["ecc"] == "on"
    for entry in record["rounds"]:
        assert (entry["gpu"]["temperature_c"], entry["gpu"]["sm_mhz"]) == (63, 1980)
        assert entry["gpu"]["power_w"] == pytest.approx(120.0)
        assert entry["evidence"]["throttled_ns"] == 0
        assert entry["after"]["gpu"]["temperature_c"] == 63
    assert all(block["gpu"]["sm_mhz"] == 1980 for block in record["blocks"])
    energy = record["scenarios"]["energy"]
    assert [note["contender"] for note in energy] == [None, "first", "second", "second", "first"]
    (first, _) = record["scenarios"]["memory"]
    assert first["reason"] == "this variant runs on the CPU, not on the GPU"  # the fake does


def test_a_gpu_that_is_too_hot_all_the_time_concludes_nothing(
    project: EngineProject, gpus: list[FakeGpu]
) -> None:
    del project
    gpus[CHOSEN].throttling = {269: 0.2}
    record = run()
    assert record["disturbed"]["mostly_disturbed"]
    assert set(map(tuple, record["disturbed"]["causes"].values())) == {("throttled",)}


def test_another_gpus_heat_is_no_cause(project: EngineProject, gpus: list[FakeGpu]) -> None:
    del project
    gpus[1 - CHOSEN].throttling = {269: 0.2}
    gpus[1 - CHOSEN].tenants = {4_000_001: 90}
    assert run()["disturbed"]["causes"] == {}


def test_a_gpu_that_was_taken_out_is_an_error(
    project: EngineProject, monkeypatch: pytest.MonkeyPatch, gpus: list[FakeGpu]
) -> None:
    del project
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(gpus[1 - CHOSEN]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(HardwareError, match="dvc repro probe"):
        run()
