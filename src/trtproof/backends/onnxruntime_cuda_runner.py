"""ONNX Runtime on the GPU, running: on our memory and our stream.

Every stream has a session of its own, since a session is tied to the stream that it was made with;
each holds the weights again, which the memory figures show.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.backends.base import RunOptions
from trtproof.backends.cuda.buffers import Slot
from trtproof.backends.cuda.device import Device, open_device
from trtproof.backends.cuda.graphs import compare_replay, describe_replays
from trtproof.backends.cuda.runner import CudaRunner
from trtproof.backends.cuda.tensors import TensorPlace, Tensors
from trtproof.backends.host import load_signature
from trtproof.backends.onnxruntime_cuda_session import (
    Settings,
    load_settings,
    make_session,
    read_extents,
)
from trtproof.backends.onnxruntime_library import CUDA_PROVIDER, errors_as_backend_error
from trtproof.errors import BackendError
from trtproof.tensor import Signature

if TYPE_CHECKING:
    import onnxruntime as ort

FIRST_RUNS: Final = 3
"""ONNX Runtime warms up, captures and replays within so many runs of one graph."""

NO_GRAPH: Final = "-1"
"""The annotation of a run that is launched plainly although the session captures graphs."""


class OnnxRuntimeCudaRunner(CudaRunner):
    """One stream of the GPU with its own session."""

    def __init__(
        self, device: Device, folder: Path, plan: str, signature: Signature, options: RunOptions
    ) -> None:
        """Open the session on this runner's stream.

        With a CUDA graph ONNX Runtime captures and replays it; a graph that it refuses is launched
        plainly, and `graph_failures` says why.
        """
        tensors = Tensors(
            inputs={spec.name: TensorPlace(np.dtype(spec.dtype)) for spec in signature.inputs},
            outputs={spec.name: TensorPlace(np.dtype(spec.dtype)) for spec in signature.outputs},
        )
        super().__init__(
            device, signature, tensors, cuda_graph=options.cuda_graph, parts=options.parts
        )
        self._bindings: dict[int, ort.IOBinding] = {}
        self._runs: dict[int, ort.RunOptions] = {}
        self._graphs: dict[Hashable, int] = {}
        self._session = self._open(folder / plan, load_settings(folder))

    def _open(self, plan: Path, settings: Settings) -> ort.InferenceSession:
        handle = int(self.stream.handle)
        if self._wants_graph:
            try:
                return make_session(plan, settings.to_options(handle, cuda_graph=True))
            except BackendError as error:
                self.graph_failures.append(str(error))
                self._wants_graph = False
        return make_session(plan, settings.to_options(handle, cuda_graph=False))

    @property
    def cuda_graph_captured(self) -> int:
        """Return 1 when launches are replayed from a graph, otherwise 0."""
        return int(bool(self._graphs) and not self.graph_failures)

    def bind(self, slot: Slot) -> None:
        """Bind our memory: inputs as staged, outputs as their shapes follow from them."""
        binding = self._session.io_binding()
        extents = read_extents(
            self.signature, {name: buffer.array.shape for name, buffer in slot.inputs.items()}
        )
        for name, buffer in slot.inputs.items():
            binding.bind_input(
                name, "cuda", 0, buffer.dtype.type, buffer.array.shape, buffer.address
            )
        for spec in self.signature.outputs:
            buffer = slot.outputs[spec.name]
            buffer.resize(spec.resolve(extents))
            binding.bind_output(
                spec.name, "cuda", 0, buffer.dtype.type, buffer.array.shape, buffer.address
            )
        self._bindings[id(slot)] = binding
        self._runs[id(slot)] = self._make_run(NO_GRAPH)

    def enqueue(self, slot: Slot) -> None:
        """Put the inference into the stream, without waiting for it.

        Raises:
            BackendError: a kernel failed.
        """
        with errors_as_backend_error("running the plan on the GPU"):
            self._session.run_with_iobinding(self._bindings[id(slot)], self._runs[id(slot)])

    def release(self) -> None:
        """Let go of the bindings, then of the session."""
        self._bindings.clear()
        del self._session

    def _make_run(self, graph: str) -> ort.RunOptions:
        """Return the options of a launch; made before anything is timed."""
        import onnxruntime as ort

        options = ort.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        if self._wants_graph:
            options.add_run_config_entry("gpu_graph_id", graph)
        return options

    def _find_graph(self, slot: Slot) -> int:
        """Return the number of the graph of these shapes at these addresses.

        ONNX Runtime keeps every graph that it captured: a batch size that comes back takes its own
        again instead of more memory.
        """
        buffers = [*slot.inputs.items(), *slot.outputs.items()]
        place = tuple((name, item.array.shape, item.address) for name, item in buffers)
        return self._graphs.setdefault(place, len(self._graphs) + 1)

    def _prepare_graph(self, slot: Slot) -> None:
        """Let ONNX Runtime capture the slot's launch, and compare its replay with a plain one."""
        plain = self._answer(slot)
        self._runs[id(slot)] = self._make_run(str(self._find_graph(slot)))
        for _ in range(FIRST_RUNS):
            self._answer(slot)
        slot.spoil_outputs(self.stream)
        if (difference := compare_replay(plain, self._answer(slot))) is not None:
            self._runs[id(slot)] = self._make_run(NO_GRAPH)
            self.graph_failures.append(difference)


class OnnxRuntimeCudaEngine:
    """A plan on the GPU; every stream opens its own session."""

    def __init__(self, device: Device, folder: Path, plan: str, options: RunOptions) -> None:
        self.signature = load_signature(folder)
        self._device = device
        self._place = (folder, plan)
        self._options = options
        self._runners: list[OnnxRuntimeCudaRunner] = []

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return how the plan runs, and whether graphs are replayed by now."""
        folder, _ = self._place
        facts: dict[str, Any] = asdict(load_settings(folder))
        facts |= {"provider": CUDA_PROVIDER, "gpu": self._device.name, "execution": "sequential"}
        if self._options.cuda_graph:
            facts |= describe_replays(self._runners)
        return facts

    def runner(self, stream: int) -> OnnxRuntimeCudaRunner:
        """Return a runner with a stream and a session of its own."""
        del stream
        made = OnnxRuntimeCudaRunner(self._device, *self._place, self.signature, self._options)
        self._runners.append(made)
        return made

    def close(self) -> None:
        """Give back all runners."""
        for runner in self._runners:
            runner.close()
        self._runners = []


@contextmanager
def open_engine(folder: Path, plan: str, options: RunOptions) -> Iterator[OnnxRuntimeCudaEngine]:
    """Yield the plan on the first GPU that this process sees."""
    with ExitStack() as stack:
        device = stack.enter_context(open_device())
        engine = OnnxRuntimeCudaEngine(device, folder, plan, options)
        stack.callback(engine.close)
        yield engine
