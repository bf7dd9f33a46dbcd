"""What one request occupies: pinned and device memory per tensor, grown when a shape needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from trtproof.backends.base import PartTimes
from trtproof.backends.cuda.device import Device
from trtproof.backends.cuda.graphs import Replayable
from trtproof.backends.cuda.marks import LaunchMarks
from trtproof.backends.cuda.memory import Copies, DeviceMemory, PinnedMemory
from trtproof.backends.cuda.streams import Event, Stream
from trtproof.errors import BackendError
from trtproof.tensor import Array, Feeds

BEFORE_UPLOAD: Final = 0
AFTER_UPLOAD: Final = 1
BEFORE_DOWNLOAD: Final = 2
AFTER_DOWNLOAD: Final = 3
MARKS: Final = 4
"""Events of one request's copies."""


class TensorBuffer:
    """One input or output; `array` is its pinned side, `address` what the library is told.

    A tensor that the library reads or writes on the host (`on_host`) has no device memory.
    """

    def __init__(self, device: Device, name: str, dtype: np.dtype[Any], *, on_host: bool) -> None:
        self.name = name
        self.dtype = dtype
        self.on_host = on_host
        self._device = device
        self._pinned: PinnedMemory | None = None
        self._memory: DeviceMemory | None = None
        self.array: Array = np.empty(0, dtype)

    @property
    def address(self) -> int:
        """Return where the library finds the tensor; 0 before `resize`."""
        side = self._pinned if self.on_host else self._memory
        return side.address if side is not None else 0

    @property
    def memory(self) -> DeviceMemory | None:
        """Return the device side."""
        return self._memory

    def resize(self, shape: Iterable[int]) -> None:
        """Give the tensor a shape; memory is kept where it is large enough, as are addresses."""
        extents = tuple(int(extent) for extent in shape)
        size_bytes = int(np.prod(extents, dtype=np.int64)) * self.dtype.itemsize
        if self._pinned is None or self._pinned.size_bytes < size_bytes:
            if self._pinned is not None:
                self._pinned.close()
            self._pinned = PinnedMemory(self._device, size_bytes)
        if not self.on_host:
            self.reserve(size_bytes)
        self.array = self._pinned.view(self.dtype, extents)

    def reserve(self, size_bytes: int) -> int:
        """Have at least so much device memory, and return its address."""
        if self._memory is None or self._memory.size_bytes < size_bytes:
            if self._memory is not None:
                self._memory.close()
            self._memory = None
            self._memory = DeviceMemory(self._device, size_bytes)
        return self._memory.address

    def close(self) -> None:
        """Give both sides back."""
        self.array = np.empty(0, self.dtype)
        for side in (self._pinned, self._memory):
            if side is not None:
                side.close()
        self._pinned = self._memory = None


class Slot:
    """The buffers of one request, the copies between them, and the graph of its launch."""

    def __init__(
        self,
        stream: Stream,
        inputs: Mapping[str, TensorBuffer],
        outputs: Mapping[str, TensorBuffer],
        *,
        marks: bool,
    ) -> None:
        device = stream.device
        self.inputs = inputs
        self.outputs = outputs
        self.uploads = Copies(stream, to_device=True)
        self.downloads = Copies(stream, to_device=False)
        self.marks = [Event(device, timing=True) for _ in range(MARKS)] if marks else []
        self.graph: Replayable | None = None
        self.staged = False
        self.launched = False
        self.launch_marks: LaunchMarks | None = None

    def read_parts(self) -> PartTimes:
        """Return the times between the marks, which were all reached; none where there are none."""
        marks, launch = self.marks, self.launch_marks
        if launch is None:
            return PartTimes()
        return PartTimes(
            h2d_ns=marks[AFTER_UPLOAD].nanoseconds_since(marks[BEFORE_UPLOAD]),
            device_ns=launch.device_ns,
            d2h_ns=marks[AFTER_DOWNLOAD].nanoseconds_since(marks[BEFORE_DOWNLOAD]),
            enqueue_ns=launch.enqueue_ns,
        )

    def wait_asleep(self, device: Device) -> None:
        """Take a last mark that the host sleeps before; nothing of this slot is in flight."""
        if self.marks:
            self.marks.pop().close()
            self.marks.append(Event(device, timing=True, asleep=True))

    def fits(self, feeds: Feeds) -> bool:
        """Say whether a request needs nothing new: the same shapes, the same values on the host.

        Values of a tensor that the library reads on the host are shapes of other tensors.
        """
        return self.staged and all(
            buffer.array.shape == feeds[name].shape
            and (not buffer.on_host or np.array_equal(buffer.array, feeds[name]))
            for name, buffer in self.inputs.items()
        )

    def take(self, feeds: Feeds) -> None:
        """Copy a request's arrays into the pinned side."""
        for name, buffer in self.inputs.items():
            np.copyto(buffer.array, feeds[name])

    def reshape_inputs(self, feeds: Feeds) -> None:
        """Give the inputs the shapes of a request, and plan their copies."""
        for name, buffer in self.inputs.items():
            buffer.resize(feeds[name].shape)
        self.uploads.plan(
            [
                (buffer.address, buffer.array.ctypes.data, buffer.array.nbytes)
                for buffer in self.inputs.values()
                if not buffer.on_host
            ]
        )

    def plan_downloads(self) -> None:
        """Plan the outputs' copies as they are shaped now."""
        self.downloads.plan(
            [
                (buffer.array.ctypes.data, buffer.address, buffer.array.nbytes)
                for buffer in self.outputs.values()
                if not buffer.on_host
            ]
        )

    def spoil_outputs(self, stream: Stream) -> None:
        """Overwrite the outputs, so that a launch that writes nothing is noticed."""
        for buffer in self.outputs.values():
            if buffer.memory is not None:
                buffer.memory.fill(0xFF, stream)

    def read(self) -> Feeds:
        """Return copies of the outputs.

        Raises:
            BackendError: nothing was launched in this slot.
        """
        if not self.launched:
            problem = "a slot was read before anything was launched in it"
            raise BackendError(problem)
        return {name: buffer.array.copy() for name, buffer in self.outputs.items()}

    def drop_graph(self) -> None:
        """Give the graph back: it holds to addresses and shapes of its capture."""
        if self.graph is not None:
            self.graph.close()
            self.graph = None

    def close(self) -> None:
        """Give everything back; the graph first."""
        self.drop_graph()
        for buffer in (*self.inputs.values(), *self.outputs.values()):
            buffer.close()
        for mark in self.marks:
            mark.close()
        self.marks = []
        self.staged = self.launched = False
