"""Requests on a GPU: two slots, shapes that change, parts, and graphs that fall back honestly."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.cuda_doubler import KERNEL_NS, Doubler, make_feeds
from tests.fake_cuda.gpu import GPUS, Machine, Work, current_machine, new_machine
from tests.fake_cuda.runtime import make_runtime

from trtproof.backends.base import PartTimes, run_once
from trtproof.backends.cuda.buffers import Slot
from trtproof.backends.cuda.calls import MODULE
from trtproof.backends.cuda.device import Device, open_device
from trtproof.errors import BackendError, DeviceMemoryError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setitem(sys.modules, MODULE, make_runtime(current_machine))
    return new_machine()


@pytest.fixture
def device(machine: Machine) -> Iterator[Device]:
    with open_device() as opened:
        yield opened


def check(runner: Doubler, count: int, *, seed: int = 1, slot: int = 0) -> None:
    feeds = make_feeds(count, seed=seed)
    np.testing.assert_array_equal(run_once(runner, feeds, slot)["y"], feeds["x"] * 2)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_requests_of_any_shape_in_any_slot_are_answered(device: Device, cuda_graph: bool) -> None:
    runner = Doubler(device, cuda_graph=cuda_graph)
    for number, count in enumerate((1, 8, 2, 2, 8, 1)):
        check(runner, count, seed=number, slot=number % 2)
    runner.close()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_everything_is_given_back_in_order(
    device: Device, machine: Machine, cuda_graph: bool
) -> None:
    runner = Doubler(device, cuda_graph=cuda_graph, parts=True)
    check(runner, 3)
    machine.calls.clear()
    runner.close()
    assert runner.released
    assert not any(machine.live.values())
    order = [name for name in machine.calls if "Destroy" in name or "Free" in name]
    assert order[-1] == "cudaStreamDestroy"
    if cuda_graph:
        assert order[0] == "cudaGraphExecDestroy"
    runner.close()


def test_memory_grows_and_stays(device: Device, machine: Machine) -> None:
    runner = Doubler(device)
    check(runner, 8)
    allocated = machine.calls.count("cudaMalloc")
    for count in (1, 8, 3):
        check(runner, count)
    assert machine.calls.count("cudaMalloc") == allocated
    runner.close()


def test_a_request_of_known_shape_makes_no_call_while_it_is_staged(
    device: Device, machine: Machine
) -> None:
    runner = Doubler(device, cuda_graph=True)
    check(runner, 2)
    machine.calls.clear()
    runner.stage(0, make_feeds(2, seed=9))
    assert machine.calls == []
    runner.close()


def test_a_timed_request_makes_four_calls_and_no_more(device: Device, machine: Machine) -> None:
    runner = Doubler(device, cuda_graph=True)
    check(runner, 2)
    machine.calls.clear()
    runner.upload(0)
    runner.launch(0)
    runner.download(0)
    runner.wait()
    assert machine.calls == [
        "cudaMemcpyAsync",
        "cudaGraphLaunch",
        "cudaMemcpyAsync",
        "cudaStreamSynchronize",
    ]
    runner.close()


def test_parts_come_from_events_and_only_when_asked_for(device: Device) -> None:
    plain, marked = Doubler(device), Doubler(device, parts=True)
    for runner in (plain, marked):
        check(runner, 4)
    assert plain.times_ns() == PartTimes()
    parts = marked.times_ns()
    assert parts.h2d_ns == parts.d2h_ns == 2000 + 64 // 25
    assert parts.device_ns == KERNEL_NS
    assert parts.enqueue_ns is not None
    assert parts.enqueue_ns > 0
    for runner in (plain, marked):
        runner.close()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_the_oldest_launch_is_waited_for_while_the_next_one_is_in_flight(
    device: Device, machine: Machine, cuda_graph: bool
) -> None:
    runner = Doubler(device, cuda_graph=cuda_graph, parts=True)
    runner.stage(0, make_feeds(2))
    runner.upload(0)
    runner.wait()
    stream = machine.find("streams", runner.stream.address)
    runner.launch(0)
    for _ in range(5):
        runner.launch(0)
        parts = runner.finish_launch()
        assert parts.device_ns == KERNEL_NS
        assert parts.enqueue_ns is not None
        assert parts.h2d_ns is None
        assert "double" in [work.name for work in stream.queue]  # the one ahead is not done yet
    runner.wait()
    assert runner.finish_launch() == PartTimes()  # nobody is left to wait for
    runner.close()


def test_without_marks_a_launch_is_waited_for_with_all_others(
    device: Device, machine: Machine
) -> None:
    runner = Doubler(device)
    runner.stage(0, make_feeds(2))
    runner.upload(0)
    runner.launch(0)
    assert runner.finish_launch() == PartTimes()
    assert not machine.find("streams", runner.stream.address).queue
    runner.close()


def test_a_slot_without_a_request_is_refused(device: Device) -> None:
    runner = Doubler(device)
    with pytest.raises(BackendError, match="slot 1 was used before"):
        runner.upload(1)
    with pytest.raises(BackendError, match="before anything was launched"):
        runner.read(1)
    runner.close()


def test_a_refused_shape_leaves_the_slot_empty_and_the_other_one_alone(device: Device) -> None:
    runner = Doubler(device)
    check(runner, 2, slot=1)
    wanted = runner.read(1)["y"]
    with pytest.raises(BackendError, match="9 rows"):
        runner.stage(0, make_feeds(9))
    with pytest.raises(BackendError, match="slot 0"):
        runner.launch(0)
    np.testing.assert_array_equal(runner.read(1)["y"], wanted)
    check(runner, 2, slot=0)
    runner.close()


def test_out_of_memory_names_itself_and_leaves_nothing_behind(
    device: Device, machine: Machine
) -> None:
    runner = Doubler(device)
    machine.fail("cudaMalloc", "cudaErrorMemoryAllocation", after=1)
    with pytest.raises(DeviceMemoryError):
        runner.stage(0, make_feeds(2))
    check(runner, 2)
    runner.close()
    assert not any(machine.live.values())


def test_a_launch_is_replayed_from_its_graph(device: Device) -> None:
    runner = Doubler(device, cuda_graph=True)
    assert runner.cuda_graph_captured == 0
    check(runner, 2)
    launches = runner.launches
    check(runner, 2, seed=5)
    assert runner.launches == launches
    assert runner.cuda_graph_captured == 1
    assert runner.graph_failures == []
    runner.close()


def test_a_new_shape_is_captured_anew(device: Device, machine: Machine) -> None:
    runner = Doubler(device, cuda_graph=True)
    for count in (1, 2, 1):
        check(runner, count)
    assert machine.calls.count("cudaGraphInstantiate") == 3
    assert len(machine.live["executables"]) == 1
    runner.close()


class Capricious(Doubler):
    """Its launches write something else when they are captured, as a stale address would."""

    def double(self, source: int, target: int, like: np.ndarray) -> None:
        machine = current_machine()
        stream = machine.find("streams", self.stream.address)
        if stream.captured is None:
            super().double(source, target, like)
        else:
            machine.put(stream, Work("nothing", lambda: None, 1))


class Uncapturable(Doubler):
    def graph_obstacle(self, slot: Slot) -> str | None:
        return "the weights are streamed"


def test_a_request_is_finished_while_the_next_one_runs(device: Device, machine: Machine) -> None:
    runner = Doubler(device, parts=True)
    for slot in (0, 1):
        runner.stage(slot, make_feeds(2, seed=slot))
    for slot in (0, 1):
        runner.upload(slot)
        runner.launch(slot)
        runner.download(slot)
    (stream,) = machine.live["streams"].values()
    parts = runner.finish_request(0)
    assert (parts.device_ns, parts.h2d_ns) == (KERNEL_NS, 2000 + 48 // 25)
    assert stream.queue  # the other one is still in flight
    np.testing.assert_array_equal(runner.read(0)["y"], make_feeds(2, seed=0)["x"] * 2)
    assert runner.finish_request(1).device_ns == KERNEL_NS
    assert not stream.queue
    runner.close()


def test_without_marks_the_whole_stream_is_waited_for(device: Device, machine: Machine) -> None:
    runner = Doubler(device)
    runner.stage(0, make_feeds(1))
    runner.upload(0)
    runner.launch(0)
    assert runner.finish_request(0) == PartTimes()
    assert not any(stream.queue for stream in machine.live["streams"].values())
    runner.close()


def test_the_host_sleeps_in_its_waits_once_it_is_told_to(device: Device, machine: Machine) -> None:
    runner = Doubler(device, parts=True)
    check(runner, 2)
    marks = len(machine.live["events"])
    assert not any(event.asleep for event in machine.live["events"].values())
    runner.wait_asleep()
    assert len(machine.live["events"]) == marks
    asleep = [event for event in machine.live["events"].values() if event.asleep]
    assert len(asleep) == 2 + 2  # the end of each launch, the end of each slot's request
    assert all(event.timing for event in asleep)
    check(runner, 2)
    assert runner.times_ns().device_ns == KERNEL_NS
    runner.close()
    assert not any(machine.live.values())


@pytest.mark.parametrize(
    ("kind", "fault", "reason"),
    [
        (Capricious, None, "output 'y' differs"),
        (Uncapturable, None, "the weights are streamed"),
        (Doubler, ("cudaStreamEndCapture", "cudaErrorStreamCaptureInvalidated"), "Invalidated"),
        (Doubler, ("cudaStreamBeginCapture", "cudaErrorStreamCaptureUnsupported"), "Unsupported"),
    ],
)
def test_without_a_graph_requests_are_launched_plainly_and_that_is_said(
    device: Device,
    machine: Machine,
    kind: type[Doubler],
    fault: tuple[str, str] | None,
    reason: str,
) -> None:
    runner = kind(device, cuda_graph=True)
    if fault is not None:
        machine.fail(*fault)
    check(runner, 2)
    assert runner.cuda_graph_captured == 0
    assert reason in runner.graph_failures[0]
    check(runner, 2, seed=3)
    runner.close()
    assert not machine.live["executables"]


def test_an_error_of_the_gpu_is_told_where_it_is_waited_for(
    device: Device, machine: Machine
) -> None:
    runner = Doubler(device)
    check(runner, 2)
    machine.sticky = "cudaErrorIllegalAddress"
    with pytest.raises(BackendError, match="cudaErrorIllegalAddress"):
        runner.wait()
    runner.close()


def test_a_runner_works_on_its_gpu_in_any_thread(machine: Machine) -> None:
    with open_device(GPUS[1]) as second, ThreadPoolExecutor(max_workers=1) as pool:
        runner = Doubler(second)
        pool.submit(check, runner, 3).result()
        blocks = machine.live["memory"].values()
        assert {block.device for block in blocks if block.kind == "device"} == {1}
        pool.submit(runner.close).result()
