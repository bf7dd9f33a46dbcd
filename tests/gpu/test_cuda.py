"""The layer on cuda-python on a real GPU: what the fake of it stands for.

Needs an NVIDIA GPU, cuda-python and a PyTorch with CUDA, whose kernels stand in for an engine;
no TensorRT. Run with `pytest -m gpu tests/gpu/test_cuda.py`.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.cuda_doubler import Doubler, TorchDoubler, make_feeds
from tests.fake_cuda.runtime import VERSIONS, load_surface

from trtproof.backends.base import PartTimes, run_once
from trtproof.backends.cuda.calls import MACHINE_ERRORS
from trtproof.backends.cuda.device import Device, open_device
from trtproof.backends.cuda.graphs import capture
from trtproof.backends.cuda.memory import ALIGNMENT, Copies, DeviceMemory, PinnedMemory
from trtproof.backends.cuda.streams import Event, Stream
from trtproof.errors import BackendError, CudaGraphError, DeviceMemoryError, HardwareError
from trtproof.tensor import Array

pytestmark = pytest.mark.gpu

MIB = 1 << 20


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with open_device() as opened:
        yield opened


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
    values: Array = (np.arange(2400).reshape(20, 30, 4) % 2).astype(dtype)
    assert copy_both_ways(device, values).tobytes() == values.tobytes()


def test_an_empty_tensor_travels_as_well(device: Device) -> None:
    assert copy_both_ways(device, np.empty((0, 3), np.float32)).size == 0


def test_memory_of_the_gpu_is_aligned(device: Device) -> None:
    blocks = [DeviceMemory(device, size) for size in (0, 1, 3, 255, 257, 1000)]
    assert all(block.address % ALIGNMENT == 0 for block in blocks)
    assert len({block.address for block in blocks}) == len(blocks)
    for block in blocks:
        block.close()


def test_cuda_knows_pinned_memory_as_pinned(device: Device) -> None:
    module: Any = device.calls.module

    def ask(address: int) -> Any:
        return device.calls.run("cudaPointerGetAttributes", address, doing="asking").type

    pageable = np.empty(MIB, np.uint8)
    with PinnedMemory(device, MIB) as pinned, DeviceMemory(device, MIB) as memory:
        assert ask(pinned.address) == module.cudaMemoryType.cudaMemoryTypeHost
        assert ask(memory.address) == module.cudaMemoryType.cudaMemoryTypeDevice
        assert ask(pageable.ctypes.data) == module.cudaMemoryType.cudaMemoryTypeUnregistered


def test_the_gpu_is_torchs_gpu(device: Device) -> None:
    import torch

    properties: Any = torch.cuda.get_device_properties(0)
    assert device.name == properties.name
    assert device.compute_capability == f"{properties.major}.{properties.minor}"
    assert str(properties.uuid) in device.uuid


def test_a_gpu_is_found_by_its_uuid(device: Device) -> None:
    with open_device(device.uuid.upper().replace("GPU-", "")) as again:
        assert again.uuid == device.uuid
    with pytest.raises(HardwareError, match=device.uuid), open_device("GPU-0"):
        pytest.fail("it was opened")


def test_nvml_says_the_same_uuid(device: Device) -> None:
    from trtproof.probing_gpu import find_gpu

    gpu = find_gpu(0)
    assert gpu is not None
    assert gpu.uuid == device.uuid


def test_free_memory_falls_by_what_is_allocated(device: Device) -> None:
    before = device.memory()
    with DeviceMemory(device, 256 * MIB):
        used = device.memory().used_bytes - before.used_bytes
    assert abs(used - 256 * MIB) <= 4 * MIB
    assert abs(device.memory().used_bytes - before.used_bytes) <= 4 * MIB


def test_out_of_memory_is_an_error_of_its_own_and_leaves_the_gpu_usable(device: Device) -> None:
    with pytest.raises(DeviceMemoryError, match="cudaErrorMemoryAllocation"):
        DeviceMemory(device, device.memory().total_bytes * 2)
    values = np.arange(8, dtype=np.float32)
    np.testing.assert_array_equal(copy_both_ways(device, values), values)


def test_it_shares_the_primary_context_with_torch(device: Device) -> None:
    import torch

    source = torch.arange(16, dtype=torch.float32, device="cuda")
    torch.cuda.synchronize()
    with Stream(device) as stream, PinnedMemory(device, 64) as pinned:
        down = Copies(stream, to_device=False)
        down.plan([(pinned.address, source.data_ptr(), 64)])
        down.start()
        stream.synchronize()
        view = pinned.view(np.dtype(np.float32), (16,))
        np.testing.assert_array_equal(view, np.arange(16, dtype=np.float32))


def test_events_read_the_gpus_clock(device: Device) -> None:
    size = 512 * MIB
    with Stream(device) as stream, DeviceMemory(device, size) as memory:
        start, end = Event(device, timing=True), Event(device, timing=True)
        memory.fill(0, stream)
        stream.record(start)
        for value in range(10):
            memory.fill(value, stream)
        stream.record(end)
        end.synchronize()
        spent_ns = end.nanoseconds_since(start)
        # ten times half a GiB: at least 0.1 ms even at 50 TB/s, at most 1 s even at 5 GB/s
        assert 100_000 < spent_ns < 1_000_000_000
        start.close()
        end.close()


def test_one_stream_waits_for_another(device: Device) -> None:
    size = 256 * MIB
    with (
        Stream(device) as first,
        Stream(device) as second,
        DeviceMemory(device, size) as memory,
        PinnedMemory(device, size) as pinned,
    ):
        mark = Event(device, timing=False)
        for value in range(20):
            memory.fill(value, first)
        first.record(mark)
        second.wait_for(mark)
        down = Copies(second, to_device=False)
        down.plan([(pinned.address, memory.address, size)])
        down.start()
        second.synchronize()
        assert (pinned.view(np.dtype(np.uint8), (size,)) == 19).all()
        mark.close()


def test_a_captured_launch_runs_only_when_it_is_replayed(device: Device) -> None:
    with (
        Stream(device) as stream,
        DeviceMemory(device, 4) as memory,
        PinnedMemory(device, 4) as pinned,
    ):
        down = Copies(stream, to_device=False)
        down.plan([(pinned.address, memory.address, 4)])
        view = pinned.view(np.dtype(np.uint8), (4,))

        def read() -> list[int]:
            down.start()
            stream.synchronize()
            values: list[int] = view.tolist()
            return values

        memory.fill(1, stream)
        graph = capture(stream, lambda: memory.fill(5, stream))
        assert read() == [1] * 4
        graph.launch()
        assert read() == [5] * 4
        graph.close()


@pytest.mark.parametrize("fault", ["refused", "forbidden call", "synchronize", "nothing"])
def test_after_a_failed_capture_the_stream_works_as_before(device: Device, fault: str) -> None:
    def refuse() -> None:
        problem = "the library said no"
        raise BackendError(problem)

    with Stream(device) as stream, DeviceMemory(device, 4) as memory:
        actions = {
            "refused": refuse,
            "forbidden call": lambda: DeviceMemory(device, MIB),
            "synchronize": stream.synchronize,
            "nothing": lambda: None,
        }
        with pytest.raises(CudaGraphError):
            capture(stream, actions[fault])
        memory.fill(3, stream)
        stream.synchronize()
        graph = capture(stream, lambda: memory.fill(4, stream))
        graph.launch()
        stream.synchronize()
        graph.close()


# requests


def check(runner: Doubler, count: int, *, seed: int = 1, slot: int = 0) -> None:
    feeds = make_feeds(count, seed=seed)
    np.testing.assert_array_equal(run_once(runner, feeds, slot)["y"], feeds["x"] * 2)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_requests_of_any_shape_in_any_slot_are_answered(device: Device, cuda_graph: bool) -> None:
    runner = TorchDoubler(device, cuda_graph=cuda_graph)
    for number, count in enumerate((1, 8, 2, 2, 8, 1)):
        check(runner, count, seed=number, slot=number % 2)
    assert runner.graph_failures == []
    assert runner.cuda_graph_captured == int(cuda_graph)
    runner.close()


def test_a_launch_is_replayed_from_its_graph(device: Device) -> None:
    runner = TorchDoubler(device, cuda_graph=True)
    check(runner, 2)
    launches = runner.launches
    for seed in range(20):
        check(runner, 2, seed=seed)
    assert runner.launches == launches
    runner.close()


class Stale(TorchDoubler):
    """Launches nothing while it is captured but a copy of what was there."""

    def double(self, source: int, target: int, like: Any) -> None:
        import torch

        if torch.cuda.is_current_stream_capturing() or self.launches > 1:
            super().double(source, source, like)
        else:
            super().double(source, target, like)


def test_a_replay_that_gives_other_outputs_is_noticed(device: Device) -> None:
    runner = Stale(device, cuda_graph=True)
    runner.stage(0, make_feeds(2))
    assert runner.cuda_graph_captured == 0
    assert "output 'y' differs" in runner.graph_failures[0]
    runner.close()


def test_parts_add_up_to_the_request(device: Device) -> None:
    plain, marked = TorchDoubler(device), TorchDoubler(device, parts=True)
    for runner in (plain, marked):
        for seed in range(5):
            check(runner, 8, seed=seed)
    assert plain.times_ns() == PartTimes()
    parts = marked.times_ns()
    for part in (parts.h2d_ns, parts.device_ns, parts.d2h_ns, parts.enqueue_ns):
        assert part is not None
        assert 0 < part < 1_000_000_000
    for runner in (plain, marked):
        runner.close()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_launches_one_ahead_have_times_of_their_own(device: Device, cuda_graph: bool) -> None:
    runner = TorchDoubler(device, cuda_graph=cuda_graph, parts=True)
    runner.stage(0, make_feeds(8))
    runner.upload(0)
    runner.wait()
    runner.launch(0)
    for _ in range(50):
        runner.launch(0)
        parts = runner.finish_launch()
        assert parts.device_ns is not None
        assert 0 < parts.device_ns < 1_000_000_000
        assert parts.enqueue_ns is not None
        assert parts.h2d_ns is None
    runner.wait()
    assert runner.finish_launch() == PartTimes()
    runner.close()


def test_streams_of_their_own_threads_do_not_mix(device: Device) -> None:
    def answer(number: int) -> bool:
        runner = TorchDoubler(device, cuda_graph=number % 2 == 0)
        good = True
        for seed in range(200):
            feeds = make_feeds(1 + (seed + number) % 8, seed=seed * 10 + number)
            outputs = run_once(runner, feeds, seed % 2)
            good = good and bool((outputs["y"] == feeds["x"] * 2).all())
        runner.close()
        return good

    with ThreadPoolExecutor(max_workers=4) as pool:
        assert all(pool.map(answer, range(4)))


def test_closing_gives_the_memory_back(device: Device) -> None:
    before = device.memory().used_bytes
    for _, count in itertools.product(range(20), (1, 8)):
        runner = TorchDoubler(device, cuda_graph=True)
        check(runner, count)
        runner.close()
    assert device.memory().used_bytes - before <= 16 * MIB


# what cannot happen in this process: the device would stay broken


BROKEN = """
import torch
from trtproof.backends.cuda.device import open_device
from trtproof.backends.cuda.streams import Stream
from trtproof.errors import BackendError
with open_device() as device, Stream(device) as stream:
    with torch.cuda.stream(torch.cuda.ExternalStream(stream.address)):
        torch._assert_async(torch.zeros(1, device="cuda"))
    stream.synchronize()
"""


def run_child(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode
    return done.stderr


def test_the_first_error_of_a_broken_device_is_the_one_that_is_told(device: Device) -> None:
    del device
    told = run_child(BROKEN)
    assert "trtproof.errors.BackendError: waiting for a stream" in told, told
    assert "cudaErrorAssert" in told


def test_a_hidden_gpu_is_a_hardware_error() -> None:
    code = "from trtproof.backends.cuda.device import open_device\nopen_device().__enter__()"
    told = run_child(code, CUDA_VISIBLE_DEVICES="-1")
    assert "trtproof.errors.HardwareError" in told, told
    assert "see CUDA_VISIBLE_DEVICES" in told


# the fake's facts


def test_the_recorded_surface_is_that_of_the_real_module(device: Device) -> None:
    module: Any = device.calls.module
    for version in VERSIONS:
        surface = load_surface(version)
        for name, value in surface["constants"].items():
            assert getattr(module, name) == value, name
        for name in surface["functions"]:
            assert callable(getattr(module, name)), name
    for name in MACHINE_ERRORS:
        assert hasattr(module.cudaError_t, name), name
