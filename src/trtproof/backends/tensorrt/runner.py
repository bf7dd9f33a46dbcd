"""One stream of a TensorRT engine: its execution context, bound to the buffers of a request.

The order of calls is NVIDIA's: profile, shapes, values of shape inputs, inferred shapes of outputs,
memory of the context, addresses, enqueue (NvInferRuntime.h; samples/common/sampleInference.cpp).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from trtproof.backends.cuda.buffers import Slot, TensorBuffer
from trtproof.backends.cuda.graphs import describe_replays
from trtproof.backends.cuda.memory import DeviceMemory
from trtproof.backends.cuda.runner import CudaRunner
from trtproof.backends.tensorrt import library
from trtproof.backends.tensorrt.allocator import make_output_allocator
from trtproof.backends.tensorrt.errors import refusal
from trtproof.backends.tensorrt.ranges import Extents, Ranges, choose_profile, describe_ranges
from trtproof.errors import BackendError

if TYPE_CHECKING:
    from trtproof.backends.tensorrt.engine import Loaded

FREE: Final = "free memory of the GPU, or lower the number of streams"
WIDEN: Final = "widen build.profiles in conf/variant and run `trtproof compose`"
DOCTOR: Final = "run `trtproof doctor` and send what it writes"


class TensorRtRunner(CudaRunner):
    """Runs requests in a context of its own; not used by two threads at once."""

    def __init__(self, loaded: Loaded) -> None:
        """Make the stream and the context.

        Raises:
            BackendError: TensorRT gives no context.
        """
        options = loaded.options
        super().__init__(
            loaded.device,
            loaded.signature,
            loaded.tensors,
            cuda_graph=options.cuda_graph,
            parts=options.parts,
        )
        self._loaded: Loaded | None = loaded
        self._options = options
        self._lines = loaded.lines
        self._bound: Slot | None = None
        self._memories: list[DeviceMemory] = []
        self._scratch_bytes = 0
        self._allocators: dict[int, dict[str, Any]] = {}
        before = loaded.device.memory()
        try:
            self.context = self._make_context(loaded)
        except BaseException:  # nobody else has this runner to close it yet
            self.context = None
            self.close()
            raise
        self._context_bytes = loaded.device.memory().used_bytes - before.used_bytes

    def facts(self) -> dict[str, Any]:
        """Return how this runner runs by now."""
        facts: dict[str, Any] = {
            "context_memory": self._options.context_memory,
            "context_bytes": self._context_bytes,
        }
        if self._scratch_bytes:
            facts["scratch_bytes"] = self._scratch_bytes
        if self.context is not None:
            facts["profile"] = int(self.context.active_optimization_profile)
        return facts | (describe_replays([self]) if self._options.cuda_graph else {})

    def bind(self, slot: Slot) -> None:
        """Give the context this slot's shapes and addresses, and the outputs their shapes.

        Raises:
            BackendError: a shape lies in no profile, or TensorRT cannot tell the outputs' shapes.
        """
        self._bound = None
        self._apply_shapes(slot)
        self._shape_outputs(slot)
        self._provide_memory()
        self._apply_addresses(slot)
        self._bound = slot
        self._lines.clear()

    def enqueue(self, slot: Slot) -> None:
        """Put the inference into the stream.

        Raises:
            BackendError: TensorRT refuses it.
        """
        if self._bound is not slot:
            self._apply_shapes(slot)
            self._apply_addresses(slot)
            self._bound = slot
        if not self.context.execute_async_v3(self.stream.address):
            raise self._starved(slot) or self._refused("running the engine", DOCTOR)

    def settle_outputs(self, slot: Slot) -> None:
        """Take the shapes that the launch told, of outputs whose shape depends on the data.

        Raises:
            BackendError: the launch told none.
        """
        for name, allocator in self._allocators.get(id(slot), {}).items():
            if allocator.extents is None:
                raise self._refused(f"output {name!r} was given no shape", DOCTOR)
            slot.outputs[name].resize(allocator.extents)
            slot.plan_downloads()

    def graph_obstacle(self, slot: Slot) -> str | None:
        """Return why the launch of this slot cannot be captured at all, or None."""
        if self._loaded is not None and self._loaded.streamed:
            return "weights are streamed from the host, which a CUDA graph cannot do"
        names = list(self._allocators.get(id(slot), {}))
        if names:
            return f"the shape of output {names[0]!r} depends on the data"
        return None

    def release(self) -> None:
        """Let the context go, then the memory that it worked in, then the engine."""
        self.context = None
        self._bound = None
        self._allocators = {}
        for memory in self._memories:
            memory.close()
        self._memories = []
        self._loaded = None

    def _make_context(self, loaded: Loaded) -> Any:
        trt = loaded.trt
        strategy = trt.ExecutionContextAllocationStrategy.STATIC
        if self._options.context_memory == "user_managed":
            strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = loaded.engine.create_execution_context(strategy)
        if context is None:
            raise self._refused(what="making an execution context", repair=FREE)
        return context

    @property
    def _profiles(self) -> list[Ranges]:
        return [] if self._loaded is None else list(self._loaded.profiles)

    def _apply_shapes(self, slot: Slot) -> None:
        """Choose the profile, then set every input's shape: choosing one forgets the shapes."""
        extents = {name: _extents(buffer) for name, buffer in slot.inputs.items()}
        self._use_profile(choose_profile(self._profiles, extents))
        for name, buffer in slot.inputs.items():
            if not self.context.set_input_shape(name, tuple(buffer.array.shape)):
                raise self._refused(
                    f"input {name!r} of shape {list(buffer.array.shape)} "
                    f"({describe_ranges(self._profiles, name)})",
                    WIDEN,
                )
        # values of shape inputs are read while shapes are inferred
        self._set_addresses(buffer for buffer in slot.inputs.values() if buffer.on_host)

    def _use_profile(self, index: int) -> None:
        """Make a profile the active one, once nothing of this stream is in flight."""
        if int(self.context.active_optimization_profile) == index:
            return
        self.wait()
        if not self.context.set_optimization_profile_async(index, self.stream.address):
            raise self._refused(f"choosing optimization profile {index}", DOCTOR)
        self.wait()

    def _shape_outputs(self, slot: Slot) -> None:
        """Give every output its shape, or an allocator where only the launch can tell it."""
        self._infer_shapes()
        allocators: dict[str, Any] = {}
        for name, buffer in slot.outputs.items():
            extents = tuple(int(extent) for extent in self.context.get_tensor_shape(name))
            if min(extents, default=0) >= 0:
                buffer.resize(extents)
            else:
                allocators[name] = make_output_allocator(library.load(), buffer)
        self._allocators[id(slot)] = allocators
        computed = [buffer for buffer in slot.outputs.values() if buffer.on_host]
        if computed:  # outputs that are shapes themselves are written while shapes are inferred
            self._set_addresses(computed)
            self._infer_shapes()

    def _infer_shapes(self) -> None:
        """Let TensorRT infer the outputs' shapes; the bindings raise where it finds a conflict."""
        try:
            missing = self.context.infer_shapes()
        except RuntimeError as error:
            raise self._refused(f"inferring shapes ({error})", DOCTOR) from error
        if missing:
            raise self._refused(f"inferring shapes without {', '.join(missing)}", DOCTOR)

    def _provide_memory(self) -> None:
        """Have the memory that these shapes need, where it is ours to give.

        A larger block replaces a smaller one; graphs that were captured keep the block they know.
        """
        if self._options.context_memory != "user_managed":
            return
        self._lines.clear()
        needed = int(self.context.update_device_memory_size_for_shapes())
        if not needed and self._lines:
            raise self._refused(what="asking for the context's memory", repair=DOCTOR)
        self._scratch_bytes = max(self._scratch_bytes, needed)
        if not self._memories or self._memories[-1].size_bytes < needed:
            self._memories.append(DeviceMemory(self.device, needed))
        block = self._memories[-1]
        self.context.set_device_memory(block.address, block.size_bytes)

    def _apply_addresses(self, slot: Slot) -> None:
        allocators = self._allocators.get(id(slot), {})
        for name, allocator in allocators.items():
            if not self.context.set_output_allocator(name, allocator):
                raise self._refused(f"setting the allocator of output {name!r}", DOCTOR)
        self._set_addresses(slot.inputs.values())
        self._set_addresses(
            buffer for buffer in slot.outputs.values() if buffer.name not in allocators
        )

    def _set_addresses(self, buffers: Iterable[TensorBuffer]) -> None:
        for buffer in buffers:
            if not self.context.set_tensor_address(buffer.name, buffer.address):
                raise self._refused(f"setting the address of {buffer.name!r}", DOCTOR)

    def _starved(self, slot: Slot) -> BackendError | None:
        """Return why an output that TensorRT asked memory for got none."""
        failures = [allocator.failure for allocator in self._allocators.get(id(slot), {}).values()]
        return next((failure for failure in failures if failure is not None), None)

    def _refused(self, what: str, repair: str) -> BackendError:
        """Return the error of a call that answered False or None, with what TensorRT logged."""
        return refusal(what, self._lines, repair=repair)


def _extents(buffer: TensorBuffer) -> Extents:
    """Return what a profile limits: the values of a tensor that holds a shape, else the shape."""
    if buffer.on_host:
        return tuple(int(value) for value in buffer.array.ravel())
    return tuple(buffer.array.shape)
