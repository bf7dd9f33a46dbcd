"""One GPU: found by its UUID, its primary context, and how much memory is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from trtproof.backends.cuda.calls import Calls, load_calls
from trtproof.errors import HardwareError

WAITING: Final = "spin"
"""How a thread waits for the GPU: it keeps its core, so that no latency includes waking up."""

UUID_BYTES: Final = (4, 2, 2, 2, 6)


@dataclass(frozen=True)
class MemoryState:
    """The GPU's memory as the driver sees it, all processes together."""

    free_bytes: int
    total_bytes: int

    @property
    def used_bytes(self) -> int:
        """Return what is taken."""
        return self.total_bytes - self.free_bytes


class Device:
    """The primary context of one GPU, which everything else in the process may use too.

    Give back in this order: graphs, execution contexts, the engine, the runtime, then memory,
    streams and events; each has a `close` that may be called twice.
    """

    def __init__(self, calls: Calls, index: int) -> None:
        """Make the context; `index` is CUDA's number among the GPUs that this process sees."""
        self.calls = calls
        self.index = index
        properties = _read_properties(calls, index)
        self.name = _as_text(properties.name)
        self.uuid = _format_uuid(properties)
        self.compute_capability = f"{properties.major}.{properties.minor}"
        self._threads = threading.local()
        self.make_current()
        spin = calls.module.cudaDeviceScheduleSpin
        calls.run("cudaSetDeviceFlags", spin, doing="choosing how to wait for the GPU")

    def make_current(self) -> None:
        """Let this thread work on the GPU; needed once in each thread, and cheap after that."""
        if not getattr(self._threads, "ready", False):
            self.calls.run("cudaSetDevice", self.index, doing=f"using GPU {self.name}")
            self._threads.ready = True

    def memory(self) -> MemoryState:
        """Return how much memory is free now."""
        free, total = self.calls.run("cudaMemGetInfo", doing="asking for the GPU's free memory")
        return MemoryState(free_bytes=int(free), total_bytes=int(total))

    def synchronize(self) -> None:
        """Block until the GPU has done everything that this process gave it."""
        self.calls.run("cudaDeviceSynchronize", doing="waiting for the GPU")


@contextmanager
def open_device(uuid: str | None = None) -> Iterator[Device]:
    """Yield the GPU of this UUID (of any spelling), or the first that this process sees.

    The context stays when the block ends: it is the process's own, not ours.

    Raises:
        HardwareError: there is no such GPU, no driver that suits, or no cuda-python.
    """
    calls = load_calls()
    yield Device(calls, 0 if uuid is None else _find(calls, uuid))


def _find(calls: Calls, uuid: str) -> int:
    """Return CUDA's number of a GPU; its UUID alone means the same to every library."""
    count = int(calls.run("cudaGetDeviceCount", doing="looking for GPUs"))
    seen = [_format_uuid(_read_properties(calls, index)) for index in range(count)]
    for index, other in enumerate(seen):
        if _digits(other) == _digits(uuid):
            return index
    raise HardwareError(
        f"this process does not see GPU {uuid}, only {', '.join(seen)}; correct "
        "CUDA_VISIBLE_DEVICES, or run `dvc repro probe`"
    )


def _read_properties(calls: Calls, index: int) -> Any:
    return calls.run("cudaGetDeviceProperties", index, doing=f"asking GPU {index} what it is")


def _format_uuid(properties: Any) -> str:
    """Return the UUID as nvidia-smi writes it, `GPU-` and five groups of hexadecimal digits."""
    digits = bytes(properties.uuid.bytes).hex()
    groups: list[str] = []
    for size in UUID_BYTES:
        groups.append(digits[: 2 * size])
        digits = digits[2 * size :]
    return f"GPU-{'-'.join(groups)}"


def _digits(uuid: str) -> str:
    """Return the hexadecimal digits: a part of a GPU (MIG) has another prefix in nvidia-smi."""
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-").replace("-", "")


def _as_text(value: Any) -> str:
    return value.decode().rstrip("\0") if isinstance(value, bytes) else str(value)
