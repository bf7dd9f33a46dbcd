"""Where a variant's memory goes: each part with its source, the rest shown."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from tests.benchmark_settings import benchmark_config
from tests.cuda_backend import SIZED_BACKEND
from tests.cuda_doubler import Doubler, make_feeds
from tests.fake_cuda.gpu import current_machine, new_machine
from tests.fake_cuda.runtime import make_runtime
from tests.fake_machine.fake_nvml import FakeNvml, make_gpus
from tests.fakes import TESTS
from tests.fakes import make_feeds as make_items
from tests.unit.test_gpu_state import Bench
from tests.unit.test_session import contender, quiet

from trtproof.backends.base import RunOptions, TellsMemory, run_once
from trtproof.backends.cuda.calls import MODULE
from trtproof.backends.cuda.device import open_device
from trtproof.backends.memory import MemoryLog
from trtproof.measure import memory_ledger
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.memory_ledger import Outside, balance, measure_memory

MIB = 2**20
INSIDE = {"context": 1000, "loaded": 1300, "warm": 1800}
TOLD = [
    {"part": "io", "size_bytes": 40, "source": "ours"},
    {"part": "weights", "size_bytes": 290, "source": "the library"},
]


@pytest.fixture(autouse=True)
def _machines_are_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    monkeypatch.setitem(sys.modules, MODULE, make_runtime(current_machine))
    new_machine()


def test_parts_and_the_rest_are_what_is_seen_from_outside() -> None:
    found = balance(INSIDE, TOLD, Outside(idle=600, context=1010, warm=1820, peak=2000))
    sizes = {part["part"]: part["size_bytes"] for part in found["parts"]}
    assert sizes == {"context": 410, "weights": 300, "activations": 460, "io": 40}
    assert found["total_bytes"] == 1220
    assert found["unexplained_bytes"] == 1220 - (410 + 300 + 460 + 40)
    assert found["peak_bytes"] == 1400
    assert found["told"] == TOLD
    assert all(part["source"] for part in found["parts"])


def test_a_log_that_was_not_begun_touches_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)
    log = MemoryLog()
    log.mark("loaded")
    log.begin("cpu")
    log.mark("warm")
    assert log.used_bytes == {}


def test_moments_differ_by_what_was_allocated_between_them() -> None:
    log = MemoryLog()
    log.begin("cuda")
    with open_device() as device:
        runner = Doubler(device)
        run_once(runner, make_feeds(4))
        log.mark("warm")
        figures = {figure.part: figure for figure in runner.memory()}
        grown = log.used_bytes["warm"] - log.used_bytes["context"]
        assert isinstance(runner, TellsMemory)
        assert 0 < figures["io"].size_bytes <= grown
        assert figures["io_pinned"].size_bytes > 0
        assert "cudaMalloc" in figures["io"].source
        runner.close()
        assert {figure.size_bytes for figure in runner.memory()} == {0}


class StubLink:
    """A worker that grows on the fake GPU as it is told to work."""

    pid, number = 77, 3

    def __init__(self, bench: Bench) -> None:
        self.gpu = bench.gpu
        self.gpu.tenants = {self.pid: 0}
        self.asked: list[str] = []
        self.bench = bench

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.gpu.memory_of.clear()

    def ask(self, command: str, **_: Any) -> dict[str, Any]:
        self.asked.append(command)
        sizes = {"open_context": 400, "open": 700, "warm_up": 1200}
        if command == "warm_up":  # a peak that only polls see
            self.gpu.memory_of[self.pid] = 1500 * MIB
            self.bench.monitor.read()
        if command in sizes:
            self.gpu.memory_of[self.pid] = sizes[command] * MIB
        used = {"context": 400 * MIB, "loaded": 700 * MIB, "warm": 1200 * MIB}
        return {"used_bytes": used, "told": [], "peak_rss_bytes": 9}


def test_each_variant_is_measured_alone_in_a_worker_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(make_gpus(1)[0])
    on_gpu = RunOptions(threads=1, device="cuda")
    both = [replace(contender(tmp_path, name), options=on_gpu) for name in ("a", "b")]
    config = benchmark_config(batches=[1])
    inputs = SessionInputs(both, make_items(4), config, "device", quiet, gpu=bench.monitor)
    launcher = Launcher(inputs, tmp_path)
    links: list[StubLink] = []

    def start(_: Any) -> StubLink:
        assert not bench.gpu.memory_of, "another worker still runs"
        links.append(StubLink(bench))
        return links[-1]

    monkeypatch.setattr(launcher, "start", start)
    monkeypatch.setattr(launcher, "open", lambda link: link.ask("open"))
    notes = measure_memory(launcher)
    assert [note["contender"] for note in notes] == ["a", "b"]
    assert links[0].asked == ["open_context", "open", "warm_up", "tell_memory"]
    for note in notes:
        sizes = {part["part"]: part["size_bytes"] // MIB for part in note["parts"]}
        assert sizes == {"context": 400, "weights": 300, "activations": 500, "io": 0}
        assert (note["unexplained_bytes"], note["total_bytes"]) == (0, 1200 * MIB)
        assert note["peak_bytes"] == 1500 * MIB
        assert note["process_bytes"] == 1200 * MIB
        assert note["plan_bytes"] == (tmp_path / "a/engine.fake").stat().st_size


def test_a_worker_tells_its_memory_moment_by_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (TESTS / "fake_cuda/path", TESTS.parent, TESTS.parent / "src")
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, places)))
    sized = replace(
        contender(tmp_path, "sized", weights_mib=512, work_mib=128),
        backend=SIZED_BACKEND,
        options=RunOptions(threads=1, device="cuda", pythonpath=(str(TESTS),)),
    )
    bench, config = Bench(make_gpus(1)[0]), benchmark_config(batches=[1])
    inputs = SessionInputs([sized], make_items(4), config, "device", quiet, gpu=bench.monitor)
    (note,) = measure_memory(Launcher(inputs, tmp_path))
    sizes = {part["part"]: part["size_bytes"] for part in note["parts"]}
    assert sizes["weights"] == 512 * MIB
    assert 0 < sizes["io"] < MIB
    assert sizes["activations"] == 128 * MIB
    assert {figure["part"] for figure in note["told"]} == {"io", "io_pinned"}
    assert note["host_peak_bytes"] > MIB


def test_a_variant_on_the_cpu_has_no_memory_on_the_gpu(tmp_path: Path) -> None:
    bench, config = Bench(make_gpus(1)[0]), benchmark_config(batches=[1])
    one = [contender(tmp_path, "a")]
    inputs = SessionInputs(one, make_items(4), config, "device", quiet, gpu=bench.monitor)
    (note,) = measure_memory(Launcher(inputs, tmp_path))
    assert note == {"contender": "a", "reason": memory_ledger.NOT_ON_IT}


@pytest.mark.parametrize("told", [True, False])
def test_without_a_gpu_or_its_figure_there_is_a_reason(tmp_path: Path, told: bool) -> None:
    bench = Bench(make_gpus(1, refuses={"nvmlDeviceGetMemoryInfo"})[0])
    monitor = None if told else bench.monitor
    one, config = [contender(tmp_path, "a")], benchmark_config()
    inputs = SessionInputs(one, make_items(4), config, "device", quiet, gpu=monitor)
    (note,) = measure_memory(Launcher(inputs, tmp_path))
    reason = "on the CPU, whose memory is not read" if told else memory_ledger.NO_FIGURE
    assert reason in note["reason"]
