"""Memory: pinned on the host as numpy views, on the GPU as addresses, and copies between them.

Never managed memory: its pages move when they are touched, inside what is timed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np

from trtproof.backends.cuda.device import Device
from trtproof.backends.cuda.streams import Stream
from trtproof.errors import BackendError
from trtproof.tensor import Array

ALIGNMENT: Final = 256
"""What TensorRT asks of every address; cudaMalloc promises it."""


class _Memory:
    """An address and a size, given back once."""

    _give_back: str

    def __init__(self, device: Device, size_bytes: int, address: int) -> None:
        self._calls = device.calls
        self.size_bytes = size_bytes
        self.address = address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give it back; its address and views of it must not be used any more."""
        if self.address:
            address, self.address = self.address, 0
            self._calls.release(self._give_back, address)


class PinnedMemory(_Memory):
    """Host memory that the GPU copies from and to by itself."""

    _give_back = "cudaFreeHost"

    def __init__(self, device: Device, size_bytes: int) -> None:
        """Allocate at least one byte: an address must not be null, even of an empty tensor."""
        flags = device.calls.module.cudaHostAllocDefault
        doing = f"pinning {size_bytes} bytes of host memory"
        address = device.calls.run("cudaHostAlloc", max(1, size_bytes), flags, doing=doing)
        super().__init__(device, size_bytes, int(address))

    def view(self, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
        """Return an array over the first bytes, valid until `close`.

        Any dtype of numpy or ml_dtypes: the bytes are taken as they are.

        Raises:
            BackendError: the memory is closed, or too small.
        """
        count = int(np.prod(shape, dtype=np.int64))
        needed_bytes = count * dtype.itemsize
        if not self.address or needed_bytes > self.size_bytes:
            raise BackendError(
                f"{needed_bytes} bytes were asked of {self.size_bytes} bytes of "
                f"{'pinned' if self.address else 'closed'} memory"
            )
        raw = (ctypes.c_uint8 * max(1, needed_bytes)).from_address(self.address)
        flat: Array = np.frombuffer(memoryview(raw), dtype=np.uint8)[:needed_bytes]
        return flat.view(dtype).reshape(tuple(shape))


class DeviceMemory(_Memory):
    """Memory of the GPU."""

    _give_back = "cudaFree"

    def __init__(self, device: Device, size_bytes: int) -> None:
        """Allocate at least one byte: an address must not be null, even of an empty tensor.

        Raises:
            DeviceMemoryError: the GPU has no such block left.
        """
        doing = f"allocating {size_bytes} bytes on GPU {device.name}"
        address = int(device.calls.run("cudaMalloc", max(1, size_bytes), doing=doing))
        super().__init__(device, size_bytes, address)
        if address % ALIGNMENT:
            self.close()
            raise BackendError(f"{doing}: the address is not a multiple of {ALIGNMENT}")

    def fill(self, value: int, stream: Stream) -> None:
        """Start setting every byte to `value` (0 to 255)."""
        self._calls.run(
            "cudaMemsetAsync",
            self.address,
            value,
            self.size_bytes,
            stream.handle,
            doing="filling memory of the GPU",
        )


class Copies:
    """Copies between the host and the GPU that are started again and again, without new objects."""

    def __init__(self, stream: Stream, *, to_device: bool) -> None:
        calls = stream.device.calls
        kinds = calls.module.cudaMemcpyKind
        self._calls = calls
        self._stream = stream
        self._kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        self._parts: list[tuple[Any, ...]] = []

    def plan(self, parts: Sequence[tuple[int, int, int]]) -> None:
        """Set what is copied: (destination, source, bytes) of each; empty parts are left out."""
        handle = self._stream.handle
        self._parts = [
            (target, source, size, self._kind, handle) for target, source, size in parts if size
        ]

    def start(self) -> None:
        """Put all copies into the stream.

        Raises:
            BackendError: one was refused.
        """
        copy = self._calls.module.cudaMemcpyAsync
        for part in self._parts:
            (error,) = copy(*part)
            if error:
                self._calls.fail(error, "cudaMemcpyAsync", "copying between host and GPU")
