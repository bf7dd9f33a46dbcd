"""Memory, streams, events and graphs, on the strict fake of cuda-python's runtime API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import ml_dtypes
import numpy as np
import pytest
from tests.fake_cuda.gpu import GPUS, Machine, Work, current_machine, new_machine
from tests.fake_cuda.runtime import VERSIONS, load_surface, make_runtime

from trtproof.backends.cuda.calls import MACHINE_ERRORS, MODULE, OUT_OF_MEMORY, load_calls
from trtproof.backends.cuda.device import Device, open_device
from trtproof.backends.cuda.graphs import capture, compare_replay
from trtproof.backends.cuda.memory import Copies, DeviceMemory, PinnedMemory
from trtproof.backends.cuda.streams import Event, Stream
from trtproof.errors import BackendError, CudaGraphError, DeviceMemoryError, HardwareError
from trtproof.tensor import Array


@pytest.fixture(params=VERSIONS)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setitem(sys.modules, MODULE, make_runtime(current_machine, request.param))
    return new_machine()


@pytest.fixture
def device(machine: Machine) -> Iterator[Device]:
    with open_device() as opened:
        yield opened
    assert machine.sticky or not any(machine.live.values()), "something was not given back"


def copy_both_ways(device: Device, values: Array) -> Array:
    with (
        Stream(device) as stream,
        PinnedMemory(device, values.nbytes) as source,
        PinnedMemory(device, values.nbytes) as target,
        DeviceMemory(device, values.nbytes) as memory,
    ):
        source.view(values.dtype, values.shape)[...] = values
        up, down = Copies(stream, to_device=True), Copies(stream, to_device=False)
        up.plan([(memory.address, source.address, values.nbytes)])
        down.plan([(target.address, memory.address, values.nbytes)])
        up.start()
        down.start()
        stream.synchronize()
        return target.view(values.dtype, values.shape).copy()


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.int64, bool]
)
def test_every_dtype_travels_to_the_gpu_and_back(device: Device, dtype: type) -> None:
    values: Array = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    assert copy_both_ways(device, values).tobytes() == values.tobytes()


def test_an_empty_tensor_has_an_address_and_no_bytes(device: Device) -> None:
    with PinnedMemory(device, 0) as pinned, DeviceMemory(device, 0) as memory:
        assert pinned.address
        assert memory.address
        assert pinned.view(np.dtype(np.float32), (0, 3)).shape == (0, 3)
    assert copy_both_ways(device, np.empty((0, 3), np.float32)).size == 0


def test_an_answer_is_there_only_after_waiting(device: Device) -> None:
    with (
        Stream(device) as stream,
        PinnedMemory(device, 4) as pinned,
        DeviceMemory(device, 4) as memory,
    ):
        down = Copies(stream, to_device=False)
        down.plan([(pinned.address, memory.address, 4)])
        view = pinned.view(np.dtype(np.uint8), (4,))
        memory.fill(7, stream)
        down.start()
        assert view.tolist() != [7] * 4
        stream.synchronize()
        assert view.tolist() == [7] * 4


def test_memory_is_given_back_once(device: Device, machine: Machine) -> None:
    memory = DeviceMemory(device, 100)
    memory.close()
    memory.close()
    assert machine.calls.count("cudaFree") == 1


def test_a_view_past_the_end_is_refused(device: Device) -> None:
    pinned = PinnedMemory(device, 10)
    with pytest.raises(BackendError, match="12 bytes were asked of 10 bytes of pinned memory"):
        pinned.view(np.dtype(np.float32), (3,))
    pinned.close()
    with pytest.raises(BackendError, match="closed memory"):
        pinned.view(np.dtype(np.float32), (1,))


def test_the_fake_refuses_a_copy_past_the_end(device: Device) -> None:
    with (
        Stream(device) as stream,
        PinnedMemory(device, 8) as pinned,
        DeviceMemory(device, 4) as memory,
    ):
        up = Copies(stream, to_device=True)
        up.plan([(memory.address, pinned.address, 8)])
        with pytest.raises(BackendError, match="copying between host and GPU: cudaMemcpyAsync"):
            up.start()


def test_free_memory_is_what_the_driver_says(device: Device) -> None:
    before = device.memory()
    with DeviceMemory(device, 1000):
        assert device.memory().used_bytes - before.used_bytes == 1000
    assert device.memory() == before


def test_out_of_memory_is_an_error_of_its_own(device: Device) -> None:
    with pytest.raises(DeviceMemoryError, match=r"allocating .* bytes on GPU NVIDIA Fake 9000"):
        DeviceMemory(device, 2 << 30)
    with DeviceMemory(device, 10):
        assert device.memory().used_bytes == 10


def test_memory_at_an_odd_address_is_refused(
    device: Device, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocate = device.calls.module.cudaMalloc
    monkeypatch.setattr(device.calls.module, "cudaMalloc", lambda size: (allocate(size)[0], 0x1008))
    monkeypatch.setattr(device.calls.module, "cudaFree", lambda _: (0,))
    with pytest.raises(BackendError, match="not a multiple of 256"):
        DeviceMemory(device, 10)
    machine.live["memory"].clear()


def test_events_read_the_gpus_clock(device: Device) -> None:
    with Stream(device) as stream, DeviceMemory(device, 4) as memory:
        start, end = Event(device, timing=True), Event(device, timing=True)
        stream.record(start)
        memory.fill(1, stream)
        memory.fill(2, stream)
        stream.record(end)
        end.synchronize()
        assert end.nanoseconds_since(start) == 2000
        start.close()
        end.close()


def test_a_mark_that_was_not_reached_has_no_time(device: Device) -> None:
    with Stream(device) as stream:
        start, end = Event(device, timing=True), Event(device, timing=True)
        stream.record(start)
        stream.record(end)
        with pytest.raises(BackendError, match="cudaErrorNotReady"):
            end.nanoseconds_since(start)
        start.close()
        end.close()


def test_one_stream_waits_for_another(device: Device) -> None:
    with (
        Stream(device) as first,
        Stream(device) as second,
        DeviceMemory(device, 4) as memory,
        PinnedMemory(device, 4) as pinned,
    ):
        mark = Event(device, timing=False)
        memory.fill(9, first)
        first.record(mark)
        second.wait_for(mark)
        down = Copies(second, to_device=False)
        down.plan([(pinned.address, memory.address, 4)])
        down.start()
        second.synchronize()
        assert pinned.view(np.dtype(np.uint8), (4,)).tolist() == [9] * 4
        mark.close()


# graphs


def test_a_captured_launch_runs_only_when_it_is_replayed(device: Device) -> None:
    with Stream(device) as stream, DeviceMemory(device, 4) as memory:
        block = current_machine().view("device", memory.address, 4)
        graph = capture(stream, lambda: memory.fill(5, stream))
        stream.synchronize()
        assert block.tolist() != [5] * 4
        graph.launch()
        stream.synchronize()
        assert block.tolist() == [5] * 4
        memory.fill(0, stream)
        graph.launch()
        stream.synchronize()
        assert block.tolist() == [5] * 4
        graph.close()
        graph.close()


def refuse() -> None:
    problem = "TensorRT said no"
    raise BackendError(problem)


@pytest.mark.parametrize("fault", ["refused", "forbidden call", "nothing", "instantiate"])
def test_after_a_failed_capture_the_stream_works_as_before(
    device: Device, machine: Machine, fault: str
) -> None:
    with Stream(device) as stream, DeviceMemory(device, 4) as memory:
        actions = {
            "refused": refuse,
            "forbidden call": lambda: DeviceMemory(device, 1),
            "nothing": lambda: None,
            "instantiate": lambda: memory.fill(1, stream),
        }
        if fault == "instantiate":
            machine.fail("cudaGraphInstantiate", "cudaErrorStreamCaptureUnsupported")
        with pytest.raises(CudaGraphError):
            capture(stream, actions[fault])
        assert not device.calls.failed
        memory.fill(3, stream)
        stream.synchronize()
        assert current_machine().view("device", memory.address, 4).tolist() == [3] * 4
        assert not machine.live["graphs"]


def test_a_broken_capture_says_what_the_launch_said(device: Device) -> None:
    with Stream(device) as stream, pytest.raises(CudaGraphError, match="TensorRT said no"):
        capture(stream, refuse)


def test_an_error_that_is_no_refusal_leaves_the_capture_as_it_is(device: Device) -> None:
    with Stream(device) as stream:
        with pytest.raises(ZeroDivisionError):
            capture(stream, lambda: 1 // 0)
        stream.synchronize()


def test_a_graph_that_finds_no_memory_is_out_of_memory(device: Device, machine: Machine) -> None:
    machine.fail("cudaGraphInstantiate", OUT_OF_MEMORY)
    with (
        Stream(device) as stream,
        DeviceMemory(device, 4) as memory,
        pytest.raises(DeviceMemoryError),
    ):
        capture(stream, lambda: memory.fill(1, stream))


F32 = np.array([1.0, -2.0, np.nan, np.inf], np.float32)


@pytest.mark.parametrize(
    ("plain", "replayed", "agrees"),
    [
        (F32, F32.copy(), True),
        (F32[:2], F32[:2] * np.float32(1.0005), True),
        (F32[:2], F32[:2] * np.float32(1.01), False),
        (F32, np.nan_to_num(F32), False),
        (np.array([1.0], np.float32), np.array([np.nan], np.float32), False),
        (np.array([7, 8]), np.array([7, 9]), False),
        (np.zeros(2, ml_dtypes.bfloat16), np.zeros(2, ml_dtypes.bfloat16), True),
        (np.zeros(2, np.float32), np.zeros((1, 2), np.float32), False),
    ],
)
def test_a_replay_must_give_what_the_launch_gave(
    plain: Array, replayed: Array, agrees: bool
) -> None:
    difference = compare_replay({"y": plain}, {"y": replayed})
    assert (difference is None) == agrees
    assert difference is None or "'y'" in difference


# the machine


@pytest.mark.parametrize("spelling", [GPUS[1], GPUS[1].lower(), GPUS[1].replace("GPU-", "MIG-")])
def test_a_gpu_is_found_by_its_uuid(machine: Machine, spelling: str) -> None:
    with open_device(spelling) as device:
        assert device.index == 1
        assert device.uuid == GPUS[1]
        assert device.name == "NVIDIA Fake 9000"
        assert device.compute_capability == "9.0"
        assert machine.flags == device.calls.module.cudaDeviceScheduleSpin


def test_an_unknown_gpu_is_an_error_that_lists_those_here(machine: Machine) -> None:
    with pytest.raises(HardwareError, match=f"only {GPUS[0]}, {GPUS[1]}"), open_device("GPU-77"):
        pytest.fail("it was opened")


def test_every_thread_works_on_the_same_gpu(machine: Machine) -> None:
    def allocate(device: Device) -> int:
        device.make_current()
        with DeviceMemory(device, 8) as memory:
            found: int = machine.live["memory"][memory.address].device
            return found

    with open_device(GPUS[1]) as device, ThreadPoolExecutor(max_workers=1) as pool:
        assert allocate(device) == 1
        assert pool.submit(allocate, device).result() == 1


@pytest.mark.parametrize("code", sorted(MACHINE_ERRORS))
def test_what_the_machine_causes_is_a_hardware_error_with_the_repair(
    machine: Machine, code: str
) -> None:
    if any(code not in load_surface(version)["enums"]["cudaError_t"] for version in VERSIONS):
        pytest.fail(f"cuda-python has no {code}")
    machine.fail("cudaGetDeviceProperties", code)
    with pytest.raises(HardwareError, match=code) as caught, open_device():
        pytest.fail("it was opened")
    assert MACHINE_ERRORS[code] in str(caught.value)


def test_no_gpu_is_a_hardware_error(machine: Machine) -> None:
    machine.fail("cudaGetDeviceProperties", "cudaErrorNoDevice")
    with pytest.raises(HardwareError, match="target=cpu"), open_device():
        pytest.fail("it was opened")


def test_without_cuda_python_the_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(HardwareError, match=r"pip install 'trtproof\[cuda\]'"):
        load_calls()


def test_the_first_error_is_the_one_that_is_told(device: Device, machine: Machine) -> None:
    def break_it() -> None:
        with Stream(device) as stream:
            machine.sticky = "cudaErrorIllegalAddress"
            stream.synchronize()

    with pytest.raises(BackendError, match=r"waiting for a stream: .*cudaErrorIllegalAddress"):
        break_it()


def test_what_cannot_be_given_back_is_an_error(device: Device, machine: Machine) -> None:
    stream = Stream(device)
    machine.fail("cudaStreamDestroy", "cudaErrorIllegalAddress")
    with pytest.raises(BackendError, match="cudaStreamDestroy"):
        stream.close()
    machine.live["streams"].clear()


# the fake itself is strict


def test_the_fake_takes_only_the_recorded_arguments(machine: Machine) -> None:
    runtime = sys.modules[MODULE]
    with pytest.raises(TypeError, match="cudaMalloc"):
        runtime.cudaMalloc(1, 2)
    with pytest.raises(AttributeError):
        runtime.cudaMallocc(1)
    with pytest.raises(AttributeError):
        runtime.cudaMallocManaged(1)


def test_the_fake_frees_nothing_twice(device: Device) -> None:
    runtime = device.calls.module
    _, address = runtime.cudaMalloc(4)
    assert runtime.cudaFree(address)[0] == 0
    assert runtime.cudaFree(address)[0].name == "cudaErrorInvalidValue"


def test_the_fake_runs_work_in_order_of_its_stream(device: Device, machine: Machine) -> None:
    seen: list[str] = []
    with Stream(device) as stream:
        queue = machine.find("streams", stream.address)
        for name in "ab":
            machine.put(queue, Work(name, partial(seen.append, name), 1))
        assert not seen
        stream.synchronize()
    assert seen == ["a", "b"]
