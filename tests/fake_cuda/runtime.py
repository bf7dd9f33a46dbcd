"""The fake `cuda.bindings.runtime`: recorded names, arguments and results over a `Machine`."""

# ruff: noqa: N802 - the names are CUDA's
from __future__ import annotations

import enum
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.fake_cuda.gpu import Event, FakeCudaError, Machine, Stream, Work

DATA = Path(__file__).parents[1] / "data"
VERSIONS = ("12.9", "13.4")
FILL_NS = 1_000


def load_surface(version: str) -> dict[str, Any]:
    text = (DATA / f"cuda_surface_{version}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def make_runtime(machine: Callable[[], Machine], version: str = "13.4") -> Any:
    """Return the module of one version of cuda-python; `machine` gives the one of this process.

    A call that the version lacks is an AttributeError, other arguments are a TypeError.
    """
    surface = load_surface(version)
    module: Any = ModuleType("cuda.bindings.runtime")
    for name, value in surface["constants"].items():
        setattr(module, name, value)
    for name, members in surface["enums"].items():
        setattr(module, name, enum.IntEnum(name, members))
    answers = Answers(machine, module)
    for name, recorded in surface["functions"].items():
        setattr(module, name, _make_call(name, recorded, answers, machine, module.cudaError_t))
    return module


def _make_call(
    name: str,
    recorded: dict[str, list[str]],
    answers: Answers,
    machine: Callable[[], Machine],
    errors: Any,
) -> Callable[..., tuple[Any, ...]]:
    least = sum(not argument.endswith("=") for argument in recorded["arguments"])
    most, results = len(recorded["arguments"]), len(recorded["results"])

    def call(*args: Any) -> tuple[Any, ...]:
        if not least <= len(args) <= most:
            raise TypeError(f"{name}() takes {recorded['arguments']}, got {len(args)} arguments")
        host = machine()
        host.calls.append(name)
        fault = host.sticky or host.due_fault(name)
        if fault is not None and name != "cudaGetErrorString":
            answers.fail(name, args)
            return (errors[fault], *(None for _ in range(results)))
        try:
            values = getattr(answers, name)(*args)
        except FakeCudaError as error:
            return (errors[error.name], *(None for _ in range(results)))
        values = values if isinstance(values, tuple) else () if values is None else (values,)
        assert len(values) == results, f"the fake's {name} gives {len(values)} results"
        return (errors.cudaSuccess, *values)

    return call


class Answers:
    """What each call does; a fault is a FakeCudaError with the code's name."""

    def __init__(self, machine: Callable[[], Machine], module: Any) -> None:
        self._find_machine = machine
        self._module = module

    @property
    def _machine(self) -> Machine:
        return self._find_machine()

    def _stream(self, handle: Any) -> Stream:
        found: Stream = self._machine.find("streams", handle)
        return found

    def fail(self, name: str, args: tuple[Any, ...]) -> None:
        """Do what the call does even when it fails: ending a capture ends it."""
        if name == "cudaStreamEndCapture":
            self._stream(args[0]).captured = None

    # the machine

    def cudaGetDeviceCount(self) -> int:
        if not self._machine.uuids:
            raise FakeCudaError(name="cudaErrorNoDevice")
        return len(self._machine.uuids)

    def cudaGetDeviceProperties(self, device: int) -> Any:
        if not 0 <= device < len(self._machine.uuids):
            raise FakeCudaError(name="cudaErrorInvalidDevice")
        digits = self._machine.uuids[device].removeprefix("GPU-").replace("-", "")
        return SimpleNamespace(
            uuid=SimpleNamespace(bytes=bytes.fromhex(digits)),
            name=b"NVIDIA Fake 9000",
            major=9,
            minor=0,
            totalGlobalMem=self._machine.total_bytes,
        )

    def cudaSetDevice(self, device: int) -> None:
        self.cudaGetDeviceProperties(device)
        self._machine.device = device

    def cudaSetDeviceFlags(self, flags: int) -> None:
        self._machine.flags = flags

    def cudaMemGetInfo(self) -> tuple[int, int]:
        total = self._machine.total_bytes
        return total - self._machine.used_bytes, total

    def cudaDriverGetVersion(self) -> int:
        return 13000

    def cudaRuntimeGetVersion(self) -> int:
        return 13000

    def cudaDeviceSynchronize(self) -> None:
        self._machine.refuse_in_capture()
        self._machine.run_all()

    def cudaGetLastError(self) -> None:
        return None

    def cudaGetErrorString(self, error: Any) -> bytes:
        return f"words for {error.name}".encode()

    # memory

    def cudaMalloc(self, size: int) -> int:
        return self._machine.allocate("device", size)

    def cudaFree(self, pointer: int) -> None:
        self._machine.free("device", pointer)

    def cudaHostAlloc(self, size: int, flags: int) -> int:
        assert flags == self._module.cudaHostAllocDefault
        return self._machine.allocate("pinned", size)

    def cudaFreeHost(self, pointer: int) -> None:
        self._machine.free("pinned", pointer)

    def cudaMemcpyAsync(self, target: int, source: int, count: int, kind: Any, stream: Any) -> None:
        kinds = {
            self._module.cudaMemcpyKind.cudaMemcpyHostToDevice: ("device", "pinned"),
            self._module.cudaMemcpyKind.cudaMemcpyDeviceToHost: ("pinned", "device"),
        }
        to, of = kinds[kind]
        machine = self._machine
        found = self._stream(stream)
        machine.copy(found, machine.view(to, target, count), machine.view(of, source, count))

    def cudaMemsetAsync(self, pointer: int, value: int, count: int, stream: Any) -> None:
        block = self._machine.view("device", pointer, count)
        self._machine.put(
            self._stream(stream), Work("fill", lambda: block.__setitem__(..., value), FILL_NS)
        )

    # streams and events

    def cudaStreamCreateWithFlags(self, flags: int) -> Any:
        assert flags == self._module.cudaStreamNonBlocking
        return self._machine.add("streams", Stream(self._machine.device))

    def cudaStreamDestroy(self, stream: Any) -> None:
        self._machine.run(self._machine.drop("streams", stream))

    def cudaStreamSynchronize(self, stream: Any) -> None:
        found = self._stream(stream)
        if found.captured is not None:
            found.broken_capture = True
            raise FakeCudaError(name="cudaErrorStreamCaptureUnsupported")
        self._machine.run(found)

    def cudaEventCreateWithFlags(self, flags: int) -> Any:
        timing = not flags & self._module.cudaEventDisableTiming
        asleep = bool(flags & self._module.cudaEventBlockingSync)
        return self._machine.add("events", Event(timing, asleep))

    def cudaEventDestroy(self, event: Any) -> None:
        self._machine.drop("events", event)

    def cudaEventRecord(self, event: Any, stream: Any) -> None:
        mark, found = self._machine.find("events", event), self._stream(stream)
        mark.stream, mark.reached = found, False

        def reach() -> None:
            mark.reached, mark.time_ns = True, found.clock_ns

        self._machine.put(found, Work("mark", reach, 0))

    def cudaEventSynchronize(self, event: Any) -> None:
        mark = self._machine.find("events", event)
        if mark.stream is not None:
            self._machine.run(mark.stream, until=mark)

    def cudaStreamWaitEvent(self, stream: Any, event: Any, flags: int) -> None:
        assert flags == 0
        mark, found = self._machine.find("events", event), self._stream(stream)

        def wait() -> None:
            if mark.stream is not None:
                self._machine.run(mark.stream, until=mark)
                found.clock_ns = max(found.clock_ns, mark.time_ns)

        self._machine.put(found, Work("wait", wait, 0))

    def cudaEventElapsedTime(self, start: Any, end: Any) -> float:
        marks = [self._machine.find("events", event) for event in (start, end)]
        if not all(mark.timing and mark.stream is not None for mark in marks):
            raise FakeCudaError(name="cudaErrorInvalidResourceHandle")
        if not all(mark.reached for mark in marks):
            raise FakeCudaError(name="cudaErrorNotReady")
        return float(marks[1].time_ns - marks[0].time_ns) / 1e6

    # graphs

    def cudaStreamBeginCapture(self, stream: Any, mode: Any) -> None:
        assert mode == self._module.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        found = self._stream(stream)
        if found.captured is not None:
            raise FakeCudaError(name="cudaErrorIllegalState")
        found.captured, found.broken_capture = [], False
        found.capturing_thread = threading.get_ident()

    def cudaStreamEndCapture(self, stream: Any) -> Any:
        found = self._stream(stream)
        captured, found.captured = found.captured, None
        if captured is None:
            raise FakeCudaError(name="cudaErrorIllegalState")
        if found.broken_capture:
            found.broken_capture = False
            raise FakeCudaError(name="cudaErrorStreamCaptureInvalidated")
        return self._machine.add("graphs", captured)

    def cudaGraphGetNodes(self, graph: Any, count: int = 0) -> tuple[list[Any], int]:
        return [], len(self._machine.find("graphs", graph)) - count

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> Any:
        assert flags == 0
        return self._machine.add("executables", list(self._machine.find("graphs", graph)))

    def cudaGraphDestroy(self, graph: Any) -> None:
        self._machine.drop("graphs", graph)

    def cudaGraphExecDestroy(self, executable: Any) -> None:
        self._machine.drop("executables", executable)

    def cudaGraphLaunch(self, executable: Any, stream: Any) -> None:
        for work in self._machine.find("executables", executable):
            self._machine.put(self._stream(stream), work)
