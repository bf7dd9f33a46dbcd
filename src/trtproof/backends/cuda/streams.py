"""Streams and events."""

from __future__ import annotations

from typing import Any, Final, Self

from trtproof.backends.cuda.device import Device

NANOSECONDS_PER_MS: Final = 1_000_000


class Event:
    """A mark in a stream; with timing, the GPU's own clock at that mark (about 0.5 us fine).

    Who waits for an `asleep` one gives the processor away meanwhile, as trtexec without spin wait.
    """

    def __init__(self, device: Device, *, timing: bool, asleep: bool = False) -> None:
        self._calls = device.calls
        module = device.calls.module
        flags = module.cudaEventDefault if timing else module.cudaEventDisableTiming
        flags |= module.cudaEventBlockingSync if asleep else module.cudaEventDefault
        self.handle: Any = self._calls.run(
            "cudaEventCreateWithFlags", flags, doing="making an event"
        )

    def synchronize(self) -> None:
        """Block until the stream has reached the mark."""
        self._calls.run("cudaEventSynchronize", self.handle, doing="waiting for an event")

    def nanoseconds_since(self, start: Event) -> int:
        """Return the GPU's time between two marks that were both reached."""
        spent_ms = self._calls.run(
            "cudaEventElapsedTime", start.handle, self.handle, doing="reading the GPU's clock"
        )
        return round(float(spent_ms) * NANOSECONDS_PER_MS)

    def close(self) -> None:
        """Give it back."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            self._calls.release("cudaEventDestroy", handle)


class Stream:
    """Work that the GPU does in order; not the default stream, so that nothing else waits for it.

    `handle` goes to our own calls, `address` to libraries that take a number.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._calls = device.calls
        self.handle: Any = self._calls.run(
            "cudaStreamCreateWithFlags",
            device.calls.module.cudaStreamNonBlocking,
            doing="making a stream",
        )
        self.address = int(self.handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def synchronize(self) -> None:
        """Block until everything in the stream is done.

        Raises:
            BackendError: something in it failed.
        """
        (error,) = self._calls.module.cudaStreamSynchronize(self.handle)
        if error:
            self._calls.fail(error, "cudaStreamSynchronize", "waiting for a stream")

    def record(self, event: Event) -> None:
        """Put a mark behind what is in the stream now."""
        self._calls.run("cudaEventRecord", event.handle, self.handle, doing="marking a stream")

    def wait_for(self, event: Event) -> None:
        """Let what follows in this stream wait for a mark in another one."""
        self._calls.run(
            "cudaStreamWaitEvent", self.handle, event.handle, 0, doing="joining two streams"
        )

    def close(self) -> None:
        """Give it back; what is in it still runs to its end."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            self._calls.release("cudaStreamDestroy", handle)
