"""The GPU without TensorRT: a device, memory and copies, a stream's time, a graph that replays."""

from __future__ import annotations

import numpy as np

from trtproof.backends.cuda.device import open_device
from trtproof.backends.cuda.graphs import capture
from trtproof.backends.cuda.memory import Copies, DeviceMemory, PinnedMemory
from trtproof.backends.cuda.streams import Event, Stream
from trtproof.doctor.base import REPORT_IT, Finding, failed, ok

COUNT = 1 << 16
RESTART = "restart the machine; if it fails again, run `nvidia-smi -q` and look for ECC errors"


def check_device() -> Finding:
    """Open the first GPU through cuda-python and say how much memory is free."""
    with open_device() as device:
        memory = device.memory()
        return ok(
            f"{device.name}, {memory.free_bytes / 2**30:.1f} GiB free",
            free_bytes=memory.free_bytes,
            total_bytes=memory.total_bytes,
        )


def check_copies() -> Finding:
    """Copy numbers to the GPU and back through pinned memory and a stream of our own."""
    sent = np.arange(COUNT, dtype=np.float32)
    size = sent.nbytes
    with (
        open_device() as device,
        Stream(device) as stream,
        PinnedMemory(device, size) as there,
        PinnedMemory(device, size) as back,
        DeviceMemory(device, size) as memory,
    ):
        there.view(sent.dtype, sent.shape)[:] = sent
        up, down = Copies(stream, to_device=True), Copies(stream, to_device=False)
        up.plan([(memory.address, there.address, size)])
        down.plan([(back.address, memory.address, size)])
        begun, done = Event(device, timing=True), Event(device, timing=True)
        stream.record(begun)
        up.start()
        down.start()
        stream.record(done)
        stream.synchronize()
        came = back.view(sent.dtype, sent.shape).copy()
        nanoseconds = done.nanoseconds_since(begun)
        begun.close()
        done.close()
    if not np.array_equal(came, sent):
        return failed("numbers came back changed from the GPU's memory", RESTART)
    return ok(f"{size // 1024} KiB there and back in {nanoseconds / 1000:.0f} us")


def check_graph() -> Finding:
    """Capture a copy as a CUDA graph and see that the replay, not the capture, copies."""
    size = COUNT
    with (
        open_device() as device,
        Stream(device) as stream,
        PinnedMemory(device, size) as back,
        DeviceMemory(device, size) as memory,
    ):
        view = back.view(np.dtype(np.uint8), (size,))
        down = Copies(stream, to_device=False)
        down.plan([(back.address, memory.address, size)])
        memory.fill(1, stream)
        down.start()
        stream.synchronize()
        memory.fill(2, stream)
        stream.synchronize()
        graph = capture(stream, down.start)
        captured = int(view[0])
        graph.launch()
        stream.synchronize()
        replayed = int(view[-1])
        graph.close()
    if (captured, replayed) != (1, 2):
        return failed(
            f"a CUDA graph copied {captured} while it was captured and {replayed} when replayed, "
            "not 1 and 2",
            f"set run.cuda_graph to false in conf/variant, and {REPORT_IT}",
        )
    return ok("a captured copy runs when it is replayed, and only then")
