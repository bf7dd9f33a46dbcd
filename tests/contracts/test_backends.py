"""What every backend promises; each registered one that this machine can run is tested."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import VERSIONS
from tests.fakes import MODEL_CONFIG, TESTS, make_feeds, write_export
from tests.tensorrt_builds import use_fake

from trtproof import artifacts
from trtproof.backends import BACKENDS
from trtproof.backends.base import Backend, BuildSpec, Engine, RunOptions, run_once
from trtproof.errors import BackendError, ConfigError, PlanCorruptError
from trtproof.models.base import load_files
from trtproof.registry import extend_path
from trtproof.sidecar import EngineRecord, verify_plan, write_record
from trtproof.tensor import Feeds

FACTS: dict[str, dict[str, Any]] = {
    "onnxruntime": {"device": "cpu", "version": "1"},
    "torch": {"device": "cpu", "version": "1"},
    "tensorrt": dict(Host().facts()),
}
HERE = [
    name
    for name in BACKENDS
    if BACKENDS.load(name).unavailable(FACTS.get(name, {}), "fp32") is None
]
HOSTS = {f"tensorrt {version}": Host(version=version) for version in VERSIONS}
"""TensorRT runs on the strict fake, once for each major."""

PLACES = [name for name in HERE if name != "tensorrt"] + list(HOSTS)


@pytest.fixture(scope="module", params=PLACES)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    place = str(request.param)
    with pytest.MonkeyPatch.context() as patch:
        if place in HOSTS:
            use_fake(patch, HOSTS[place])
            patch.setitem(FACTS, "tensorrt", dict(HOSTS[place].facts()))
        yield place.partition(" ")[0]


@pytest.fixture(scope="module")
def backend(name: str) -> Backend:
    extend_path([str(TESTS)])
    return BACKENDS.load(name)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_export(folder)
    return folder


def make_spec(name: str, **options: Any) -> BuildSpec:
    return BuildSpec(
        precision="fp32",
        tf32=False,
        workspace_mib=64,
        profiles=[{"batch": (1, 4, 8)}],
        options=options,
        facts=FACTS[name],
        model_config=MODEL_CONFIG,
    )


@pytest.fixture(scope="module")
def built(
    name: str, backend: Backend, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp(name)
    record = backend.compile(load_files(source), make_spec(name), out)
    artifacts.write_text(
        out / "signature.json", (source / "signature.json").read_text(encoding="utf-8")
    )
    return out, record.plan


@pytest.fixture
def engine(backend: Backend, built: tuple[Path, str]) -> Iterator[Engine]:
    with backend.open(*built, RunOptions(threads=1)) as opened:
        yield opened


def expected(source: Path, feeds: Feeds) -> Feeds:
    outputs: Any = ReferenceEvaluator(onnx.load(source / "model.onnx")).run(None, dict(feeds))
    return {"logits": np.asarray(outputs[0])}


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_the_engine_computes_what_the_float32_graph_does(
    engine: Engine, source: Path, batch: int
) -> None:
    feeds = make_feeds(batch)
    outputs = run_once(engine.runner(0), feeds)
    assert list(outputs) == ["logits"]
    np.testing.assert_allclose(outputs["logits"], expected(source, feeds)["logits"], atol=1e-5)


def test_shapes_may_change_from_request_to_request(engine: Engine, source: Path) -> None:
    runner = engine.runner(0)
    for batch in (4, 1, 8, 4):
        feeds = make_feeds(batch, seed=batch)
        actual = run_once(runner, feeds)["logits"]
        np.testing.assert_allclose(actual, expected(source, feeds)["logits"], atol=1e-5)


def test_read_gives_arrays_that_later_requests_leave_alone(engine: Engine) -> None:
    runner = engine.runner(0)
    first = run_once(runner, make_feeds(2, seed=1))["logits"]
    before = first.copy()
    run_once(runner, make_feeds(2, seed=2))
    np.testing.assert_array_equal(first, before)
    first[:] = 0
    assert run_once(runner, make_feeds(2, seed=1))["logits"].any()


def test_each_read_gives_arrays_of_its_own(engine: Engine) -> None:
    runner = engine.runner(0)
    first = run_once(runner, make_feeds(2))["logits"]
    wanted = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(runner.read(0)["logits"], wanted)


def test_the_runner_owns_a_copy_of_what_is_staged(engine: Engine) -> None:
    runner, feeds = engine.runner(0), make_feeds(2)
    wanted = run_once(runner, feeds)["logits"]
    runner.stage(0, feeds)
    feeds["input"][:] = 0
    runner.upload(0)
    runner.launch(0)
    runner.download(0)
    runner.wait()
    np.testing.assert_array_equal(runner.read(0)["logits"], wanted)


def test_the_next_request_can_be_staged_ahead_in_the_other_slot(engine: Engine) -> None:
    runner, first, second = engine.runner(0), make_feeds(2, seed=1), make_feeds(2, seed=2)
    wanted = [run_once(engine.runner(0), feeds)["logits"] for feeds in (first, second)]
    runner.stage(0, first)
    runner.upload(0)
    runner.launch(0)
    runner.stage(1, second)
    runner.download(0)
    runner.upload(1)
    runner.launch(1)
    runner.download(1)
    runner.wait()
    for slot in (0, 1):
        np.testing.assert_array_equal(runner.read(slot)["logits"], wanted[slot])


def test_runners_of_one_engine_are_independent(engine: Engine) -> None:
    one, other = engine.runner(0), engine.runner(1)
    wanted = run_once(one, make_feeds(2, seed=1))["logits"]
    run_once(other, make_feeds(3, seed=2))
    np.testing.assert_array_equal(one.read(0)["logits"], wanted)
    other.close()
    np.testing.assert_array_equal(run_once(one, make_feeds(2, seed=1))["logits"], wanted)


def test_closing_a_runner_twice_is_harmless(engine: Engine) -> None:
    runner, other = engine.runner(0), engine.runner(1)
    wanted = run_once(other, make_feeds(1))["logits"]
    run_once(runner, make_feeds(1))
    runner.close()
    runner.close()
    np.testing.assert_array_equal(run_once(other, make_feeds(1))["logits"], wanted)


@pytest.mark.parametrize(
    "feeds",
    [{}, {"input": make_feeds(1)["input"].astype(np.float64)}],
    ids=["missing", "wrong type"],
)
def test_a_request_that_does_not_fit_is_an_error_that_names_the_input(
    engine: Engine, feeds: Feeds
) -> None:
    with pytest.raises(BackendError, match="'input'"):
        engine.runner(0).stage(0, feeds)


def test_the_signature_travels_with_the_plan(engine: Engine) -> None:
    assert engine.signature.input_names == ["input"]
    assert engine.signature.inputs[0].shape == ("batch", 1, 6, 6)


def test_an_unknown_build_option_is_refused(
    name: str, backend: Backend, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="turbo"):
        backend.compile(load_files(source), make_spec(name, turbo=True), tmp_path)


def test_a_plan_verifies_until_one_byte_changes(
    name: str, backend: Backend, source: Path, tmp_path: Path
) -> None:
    record = backend.compile(load_files(source), make_spec(name), tmp_path)
    sidecar = EngineRecord(
        variant="v",
        backend=name,
        recipe="fp32",
        precision="fp32",
        status="built",
        facts=FACTS[name],
        key={},
        settings={},
        plan=record.plan,
        files=artifacts.sha256_folder(tmp_path),
    )
    write_record(tmp_path, sidecar)
    verify_plan(tmp_path, FACTS[name])
    plan = tmp_path / record.plan
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)
    with pytest.raises(PlanCorruptError, match=record.plan):
        verify_plan(tmp_path, FACTS[name])


def test_an_engine_may_be_opened_again_after_it_was_closed(
    backend: Backend, built: tuple[Path, str]
) -> None:
    answers = []
    for _ in range(2):
        with ExitStack() as stack:
            opened = stack.enter_context(backend.open(*built, RunOptions(threads=1)))
            answers.append(run_once(opened.runner(0), make_feeds(2))["logits"])
    np.testing.assert_array_equal(answers[0], answers[1])


@pytest.mark.parametrize("registered", list(BACKENDS))
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8_cpu", "fp8", "new"])
@pytest.mark.parametrize(
    "facts", [{}, {"device": "cpu"}, {"device": "cuda", "gpu": "T4"}, {"bindings": "11"}]
)
def test_unavailable_is_decided_from_the_facts_alone(
    registered: str, precision: str, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = BACKENDS.load(registered)

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the machine was asked")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(Path, "exists", refuse)
    reason = backend.unavailable(facts, precision)
    assert reason == backend.unavailable(dict(facts), precision)
    if not facts:
        assert reason is not None
    if reason is not None:
        assert all(reason.to_json().values())


def test_the_machine_of_the_tests_runs_some_backend() -> None:
    assert "onnxruntime" in HERE
    assert "torch" in HERE
    assert "tensorrt" in HERE, "the fake host's facts must do"
