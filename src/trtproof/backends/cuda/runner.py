"""The part of a `Runner` on the GPU that does not infer: buffers, copies, marks, and the graph."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from trtproof.backends.base import MemoryFigure, PartTimes
from trtproof.backends.cuda.buffers import (
    AFTER_DOWNLOAD,
    AFTER_UPLOAD,
    BEFORE_DOWNLOAD,
    BEFORE_UPLOAD,
    Slot,
    TensorBuffer,
    sum_memory,
)
from trtproof.backends.cuda.device import Device
from trtproof.backends.cuda.graphs import capture, compare_replay
from trtproof.backends.cuda.marks import LaunchRing
from trtproof.backends.cuda.streams import Stream
from trtproof.backends.cuda.tensors import Tensors
from trtproof.backends.host import SLOTS, check_feeds
from trtproof.errors import BackendError, CudaGraphError
from trtproof.tensor import Feeds, Signature


class CudaRunner(ABC):
    """One stream of the GPU with two slots; a subclass binds a slot's buffers and launches.

    Each slot has memory of its own on both sides, so that a request can be staged while the other
    one runs. Shapes may change between requests: memory only grows, and a graph is captured anew.
    """

    def __init__(
        self,
        device: Device,
        signature: Signature,
        tensors: Tensors,
        *,
        cuda_graph: bool,
        parts: bool,
    ) -> None:
        """Make the stream and empty slots; `parts` marks every request for `times_ns`."""
        self.signature = signature
        self.device = device
        self.graph_failures: list[str] = []
        """Why launches were not captured, each reason once."""

        self._wants_graph = cuda_graph
        self._closed = False
        self._last: Slot | None = None
        device.make_current()
        self.stream = Stream(device)
        self._slots = [self._make_slot(tensors, marks=parts) for _ in range(SLOTS)]
        self._ring = LaunchRing(device) if parts else None

    @abstractmethod
    def bind(self, slot: Slot) -> None:
        """Take the slot's inputs, as shaped and filled now, and give its outputs their shapes.

        Called when the shapes of a slot have changed; nothing of this runner is in flight.
        """

    @abstractmethod
    def enqueue(self, slot: Slot) -> None:
        """Put the inference of the slot into the stream.

        Raises:
            BackendError: the library refuses it.
        """

    @abstractmethod
    def release(self) -> None:
        """Let go of what infers, before the memory that it uses goes."""

    def graph_obstacle(self, slot: Slot) -> str | None:
        """Return why this slot's launch cannot be captured at all, or None."""
        del slot
        return None

    def settle_outputs(self, slot: Slot) -> None:  # noqa: B027 - most outputs have known shapes
        """Give outputs their shapes where only the launch could tell them."""

    @property
    def cuda_graph_captured(self) -> int:
        """Return 1 when every launch since the start is replayed from a graph, otherwise 0."""
        captured = any(slot.graph is not None for slot in self._slots)
        return int(captured and not self.graph_failures)

    def stage(self, slot: int, feeds: Feeds) -> None:
        """Copy one request into pinned memory, and get everything ready for new shapes.

        With a CUDA graph that includes the capture, and the check that the replayed graph gives
        what a plain launch gives.

        Raises:
            BackendError: an input is missing, of another type or of a shape that the plan does not
                take.
            DeviceMemoryError: the GPU has no memory left for these shapes.
        """
        check_feeds(self.signature, feeds)
        self.device.make_current()
        chosen = self._slots[slot]
        if chosen.fits(feeds):
            chosen.take(feeds)
            return
        self.wait()
        chosen.drop_graph()
        chosen.staged = chosen.launched = False
        chosen.reshape_inputs(feeds)
        chosen.take(feeds)
        self.bind(chosen)
        chosen.plan_downloads()
        chosen.staged = True
        if self._wants_graph:
            self._prepare_graph(chosen)

    def upload(self, slot: int) -> None:
        """Start the copies to the GPU."""
        chosen = self._require_staged(slot)
        self._mark(chosen, BEFORE_UPLOAD)
        chosen.uploads.start()
        self._mark(chosen, AFTER_UPLOAD)

    def launch(self, slot: int) -> None:
        """Start the inference, by replaying its graph where there is one."""
        chosen = self._require_staged(slot)
        if self._ring is not None:
            self._launch_marked(chosen, self._ring)
        else:
            self._submit(chosen)
        chosen.launched = True

    def download(self, slot: int) -> None:
        """Start the copies to the host."""
        chosen = self._require_staged(slot)
        self.settle_outputs(chosen)
        self._mark(chosen, BEFORE_DOWNLOAD)
        chosen.downloads.start()
        self._mark(chosen, AFTER_DOWNLOAD)
        self._last = chosen

    def wait(self) -> None:
        """Block until the stream is done.

        Raises:
            BackendError: something in it failed.
        """
        self.stream.synchronize()
        if self._ring is not None:
            self._ring.clear()

    def finish_launch(self) -> PartTimes:
        """Block until the oldest launch in flight is done, and return its times.

        None unless parts were asked for: then it waits for the whole stream.

        Raises:
            BackendError: something in the stream failed.
        """
        if self._ring is None:
            self.wait()
            return PartTimes()
        return self._ring.finish()

    def read(self, slot: int) -> Feeds:
        """Return copies of the slot's outputs.

        Raises:
            BackendError: nothing was launched in the slot.
        """
        return self._slots[slot].read()

    def finish_request(self, slot: int) -> PartTimes:
        """Block until the request in a slot is done; as `finish_launch` otherwise."""
        chosen = self._slots[slot]
        if chosen.launch_marks is None:
            self.wait()
            return PartTimes()
        chosen.marks[AFTER_DOWNLOAD].synchronize()
        return chosen.read_parts()

    def wait_asleep(self) -> None:
        """Let `finish_launch` and `finish_request` give the processor away while they wait."""
        self.device.make_current()
        self.wait()
        if self._ring is not None:
            self._ring.close()
            self._ring = LaunchRing(self.device, asleep=True)
        for slot in self._slots:
            slot.launch_marks = None
            slot.wait_asleep(self.device)

    def times_ns(self) -> PartTimes:
        """Return the parts of the last request, once it was waited for; none unless asked for."""
        return PartTimes() if self._last is None else self._last.read_parts()

    def memory(self) -> list[MemoryFigure]:
        """Return what the buffers of requests hold, in both slots together."""
        return sum_memory(self._slots)

    def close(self) -> None:
        """Give everything back: graphs, what infers, then memory, events and the stream."""
        if self._closed:
            return
        self._closed = True
        self._last = None
        self.device.make_current()
        if not self.device.calls.failed:
            self.wait()
        for slot in self._slots:
            slot.drop_graph()
        self.release()
        for slot in self._slots:
            slot.close()
        if self._ring is not None:
            self._ring.close()
        self.stream.close()

    def _make_slot(self, tensors: Tensors, *, marks: bool) -> Slot:
        inputs, outputs = (
            {
                name: TensorBuffer(self.device, name, place.dtype, on_host=place.on_host)
                for name, place in places.items()
            }
            for places in (tensors.inputs, tensors.outputs)
        )
        return Slot(self.stream, inputs, outputs, marks=marks)

    def _require_staged(self, slot: int) -> Slot:
        chosen = self._slots[slot]
        if not chosen.staged:
            raise BackendError(f"slot {slot} was used before a request was staged in it")
        return chosen

    def _submit(self, slot: Slot) -> None:
        """Put the inference into the stream, by its graph where there is one."""
        if slot.graph is not None:
            slot.graph.launch()
        else:
            self.enqueue(slot)

    def _launch_marked(self, slot: Slot, ring: LaunchRing) -> None:
        marks = ring.take()
        self.stream.record(marks.begin)
        begun_ns = time.perf_counter_ns()
        self._submit(slot)
        marks.enqueue_ns = time.perf_counter_ns() - begun_ns
        self.stream.record(marks.end)
        slot.launch_marks = marks

    def _mark(self, slot: Slot, place: int) -> None:
        if slot.marks:
            self.stream.record(slot.marks[place])

    def _prepare_graph(self, slot: Slot) -> None:
        """Capture the slot's launch; where that fails, keep why, and launch plainly."""
        obstacle = self.graph_obstacle(slot)
        if obstacle is None:
            try:
                obstacle = self._capture(slot)
            except CudaGraphError as error:
                obstacle = str(error)
        if obstacle is not None:
            slot.drop_graph()
            if obstacle not in self.graph_failures:
                self.graph_failures.append(obstacle)

    def _capture(self, slot: Slot) -> str | None:
        """Capture the launch after a plain one, and return how its replay differs, or None."""
        plain = self._answer(slot)
        graph = capture(self.stream, lambda: self.enqueue(slot))
        slot.graph = graph
        slot.spoil_outputs(self.stream)
        return compare_replay(plain, self._answer(slot))

    def _answer(self, slot: Slot) -> Feeds:
        """Return the outputs of what is staged, outside of any timing."""
        slot.uploads.start()
        self._submit(slot)
        slot.downloads.start()
        self.wait()
        return {name: buffer.array.copy() for name, buffer in slot.outputs.items()}
