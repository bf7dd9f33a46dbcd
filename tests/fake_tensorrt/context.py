"""The fake IExecutionContext: NVIDIA's rules of a launch, each numbered where it is kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tests.fake_cuda.gpu import FakeCudaError, Work, current_machine
from tests.fake_tensorrt.surface import require_initialised
from tests.fake_tensorrt.world import NUMPY, TYPES, World

ALIGNMENT = 256
KERNEL_NS = 50_000


class IExecutionContext:
    """Each rule of the header is numbered where it is kept."""

    _world: World

    def __init__(self, engine: Any, strategy: Any) -> None:
        self._engine = weakref.ref(engine)
        self._keep = (engine._session, engine._scratch)
        self._strategy = strategy
        self._profile = 0
        self._switching: Any = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}
        self._memory = (0, 0)
        self._work = f"enqueue {id(self)}"

    def __del__(self) -> None:
        """Rules 1 to 3: the engine, its graphs and its memory are there when a context goes."""
        engine = getattr(self, "_engine", None)
        if engine is None:
            return
        world, machine = self._world, current_machine()
        if engine() is None:
            world.rules.append("the engine was destroyed before its context")
        for work in machine.live["executables"].values():
            if any(part.name == self._work for part in work):
                world.rules.append("a graph outlived the context that it was captured from")
        if self._memory[0] and self._memory[0] not in machine.live["memory"]:
            world.rules.append("the context's memory was freed before the context")

    def _own(self) -> Any:
        engine = self._engine()
        assert engine is not None, "the engine is gone"
        return engine

    def _refuse(self, call: str, text: str) -> bool:
        self._world.error(f"IExecutionContext::{call}", text)
        return False

    @property
    def engine(self) -> Any:
        return self._own()

    @property
    def active_optimization_profile(self) -> int:
        return self._profile

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Rule 4: a profile that exists, on a live stream, while no other context work runs."""
        if not 0 <= profile_index < self._own().num_optimization_profiles:
            return self._refuse("setOptimizationProfileAsync", "profileIndex is out of range")
        try:
            stream = current_machine().find("streams", stream_handle)
        except FakeCudaError:
            return self._refuse("setOptimizationProfileAsync", "the stream does not exist")
        if any(work.name == self._work for work in stream.queue):
            return self._refuse("setOptimizationProfileAsync", "the context is still running")
        self._profile = profile_index
        self._shapes.clear()  # rule 5: choosing a profile forgets the shapes
        self._switching = object()
        token = self._switching

        def arrive() -> None:
            if self._switching is token:
                self._switching = None

        current_machine().put(stream, Work("profile", arrive, 1))
        return True

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        """Rule 6: an input, its rank and fixed extents, inside the active profile."""
        engine, extents = self._own(), tuple(int(extent) for extent in shape)
        if name not in engine._inputs:
            return self._refuse("setInputShape", f"no input is called {name}")
        wanted = engine._extents(name)
        if len(extents) != len(wanted) or any(
            want not in (-1, extent) for want, extent in zip(wanted, extents, strict=True)
        ):
            return self._refuse(
                "setInputShape", f"static dimension mismatch: {list(extents)}, {list(wanted)}"
            )
        low, _, high = engine._limits(name, self._profile)
        holds_shape = name in engine._shape_inputs
        for axis, extent in enumerate(extents):
            if not holds_shape and not low[axis] <= extent <= high[axis]:
                return self._refuse(
                    "setInputShape",
                    f"Set dimension [{','.join(map(str, extents))}] for tensor {name} does not "
                    f"satisfy any optimization profiles. Valid range for profile {self._profile}: "
                    f"{low}..{high}. Supplied binding dimension exceed min ~ max range at index "
                    f"{axis}, maximum dimension in profile is {high[axis]}, minimum dimension in "
                    f"profile is {low[axis]}, but supplied dimension is {extent}.",
                )
        self._shapes[name] = extents
        return True

    def _unset(self) -> list[str]:
        engine = self._own()
        unset = [
            name
            for name in engine._inputs
            if -1 in engine._extents(name) and name not in self._shapes
        ]
        return unset + [name for name in engine._shape_inputs if not self._addresses.get(name)]

    def infer_shapes(self) -> list[str]:
        """Rule 7: names what is missing, values of shape inputs included; a conflict is raised."""
        conflict = self._world.host.faults.get("shapes_conflict")
        if conflict is not None:
            self._refuse("inferShapes", conflict)
            problem = "An error was encountered while inferring shapes"
            raise RuntimeError(problem)
        return self._unset()

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Rule 8: -1 where the data decide."""
        engine = self._own()
        if name in engine._inputs:
            return self._shapes.get(name, engine._extents(name))
        wanted = tuple(engine._extents(name))
        if -1 not in wanted or engine._late or self._unset():
            return wanted
        feeds = {
            tensor: self._read(tensor)
            if tensor in engine._shape_inputs
            else np.zeros(self.get_tensor_shape(tensor), self._numpy(tensor))
            for tensor in engine._inputs
        }
        return tuple(engine._session.run([name], feeds)[0].shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Rule 9: a tensor's name, 256-byte alignment, not null."""
        if name not in self._own()._tensors:
            return self._refuse("setTensorAddress", f"no tensor is called {name}")
        if memory % ALIGNMENT:
            return self._refuse("setTensorAddress", f"{name}: the address is not aligned")
        if not memory:
            return self._refuse("setTensorAddress", f"{name}: the address is null")
        self._addresses[name] = memory
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        """Rule 10: only outputs are allocated."""
        require_initialised(output_allocator, "IOutputAllocator")
        if name not in self._own()._outputs:
            return self._refuse("setOutputAllocator", f"no output is called {name}")
        self._allocators[name] = output_allocator
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        """Rule 11: shapes first; 0 is an error."""
        if self._unset():
            self._refuse("updateDeviceMemorySizeForShapes", f"not set: {self._unset()}")
            return 0
        return int(self._own()._scratch)

    def set_device_memory(self, memory: int, size: int) -> None:
        """Rule 12: only memory of a context without its own, aligned, of a live block."""
        managed = self._world.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._strategy != managed or memory % ALIGNMENT:
            self._refuse("setDeviceMemoryV2", "not user managed, or not aligned")
            return
        self._memory = (memory, size)

    def _scratch_problem(self) -> str | None:
        engine, (address, size) = self._own(), self._memory
        managed = self._world.trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._strategy != managed:
            return None
        if size < engine._scratch:
            return f"the context has {size} bytes of device memory and needs {engine._scratch}"
        try:
            current_machine().view("device", address, engine._scratch)
        except FakeCudaError:
            return "the context's device memory is not there"
        others = (other for other in engine._live if other is not self)
        if any(other._memory[0] == address for other in others):
            return "two contexts share their device memory"
        return None

    def _numpy(self, name: str) -> Any:
        return NUMPY[TYPES[self._own()._tensors[name].type]]

    def _bytes(self, name: str, size: int) -> Any:
        kind = "pinned" if name in self._own()._shape_inputs else "device"
        return current_machine().view(kind, self._addresses[name], size)

    def _read(self, name: str) -> Any:
        extents, kind = self.get_tensor_shape(name), np.dtype(self._numpy(name))
        size = int(np.prod(extents, dtype=np.int64)) * kind.itemsize
        return self._bytes(name, size).view(kind).reshape(extents).copy()

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Rules 13 to 16: everything set, a stream of one's own, buffers large enough."""
        machine = current_machine()
        problem = self._stream_problem(stream_handle) or self._problem()
        if problem:
            return self._refuse("enqueueV3", problem)
        stream = machine.find("streams", stream_handle)
        if stream.captured is not None and (reason := self._capture_problem()):
            stream.broken_capture = True
            return self._refuse("enqueueV3", reason)
        if self._allocators:
            machine.run(stream)
            return self._run_now()
        machine.put(stream, Work(self._work, self._make_launch(), KERNEL_NS))
        return True

    def _make_launch(self) -> Callable[[], None]:
        """Return the launch as it is set now; work in a stream or graph keeps no context alive."""
        shapes, addresses = dict(self._shapes), dict(self._addresses)
        reference, rules = weakref.ref(self), self._world.rules

        def launch() -> None:
            context = reference()
            if context is None:
                rules.append("work of a destroyed context ran")
            else:
                context._run(shapes, addresses)

        return launch

    def _stream_problem(self, stream_handle: int) -> str | None:
        if not stream_handle:
            return "the default stream makes the launch synchronous"
        if stream_handle not in current_machine().live["streams"]:
            return "the stream does not exist"
        if self._switching is not None:
            return "the optimization profile is still being switched"
        return None

    def _problem(self) -> str | None:
        fault = self._world.host.faults.get("enqueue_refused")
        return fault or self._missing() or self._scratch_problem() or self._too_small()

    def _capture_problem(self) -> str | None:
        if self._allocators:
            return "data-dependent shapes cannot be captured"
        refused = "capture_refused" in self._world.host.faults
        return "this layer cannot be captured" if refused else None

    def _missing(self) -> str | None:
        engine = self._own()
        missing = self._unset() + [
            name
            for name in engine._tensors
            if not self._addresses.get(name) and name not in self._allocators
        ]
        return f"not set: {sorted(set(missing))}" if missing else None

    def _too_small(self) -> str | None:
        for name in self._own()._tensors:
            if name in self._allocators:
                continue
            extents = self.get_tensor_shape(name)
            size = int(np.prod(extents, dtype=np.int64)) * np.dtype(self._numpy(name)).itemsize
            try:
                self._bytes(name, size)
            except FakeCudaError:
                return f"the memory of {name} is not there or has fewer than {size} bytes"
        return None

    def _run(self, shapes: dict[str, tuple[int, ...]], addresses: dict[str, int]) -> None:
        """Run with what was set when the launch was made."""
        now = self._shapes, self._addresses
        self._shapes, self._addresses = shapes, addresses
        try:
            for name, value in self._compute().items():
                self._bytes(name, value.nbytes)[:] = value.reshape(-1).view(np.uint8)
        finally:
            self._shapes, self._addresses = now

    def _compute(self) -> dict[str, Any]:
        session, engine = self._keep[0], self._own()
        values = session.run(
            list(engine._outputs), {name: self._read(name) for name in engine._inputs}
        )
        return {
            name: np.ascontiguousarray(value)
            for name, value in zip(engine._outputs, values, strict=True)
        }

    def _run_now(self) -> bool:
        """Rule 17: allocators are asked for at least one byte, then told the shape."""
        for name, value in self._compute().items():
            if name in self._allocators:
                allocator = self._allocators[name]
                address = allocator.reallocate_output_async(
                    name, self._addresses.get(name, 0), max(1, value.nbytes), ALIGNMENT, 1
                )
                if not address:
                    return self._refuse("enqueueV3", f"no memory for output {name}")
                self._addresses[name] = address
                allocator.notify_shape(name, value.shape)
            self._bytes(name, value.nbytes)[:] = value.reshape(-1).view(np.uint8)
        return True
