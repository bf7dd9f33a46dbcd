"""A strict stand-in for CUDA on host memory, for machines without a GPU.

gpu.py       memory, streams, events and graphs of one fake machine, and the faults to play
runtime.py   `make_runtime(machine)`: the module cuda.bindings.runtime over it, with the recorded
             names, arguments and results of cuda-python 12.9 and 13 (tests/data)
path/        put this folder on PYTHONPATH and `import cuda.bindings.runtime` gives the fake

Work is queued and runs when somebody waits for it, so that an answer read too early is a wrong
one. Time is virtual: every piece of work has a cost in nanoseconds, and events read the sum. What
CUDA leaves undefined (a copy past its block, memory used after it was given back, another thread's
device) is an error here. It proves nothing of speed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ALIGNMENT = 256
COPY_NS = 2_000
BYTES_PER_NS = 25
GPUS = ("GPU-00000000-1111-2222-3333-444444444444", "GPU-99999999-1111-2222-3333-444444444444")


class FakeCudaError(Exception):
    """An error code on its way to the caller."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Handle:
    """What cuda-python returns for streams, events and graphs: an object with a number in it."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __int__(self) -> int:
        return self._number


@dataclass
class Block:
    kind: str
    array: Any
    size: int
    device: int


@dataclass
class Work:
    name: str
    run: Callable[[], None]
    cost_ns: int


@dataclass
class Stream:
    device: int
    queue: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None
    broken_capture: bool = False
    capturing_thread: int = 0
    """A capture in thread-local mode restricts the thread that began it, and no other."""
    clock_ns: int = 0


@dataclass
class Event:
    timing: bool
    asleep: bool = False
    stream: Stream | None = None
    reached: bool = False
    time_ns: int = 0


@dataclass
class Machine:
    """One host with its GPUs; tests read `live` and `calls`, and set faults with `fail`."""

    uuids: tuple[str, ...] = GPUS
    total_bytes: int = 1 << 30
    live: dict[str, dict[int, Any]] = field(
        default_factory=lambda: {
            kind: {} for kind in ("memory", "streams", "events", "graphs", "executables")
        }
    )
    calls: list[str] = field(default_factory=list)
    faults: dict[str, list[str | None]] = field(default_factory=dict)
    sticky: str | None = None
    """An error of the device itself: every later call returns it."""

    flags: int = 0
    _next: int = 1
    _threads: threading.local = field(default_factory=threading.local)

    def fail(self, call: str, error: str, *, after: int = 0) -> None:
        """Let a call return an error once, after so many good ones."""
        self.faults[call] = [None] * after + [error]

    def due_fault(self, call: str) -> str | None:
        pending = self.faults.get(call)
        return pending.pop(0) if pending else None

    @property
    def device(self) -> int:
        return getattr(self._threads, "device", 0)

    @device.setter
    def device(self, number: int) -> None:
        self._threads.device = number

    @property
    def used_bytes(self) -> int:
        blocks = self.live["memory"].values()
        return sum(block.size for block in blocks if block.kind == "device")

    def add(self, kind: str, thing: Any) -> Handle:
        number = 0x1000 + self._next
        self._next += 1
        self.live[kind][number] = thing
        return Handle(number)

    def find(self, kind: str, handle: Any) -> Any:
        """Return a live thing; a closed or made-up handle is refused."""
        found = self.live[kind].get(int(handle))
        if found is None:
            raise FakeCudaError(name="cudaErrorInvalidResourceHandle")
        return found

    def drop(self, kind: str, handle: Any) -> Any:
        found = self.find(kind, handle)
        del self.live[kind][int(handle)]
        return found

    def allocate(self, kind: str, size: int) -> int:
        """Return an address of its own; what is in there is not zero."""
        self.refuse_in_capture()
        if size <= 0:
            raise FakeCudaError(name="cudaErrorInvalidValue")
        if kind == "device" and self.used_bytes + size > self.total_bytes:
            raise FakeCudaError(name="cudaErrorMemoryAllocation")
        array = np.full(size + ALIGNMENT, 0xA5, np.uint8)
        address = int(array.ctypes.data) + -int(array.ctypes.data) % ALIGNMENT
        self.live["memory"][address] = Block(kind, array, size, self.device)
        return address

    def free(self, kind: str, address: int) -> None:
        self.refuse_in_capture()
        block = self.live["memory"].get(int(address))
        if block is None or block.kind != kind:
            raise FakeCudaError(name="cudaErrorInvalidValue")
        self.run_all()
        block.array[:] = 0xDD
        del self.live["memory"][int(address)]

    def view(self, kind: str, address: int, size: int) -> Any:
        """Return the bytes at an address; all of them must lie in one live block of this kind."""
        for start, block in self.live["memory"].items():
            if start <= address and address + size <= start + block.size and block.kind == kind:
                offset = address - int(block.array.ctypes.data)
                return block.array[offset : offset + size]
        raise FakeCudaError(name="cudaErrorInvalidValue")

    def put(self, stream: Stream, work: Work) -> None:
        (stream.queue if stream.captured is None else stream.captured).append(work)

    def copy(self, stream: Stream, target: Any, source: Any) -> None:
        cost_ns = COPY_NS + len(source) // BYTES_PER_NS
        self.put(stream, Work("copy", lambda: np.copyto(target, source), cost_ns))

    def run(self, stream: Stream, until: Event | None = None) -> None:
        while stream.queue and not (until is not None and until.reached):
            work = stream.queue.pop(0)
            stream.clock_ns += work.cost_ns
            work.run()

    def run_all(self) -> None:
        for stream in list(self.live["streams"].values()):
            self.run(stream)

    def refuse_in_capture(self) -> None:
        """Refuse what a thread must not do while it captures, and break the capture."""
        for stream in self.live["streams"].values():
            if stream.captured is not None and stream.capturing_thread == threading.get_ident():
                stream.broken_capture = True
                raise FakeCudaError(name="cudaErrorStreamCaptureUnsupported")


_machine = Machine()


def current_machine() -> Machine:
    """Return the machine of this process, which fakes of other libraries share."""
    return _machine


def new_machine(**settings: Any) -> Machine:
    """Make this process's machine anew."""
    global _machine  # noqa: PLW0603 - one process has one machine
    _machine = Machine(**settings)
    return _machine
