"""Memory of outputs whose shape depends on the data: TensorRT asks for it while it runs."""

from __future__ import annotations

from typing import Any

from trtproof.backends.cuda.buffers import TensorBuffer
from trtproof.errors import BackendError


def make_output_allocator(trt: Any, buffer: TensorBuffer) -> Any:
    """Return an allocator that keeps an output in its own buffer.

    Its `extents` are the shape that the launch told, None before; its `failure` is why it had no
    memory to give: an exception would be lost on its way through TensorRT.
    """

    class OutputAllocator(trt.IOutputAllocator):  # type: ignore[misc]
        """TensorRT calls both methods before `execute_async_v3` returns."""

        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.extents: tuple[int, ...] | None = None
            self.failure: BackendError | None = None

        def reallocate_output_async(
            self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:
            """Return the address of enough memory; 0 where there is none."""
            del tensor_name, memory, alignment, stream
            try:
                return buffer.reserve(max(1, int(size)))
            except BackendError as error:
                self.failure = error
                return 0

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            """Keep the shape."""
            del tensor_name
            self.extents = tuple(int(extent) for extent in shape)

    return OutputAllocator()
