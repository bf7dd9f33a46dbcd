"""A trace of TensorRT's calls, and the same build played back from it without TensorRT."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.player import make_player
from tests.fake_tensorrt.surface import VERSIONS
from tests.fakes import make_feeds
from tests.tensorrt_builds import Build, make_build, use_fake
from tests.tensorrt_plans import PLAN_FILE, write_variant

from trtproof.backends.base import RunOptions, run_once
from trtproof.backends.tensorrt import BACKEND, build_process, library, trace
from trtproof.backends.tensorrt import build as build_module
from trtproof.backends.tensorrt.order import read_order
from trtproof.errors import BackendError, BuildFailedError


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Build in this process, in a folder of its own, with whatever `tensorrt` is there."""

    def build_here(work: Any) -> int:
        order = read_order(work.folder)
        build_process.carry_out(order, work.folder, build_process.build).write(work.folder)
        return 0

    monkeypatch.setattr(build_module, "run_process", build_here)
    monkeypatch.chdir(tmp_path)
    kept = list(library._captures)
    yield
    library._captures[:] = kept


@pytest.fixture(params=VERSIONS)
def host(request: pytest.FixtureRequest) -> Host:
    return Host(version=request.param)


def tape() -> Path:
    (path,) = trace.FOLDER.iterdir()
    return path


def entries() -> list[dict[str, Any]]:
    return [json.loads(line) for line in tape().read_text(encoding="utf-8").splitlines()]


def record(monkeypatch: pytest.MonkeyPatch, folder: Path, host: Host) -> Build:
    use_fake(monkeypatch, host)
    monkeypatch.setenv(trace.VARIABLE, "1")
    return make_build(folder, host=host)


def test_nothing_is_written_unless_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Host
) -> None:
    use_fake(monkeypatch, host)
    for value in (None, "", "0"):
        if value is not None:
            monkeypatch.setenv(trace.VARIABLE, value)
        assert library.load().__class__.__name__ == "module"
    assert not (tmp_path / trace.FOLDER).exists()


def test_a_traced_build_is_the_same_build_and_every_call_is_on_the_tape(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Host
) -> None:
    build = record(monkeypatch, tmp_path, host)
    built = build.run()
    assert built.facts["tensorrt"] == host.version
    names = [entry["name"] for entry in entries()]
    assert names[0] == "__version__"
    wanted = ["Builder", "create_network", "OnnxParser", "parse_from_file", "set_memory_pool_limit"]
    wanted += ["build_serialized_network", "deserialize_cuda_engine", "get_engine_information"]
    assert [name for name in names if name in wanted][:5] == wanted[:5]
    assert set(wanted) <= set(names)


def test_the_tape_holds_no_data_and_no_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Host
) -> None:
    record(monkeypatch, tmp_path, host).run()
    text = tape().read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "model.onnx" in text
    plan = next(entry for entry in entries() if entry["name"] == "__bytes__")
    assert list(plan["result"]) == ["bytes"]
    assert len(text) < 200_000


def test_a_build_is_played_back_without_tensorrt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Host
) -> None:
    (tmp_path / "one").mkdir()
    first = record(monkeypatch, tmp_path / "one", host).run()
    monkeypatch.delenv(trace.VARIABLE)
    monkeypatch.setitem(sys.modules, "tensorrt", make_player(tape()))
    (tmp_path / "two").mkdir()
    played = make_build(tmp_path / "two", host=host).run()
    assert {**played.facts, "timing_cache_sha256": ""} == {**first.facts, "timing_cache_sha256": ""}
    assert played.layers == first.layers


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ("no_implementation", BuildFailedError, "implementation"),
        ("out_of_memory", BackendError, "emory"),
        ("builder_nullptr", BackendError, "CUDA cannot be initialised"),
    ],
)
def test_a_failure_is_played_back_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str, error: type, text: str
) -> None:
    host = Host(faults={fault: ""})
    (tmp_path / "one").mkdir()
    with pytest.raises(error, match=text) as real:
        record(monkeypatch, tmp_path / "one", host).run()
    monkeypatch.delenv(trace.VARIABLE)
    monkeypatch.setitem(sys.modules, "tensorrt", make_player(tape()))
    (tmp_path / "two").mkdir()
    with pytest.raises(error) as played:
        make_build(tmp_path / "two").run()
    assert str(played.value) == str(real.value)


def test_another_call_than_the_recorded_one_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record(monkeypatch, tmp_path, Host()).run()
    player = make_player(tape())
    with pytest.raises(AssertionError, match="never asked for Refitter"):
        player.Refitter(None, None)
    with pytest.raises(AssertionError, match="never asked for network_name"):
        player.Builder(None).network_name("x")


def test_a_traced_engine_answers_the_same_and_alike_calls_are_cut(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Host
) -> None:
    use_fake(monkeypatch, host)
    monkeypatch.setenv(trace.VARIABLE, "1")
    monkeypatch.setattr(trace, "MOST_OF_ONE", 3)
    folder = write_variant(tmp_path / "variant", host=host)
    with BACKEND.open(folder, PLAN_FILE, RunOptions(threads=1, device="cuda")) as opened:
        runner = opened.runner(0)
        answers = [run_once(runner, make_feeds(2))["logits"].tobytes() for _ in range(8)]
    assert len(set(answers)) == 1
    launches = [entry for entry in entries() if entry["name"] == "execute_async_v3"]
    assert len(launches) == 3
