"""CUDA graphs: what a launch puts into a stream, recorded once and replayed with one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np

from trtproof.backends.cuda.calls import Calls
from trtproof.backends.cuda.streams import Stream
from trtproof.errors import BackendError, CudaGraphError
from trtproof.tensor import Array, Feeds

CAPTURING: Final = "capturing a CUDA graph"
TOLERANCE: Final = 1e-3
"""How far a replayed float output may lie from the plain one, as a share of its largest magnitude:
kernels with atomic additions differ in their last bits from one launch to the next."""


class Replayable(Protocol):
    """What a slot needs of a graph, whoever captured it."""

    def launch(self) -> None:
        """Put the whole graph into the stream."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Graph:
    """A graph that is ready to be replayed, with the addresses and shapes of its capture."""

    def __init__(self, stream: Stream, executable: Any) -> None:
        self._calls = stream.device.calls
        self._stream = stream
        self._executable = executable

    def launch(self) -> None:
        """Put the whole graph into the stream.

        Raises:
            BackendError: CUDA refuses it.
        """
        (error,) = self._calls.module.cudaGraphLaunch(self._executable, self._stream.handle)
        if error:
            self._calls.fail(error, "cudaGraphLaunch", "replaying a CUDA graph")

    def close(self) -> None:
        """Give it back."""
        if self._executable is not None:
            executable, self._executable = self._executable, None
            self._calls.release("cudaGraphExecDestroy", executable)


def capture(stream: Stream, enqueue: Callable[[], object]) -> Graph:
    """Return the graph of what `enqueue` puts into the stream; nothing of it runs now.

    Calls of other threads may go on meanwhile (thread-local mode, as trtexec captures). Enqueue
    the same once before, so that everything lazy has happened. When it fails, the stream is as it
    was before.

    Raises:
        CudaGraphError: it cannot be captured, or nothing was.
        DeviceMemoryError: there is no memory for the graph.
    """
    calls = stream.device.calls
    mode = calls.module.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    failed_before = calls.failed
    calls.run("cudaStreamBeginCapture", stream.handle, mode, doing=CAPTURING)
    try:
        enqueue()
    except BaseException as error:  # whatever stops it, the stream must not stay in the capture
        _abandon(calls, stream)
        calls.failed = failed_before
        if isinstance(error, BackendError):
            raise CudaGraphError(f"{CAPTURING}: {error}") from error
        raise
    graph = _end(calls, stream)
    try:
        if not _count_nodes(calls, graph):
            raise CudaGraphError(f"{CAPTURING}: the launch put nothing into its stream")
        executable = calls.run("cudaGraphInstantiate", graph, 0, doing="making a CUDA graph")
    finally:
        calls.release("cudaGraphDestroy", graph)
    return Graph(stream, executable)


def _abandon(calls: Calls, stream: Stream) -> None:
    """End a capture whose launch failed; the error of ending it says nothing new."""
    error, graph = calls.module.cudaStreamEndCapture(stream.handle)
    if not error and int(graph):
        calls.release("cudaGraphDestroy", graph)
    calls.module.cudaGetLastError()


def _end(calls: Calls, stream: Stream) -> Any:
    """Return the captured graph."""
    try:
        graph = calls.run("cudaStreamEndCapture", stream.handle, doing=CAPTURING)
    except CudaGraphError:
        calls.module.cudaGetLastError()
        raise
    if not int(graph):
        raise CudaGraphError(f"{CAPTURING}: CUDA returned no graph")
    return graph


def _count_nodes(calls: Calls, graph: Any) -> int:
    _, count = calls.run("cudaGraphGetNodes", graph, doing=CAPTURING)
    return int(count)


def compare_replay(plain: Feeds, replayed: Feeds) -> str | None:
    """Return how a graph's outputs differ from those of a plain launch; None where they agree.

    Integers must be equal, floats equal or within TOLERANCE of the largest magnitude.
    """
    for name, wanted in plain.items():
        got = replayed[name]
        if got.shape != wanted.shape:
            return f"output {name!r} has shape {got.shape} replayed, {wanted.shape} launched"
        if got.tobytes() != wanted.tobytes() and not _are_close(got, wanted):
            return f"output {name!r} differs between the replayed graph and the plain launch"
    return None


def _are_close(got: Array, wanted: Array) -> bool:
    if got.dtype.kind in "iub":
        return False
    left, right = got.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(right)
    if not np.array_equal(left[~finite], right[~finite], equal_nan=True):
        return False
    largest = float(np.abs(right[finite]).max(initial=0.0))
    return bool((np.abs(left[finite] - right[finite]) <= TOLERANCE * largest).all())
