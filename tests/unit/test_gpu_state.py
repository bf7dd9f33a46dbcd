"""The GPU's state: what is counted, whose work it is, and what disturbs a round."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest
from tests.benchmark_settings import benchmark_config
from tests.fake_machine.fake_nvml import FakeGpu, FakeNvml, make_gpus
from tests.fakes import make_feeds
from tests.unit.test_session import contender, quiet

from trtproof.errors import HardwareError
from trtproof.hardware import Hardware
from trtproof.measure import gpu_state
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.disturbed import Cause
from trtproof.measure.gpu_counters import GpuCounters
from trtproof.measure.gpu_state import GpuMonitor, GpuSpan, compare_readings, watch_gpu
from trtproof.measure.gpu_tenants import Tenancy, Tenants, list_children
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.machine import compare_states
from trtproof.measure.power_cap import find_unlike_rounds
from trtproof.measure.rounds import SessionRecord
from trtproof.measure.session import run_sessions
from trtproof.nvml import hash_uuid

POWER_CAP, SW_THERMAL, BRAKE = 74, 269, 271
STRANGER, OTHER = 4_000_001, 4_000_002
OWN = os.getpid()


class Bench:
    """One GPU under a monitor that a test polls by hand."""

    def __init__(self, gpu: FakeGpu, children: frozenset[int] = frozenset()) -> None:
        self.gpu = gpu
        self.children = children
        self.nvml = FakeNvml(gpu)
        self.nvml.nvmlInit()
        self.counters = GpuCounters(self.nvml, gpu)
        tenants = Tenants(self.counters.read_processes(), lambda: self.children)
        self.monitor = GpuMonitor(self.counters, self, tenants)

    name = "the fake's"

    def now_ns(self) -> int:
        return int(self.gpu.seconds * 1e9)

    def span(self, *seconds: float) -> GpuSpan:
        """Return what a monitor says of this time, polled after each part of it."""
        before = after = self.monitor.read()
        for part in seconds:
            self.gpu.pass_time(part)
            after = self.monitor.read()
        return compare_readings(before, after)


@pytest.fixture(autouse=True)
def _pynvml_is_a_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())


def make_gpu(**facts: Any) -> FakeGpu:
    return make_gpus(1, **facts)[0]


def test_a_round_has_the_mean_clock_power_and_temperature() -> None:
    bench = Bench(make_gpu(power_w=400.0))
    before = after = bench.monitor.read()
    for mhz in (1980, 1545, 1545):
        bench.gpu.sm_mhz = mhz
        bench.gpu.pass_time(0.2)
        after = bench.monitor.read()
    found = compare_readings(before, after)
    assert found.sm_mhz == pytest.approx((1980 + 2 * 1545) / 3)
    assert found.power_w == pytest.approx(400.0)
    assert (found.temperature_c, found.memory_mhz, found.p_state) == (41, 3201, 0)
    assert (found.pcie_generation, found.pcie_width) == (5, 16)


def test_slowdowns_are_differences_of_counters_in_nanoseconds() -> None:
    gpu = make_gpu(throttling={POWER_CAP: 0.95, SW_THERMAL: 0.25})
    found = Bench(gpu).span(1.0, 1.0)
    assert found.throttled_ns == {
        "power_cap": 1_900_000_000,
        "sync_boost": 0,
        "sw_thermal": 500_000_000,
        "hw_thermal": 0,
        "power_brake": 0,
    }
    assert found.power_cap_share == pytest.approx(0.95)
    assert found.fault_ns == 500_000_000


def test_a_counter_that_runs_ahead_caps_no_more_than_all_of_the_time() -> None:
    found = Bench(make_gpu(throttling={POWER_CAP: 1.02})).span(1.0)
    assert found.power_cap_share == 1.0
    assert found.throttled_ns["power_cap"] == 1_020_000_000  # as it was told


def test_a_power_cap_alone_is_no_fault() -> None:
    assert Bench(make_gpu(throttling={POWER_CAP: 1.0})).span(1.0).fault_ns == 0


def test_without_counters_the_reasons_that_polls_saw_are_added_up() -> None:
    gpu = make_gpu(refuses={"nvmlDeviceGetFieldValues"}, throttling={BRAKE: 1.0})
    bench = Bench(gpu)
    assert bench.monitor.facts["throttling_is"] == "polled"
    before = bench.monitor.read()
    gpu.pass_time(0.25)
    bench.monitor.read()
    gpu.throttling.clear()
    gpu.pass_time(0.5)
    found = compare_readings(before, bench.monitor.read())
    assert found.throttled_ns == {"power_brake": 250_000_000, "power_cap": 0}
    assert found.fault_ns == 250_000_000


def test_one_counter_that_a_gpu_lacks_is_absent_and_not_zero() -> None:
    found = Bench(make_gpu(missing_fields={SW_THERMAL})).span(1.0)
    assert "sw_thermal" not in found.throttled_ns
    assert "hw_thermal" in found.throttled_ns


READS = [
    "nvmlDeviceGetClockInfo", "nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPerformanceState",
    "nvmlDeviceGetCurrPcieLinkGeneration", "nvmlDeviceGetCurrPcieLinkWidth",
    "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetFieldValues", "nvmlDeviceGetProcessUtilization",
]  # fmt: skip


def test_a_gpu_that_tells_nothing_has_an_empty_state() -> None:
    bench = Bench(make_gpu(refuses=set(READS)))
    assert bench.span(1.0, 1.0) == GpuSpan()
    assert bench.span(1.0).to_json() == {"throttled_ns": {}}
    assert bench.monitor.read().to_json() == {}


@pytest.mark.parametrize("call", READS)
def test_one_thing_that_a_gpu_does_not_tell_takes_nothing_else_away(call: str) -> None:
    whole = Bench(make_gpu()).span(1.0).to_json()
    less = Bench(make_gpu(refuses={call})).span(1.0).to_json()
    assert less.items() <= whole.items() or call == "nvmlDeviceGetFieldValues"
    assert len(less) >= len(whole) - 2


def test_a_driver_older_than_a_call_does_not_tell() -> None:
    old = make_gpu(broken={"nvmlDeviceGetComputeRunningProcesses": pynvml.NVMLLibraryMismatchError})
    found = Bench(old).span(1.0)
    assert found.sm_mhz == 1980
    assert (found.others_count, found.others_share) == (None, None)


def test_a_gpu_that_fails_while_it_is_polled_is_an_error_at_the_next_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu_state, "POLL_S", 0.001)
    bench = Bench(make_gpu())
    with bench.monitor:
        bench.gpu.broken["nvmlDeviceGetClockInfo"] = pynvml.NVML_ERROR_GPU_IS_LOST
        bench.monitor._thread.join(10)
        bench.gpu.broken.clear()
        with pytest.raises(HardwareError, match="does not answer nvmlDeviceGetClockInfo"):
            bench.monitor.read()


def test_a_monitor_polls_by_itself_until_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_state, "POLL_S", 0.001)
    bench = Bench(make_gpu())
    with bench.monitor:
        first = bench.monitor.read().polls_count
        while bench.monitor._last is None or bench.monitor._last.polls_count < first + 5:
            pass
    assert not bench.monitor._thread.is_alive()


def test_memory_in_use_has_a_peak_between_resets() -> None:
    bench = Bench(make_gpu(used_bytes=100))
    for used in (300, 200):
        bench.gpu.used_bytes = used
        bench.monitor.read()
    assert bench.monitor.peak_bytes == 300
    bench.monitor.reset_peak()
    bench.monitor.read()
    assert bench.monitor.peak_bytes == 200


def test_our_own_processes_are_not_others() -> None:
    gpu = make_gpu()
    bench = Bench(gpu, children=frozenset({7, 8}))
    gpu.tenants = {7: 60, 8: 40}
    found = bench.span(0.2, 0.2)
    assert (found.others_count, found.others_share) == (0, 0.0)


def test_a_process_that_comes_while_we_measure_is_anothers() -> None:
    gpu = make_gpu()
    bench = Bench(gpu, children=frozenset({7}))
    gpu.tenants = {7: 60}
    bench.span(0.2)
    gpu.tenants[STRANGER] = 40
    found = bench.span(0.2)
    assert found.others_count == 1
    assert found.others_share == pytest.approx(0.4)


def test_an_idle_process_of_another_is_counted_but_takes_nothing() -> None:
    gpu = make_gpu(tenants={STRANGER: 0})
    bench = Bench(gpu, children=frozenset({7}))
    gpu.tenants[7] = 90
    bench.span(0.2)
    found = bench.span(0.2)
    assert (found.others_count, found.others_share) == (1, 0.0)


def test_where_the_driver_numbers_as_the_host_does_ours_are_told_by_their_count() -> None:
    gpu = make_gpu(tenants={STRANGER: 0})
    bench = Bench(gpu, children=frozenset({7, 8}))
    gpu.tenants |= {90_001: 50, 90_002: 40}  # the host's names of 7 and 8
    found = bench.span(0.2)
    assert (found.others_count, found.others_share) == (1, 0.0)
    gpu.tenants[OTHER] = 10
    assert bench.span(0.2).others_count == 2
    assert bench.span(0.2).others_share == 1.0


def test_a_worker_that_just_ended_is_still_ours() -> None:
    tenants = Tenants(frozenset(), children=iter([frozenset({7}), frozenset()]).__next__)
    assert tenants.look(frozenset({7}), {}).count == 0
    assert tenants.look(frozenset({7, OWN}), {}).count == 0


def test_without_shares_by_process_one_that_holds_a_context_may_use_all() -> None:
    tenants = Tenants(frozenset(), children=lambda: frozenset({7}))
    assert tenants.look(frozenset({7}), None) == Tenancy(0, 0.0)
    assert tenants.look(frozenset({7, STRANGER}), None) == Tenancy(1, 1.0)


@pytest.mark.parametrize("utilisation", [None, {}, {STRANGER: 1.0}])
def test_without_a_list_of_processes_nothing_is_known_of_others(utilisation: Any) -> None:
    assert Tenants(None, frozenset).look(None, utilisation) == Tenancy(None, None)


def test_children_of_children_are_ours() -> None:
    code = "import subprocess as s; p = s.Popen(['sleep', '60']); print(p.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        found = list_children()
        os.kill(grandchild, signal.SIGKILL)
        child.kill()
    assert {child.pid, grandchild} <= found
    assert OWN not in found


def test_the_shares_of_processes_are_of_the_time_since_the_last_look() -> None:
    bench = Bench(make_gpu(tenants={STRANGER: 100}))
    bench.gpu.pass_time(1.0)
    assert bench.counters.read_utilisation() == {STRANGER: 1.0}
    assert bench.counters.read_utilisation() == {}
    bench.gpu.tenants[STRANGER] = 500  # some drivers fill unused samples with nonsense
    bench.gpu.pass_time(1.0)
    assert bench.counters.read_utilisation() == {}


def test_a_part_of_a_gpu_has_its_own_memory_and_its_boards_clocks() -> None:
    part = FakeGpu("MIG-1", used_bytes=5)
    board = make_gpu(parts=[part])
    nvml = FakeNvml(board)
    nvml.nvmlInit()
    counters = GpuCounters(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, 0))
    found = counters.read()
    assert (found.used_bytes, found.sm_mhz) == (5, 1980)
    assert found.energy_mj is None  # the board's covers all parts
    assert counters.describe()["mig"] == "on"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeGpu]]:
    found = [*make_gpus(3), FakeGpu("GPU-mig", parts=[FakeGpu("MIG-a"), FakeGpu("MIG-b")])]
    nvml = FakeNvml(*found)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    yield found
    assert nvml.sessions_count == 0


def hardware_of(uuid: str) -> Hardware:
    return Hardware(slug="fake", engine={}, bench={"gpu_uuid": hash_uuid(uuid)})


@pytest.mark.parametrize("number", [0, 1, 2])
def test_of_several_gpus_the_probed_one_is_watched(
    gpus: list[FakeGpu], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus[number].uuid)  # as for the workers
    for place, gpu in enumerate(gpus):
        gpu.temperature_c = 30 + place
    with watch_gpu(hardware_of(gpus[number].uuid)) as monitor:
        assert monitor is not None
        assert monitor.read().now.temperature_c == 30 + number


def test_a_part_is_found_by_its_own_uuid(gpus: list[FakeGpu]) -> None:
    gpus[3].parts[1].used_bytes = 77
    with watch_gpu(hardware_of("MIG-b")) as monitor:
        assert monitor is not None
        assert monitor.read().now.used_bytes == 77


def test_a_gpu_that_is_gone_is_an_error(gpus: list[FakeGpu]) -> None:
    del gpus
    with pytest.raises(HardwareError, match="dvc repro probe"), watch_gpu(hardware_of("GPU-x")):
        pass


def test_a_run_on_the_cpu_watches_no_gpu(gpus: list[FakeGpu]) -> None:
    del gpus
    with watch_gpu(Hardware(slug="cpu", engine={}, bench={})) as monitor:
        assert monitor is None


def measure(folder: Path, bench: Bench, **changes: Any) -> SessionRecord:
    """Run four rounds of two contenders beside the fake GPU."""
    config = benchmark_config(batches=[1], **changes)
    both = [contender(folder, "a"), contender(folder, "b")]
    inputs = SessionInputs(both, make_feeds(4), config, "device", quiet, gpu=bench.monitor)
    return run_sessions(Launcher(inputs, folder), reference="a", clock=MonotonicClock())


def at_readings(bench: Bench, changes: dict[int, Any]) -> None:
    """Let a second pass before each reading, and change the GPU before those of these numbers."""
    real, count = bench.monitor.read, iter(range(10_000))

    def read() -> Any:
        number = next(count)
        for name, value in changes.get(number, {}).items():
            setattr(bench.gpu, name, value)
        bench.gpu.pass_time(1.0)
        return real()

    bench.monitor.read = read  # type: ignore[method-assign]


ROUND = 6
"""Readings of one round: at its borders, and around both blocks; one more before the first."""


def test_a_round_in_which_heat_slowed_the_gpu_is_left_out_for_all(tmp_path: Path) -> None:
    bench = Bench(make_gpu())
    at_readings(bench, {1 + ROUND + 1: {"throttling": {SW_THERMAL: 0.1}},
                        1 + 2 * ROUND: {"throttling": {}}})  # fmt: skip
    record = measure(tmp_path, bench)
    assert [item.causes for item in record.rounds] == [(), (Cause.THROTTLED,), (), ()]
    assert record.select(benchmark_config().disturbance).left_out == (1,)
    told = record.rounds[1].to_json(["a", "b"])
    assert told["evidence"]["throttled_ns"] == told["gpu"]["throttled_ns"]["sw_thermal"] > 0
    assert {block.turn.contender for block in record.blocks if block.turn.round == 1} == {"a", "b"}


def test_a_second_process_on_the_gpu_is_a_cause(tmp_path: Path) -> None:
    bench = Bench(make_gpu())
    at_readings(bench, {1 + 2 * ROUND + 1: {"tenants": {STRANGER: 45}},
                        1 + 3 * ROUND: {"tenants": {}}})  # fmt: skip
    record = measure(tmp_path, bench)
    assert [item.causes for item in record.rounds] == [(), (), (Cause.FOREIGN,), ()]


def test_a_gpu_that_is_always_power_capped_loses_no_round(tmp_path: Path) -> None:
    record = measure(tmp_path, Bench(make_gpu(throttling={POWER_CAP: 0.97})))
    assert [item.causes for item in record.rounds] == [(), (), (), ()]
    assert not record.select(benchmark_config().disturbance).causes


def test_a_block_that_alone_was_power_capped_leaves_its_round_out(tmp_path: Path) -> None:
    bench = Bench(make_gpu())
    at_readings(bench, {1 + ROUND + 2: {"throttling": {POWER_CAP: 1.0}},
                        1 + ROUND + 3: {"throttling": {}}})  # fmt: skip
    record = measure(tmp_path, bench)
    selection = record.select(benchmark_config().disturbance)
    assert selection.causes == {1: (Cause.POWER_CAP,)}
    assert selection.left_out == (1,)


def test_processor_time_of_others_is_no_use_of_a_gpu(tmp_path: Path) -> None:
    bench = Bench(make_gpu())
    inputs = SessionInputs([], make_feeds(1), benchmark_config(), "device", gpu=bench.monitor)
    del tmp_path
    before = inputs.read_state()
    bench.gpu.pass_time(1.0)
    assert compare_states(before, inputs.read_state()).foreign_share == 0.0


def note(contender: str, number: int, share: float | None) -> dict[str, Any]:
    gpu = {} if share is None else {"power_cap_share": share}
    return {"contender": contender, "batch": 1, "round": number, "gpu": gpu}


def test_only_a_block_far_from_its_own_contenders_others_is_unlike() -> None:
    heavy = [note("heavy", number, 0.95) for number in range(5)]
    light = [note("light", number, 0.0) for number in range(5)]
    assert find_unlike_rounds([*heavy, *light], 0.25) == []
    assert find_unlike_rounds([*heavy, *light[:4], note("light", 4, 0.4)], 0.25) == [4]
    assert find_unlike_rounds([*heavy[:2], note("heavy", 2, 0.5)], 0.25) == [2]


def test_too_few_blocks_or_none_told_make_none_unlike() -> None:
    assert find_unlike_rounds([note("a", 0, 0.0), note("a", 1, 1.0)], 0.25) == []
    assert find_unlike_rounds([note("a", number, None) for number in range(9)], 0.25) == []
