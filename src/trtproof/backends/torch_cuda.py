"""PyTorch on the GPU: the reference and its fair settings, on our memory and stream.

A module's outputs lie where PyTorch's allocator puts them, so the copies to the host start there; a
CUDA graph is captured by PyTorch itself, whose allocator must know of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import ml_dtypes
import numpy as np
import torch

from trtproof.backends.base import RunOptions
from trtproof.backends.cuda.buffers import Slot
from trtproof.backends.cuda.device import Device, open_device
from trtproof.backends.cuda.graphs import compare_replay
from trtproof.backends.cuda.runner import CudaRunner, TensorPlace, Tensors
from trtproof.errors import BackendError, CudaGraphError
from trtproof.tensor import Signature

if TYPE_CHECKING:
    from torch import Tensor, nn

DTYPES: Final = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
IMAGE_DIMS: Final = 4
"""Of (N, C, H, W), which channels-last is about."""

GRAPH_WARMUPS: Final = 3
"""Launches before a capture: cuDNN chooses kernels and libraries make their workspaces."""


@dataclass(frozen=True)
class Settings:
    """How the module runs on a GPU; stated, recorded and shown with every figure."""

    dtype: str
    channels_last: bool
    cudnn_benchmark: bool
    compile: str | None


class TorchCudaRunner(CudaRunner):
    """One stream of the module on the GPU."""

    def __init__(
        self,
        device: Device,
        module: nn.Module,
        signature: Signature,
        options: RunOptions,
        settings: Settings,
    ) -> None:
        """Take the module, which other runners share."""
        tensors = Tensors(
            inputs={spec.name: TensorPlace(np.dtype(spec.dtype)) for spec in signature.inputs},
            outputs={spec.name: TensorPlace(np.dtype(spec.dtype)) for spec in signature.outputs},
        )
        super().__init__(
            device, signature, tensors, cuda_graph=options.cuda_graph, parts=options.parts
        )
        self._module = module
        self._settings = settings
        self._stream = torch.cuda.ExternalStream(  # type: ignore[no-untyped-call]
            int(self.stream.handle)
        )
        self._inputs: dict[int, tuple[Tensor, ...]] = {}
        self._outputs: dict[int, tuple[Tensor, ...]] = {}

    def bind(self, slot: Slot) -> None:
        """View our memory as tensors, and run once to learn the outputs' shapes and dtypes."""
        self._inputs[id(slot)] = tuple(_as_tensor(buffer) for buffer in slot.inputs.values())
        slot.uploads.start()
        self.enqueue(slot)
        self.wait()
        for name, tensor in zip(self.signature.output_names, self._outputs[id(slot)], strict=True):
            slot.outputs[name].resize(tensor.shape)

    def enqueue(self, slot: Slot) -> None:
        """Put the module's kernels into the stream.

        Raises:
            BackendError: the module failed, or gave another number of outputs than the signature.
        """
        if torch.cuda.current_stream() != self._stream:
            torch.cuda.set_stream(self._stream)
        try:
            with torch.inference_mode():
                outputs = self._module(*self._prepare(self._inputs[id(slot)]))
                self._outputs[id(slot)] = self._finish(outputs)
        except RuntimeError as error:
            text = next(iter(str(error).splitlines()), type(error).__name__)
            raise BackendError(f"running the PyTorch module: {text}") from error

    def settle_outputs(self, slot: Slot) -> None:
        """Let the copies to the host start where PyTorch put the outputs of this launch."""
        slot.downloads.plan(
            [
                (slot.outputs[name].array.ctypes.data, tensor.data_ptr(), tensor.nbytes)
                for name, tensor in zip(
                    self.signature.output_names, self._outputs[id(slot)], strict=True
                )
            ]
        )

    def release(self) -> None:
        """Let go of the tensors, and of the stream where PyTorch would go on with it."""
        self._inputs.clear()
        self._outputs.clear()
        if torch.cuda.current_stream() == self._stream:
            torch.cuda.set_stream(torch.cuda.default_stream())

    def _prepare(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the inputs in the module's dtype and memory format; part of its work."""
        low = DTYPES[self._settings.dtype]
        return tuple(
            tensor.to(
                dtype=low if tensor.is_floating_point() else tensor.dtype,
                memory_format=torch.channels_last
                if self._settings.channels_last and tensor.dim() == IMAGE_DIMS
                else torch.preserve_format,
            )
            for tensor in inputs
        )

    def _finish(self, outputs: Any) -> tuple[Tensor, ...]:
        """Return the outputs in the signature's dtypes, contiguous."""
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        specs = self.signature.outputs
        if len(made) != len(specs):
            raise BackendError(
                f"the module gave {len(made)} outputs, the signature names {len(specs)}"
            )
        return tuple(
            tensor.to(dtype=getattr(torch, spec.dtype)).contiguous()
            for tensor, spec in zip(made, specs, strict=True)
        )

    def _capture(self, slot: Slot) -> str | None:
        """Capture by PyTorch, and return how the replay differs from a plain launch, or None."""
        plain = self._answer(slot)
        for _ in range(GRAPH_WARMUPS):
            self._answer(slot)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self.enqueue(slot)
        except (BackendError, RuntimeError) as error:
            raise CudaGraphError(f"PyTorch cannot capture this module: {error}") from error
        slot.graph = _TorchGraph(graph, self._stream)
        for tensor in self._outputs[id(slot)]:
            tensor.view(torch.uint8).fill_(0xFF)
        return compare_replay(plain, self._answer(slot))


class _TorchGraph:
    """PyTorch's graph behind the two calls that a slot makes of one."""

    def __init__(self, graph: torch.cuda.CUDAGraph, stream: torch.cuda.ExternalStream) -> None:
        self._graph = graph
        self._stream = stream

    def launch(self) -> None:
        """Put the whole graph into the stream."""
        if torch.cuda.current_stream() != self._stream:
            torch.cuda.set_stream(self._stream)
        self._graph.replay()

    def close(self) -> None:
        """Give it back."""
        self._graph.reset()


class TorchCudaEngine:
    """The module on the GPU; its runners share its weights."""

    def __init__(
        self,
        device: Device,
        module: nn.Module,
        signature: Signature,
        options: RunOptions,
        settings: Settings,
        facts: Mapping[str, Any],
    ) -> None:
        self.signature = signature
        self._device = device
        self._module = module
        self._options = options
        self._settings = settings
        self._facts = facts
        self._runners: list[TorchCudaRunner] = []

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return how the module runs, and whether graphs are replayed by now."""
        facts = dict(self._facts) | asdict(self._settings) | {"gpu": self._device.name}
        if self._options.cuda_graph and self._runners:
            facts["cuda_graph_captured"] = min(item.cuda_graph_captured for item in self._runners)
            facts["cuda_graph_failures"] = [
                why for item in self._runners for why in item.graph_failures
            ]
        return facts

    def runner(self, stream: int) -> TorchCudaRunner:
        """Return a runner with a stream of its own."""
        del stream
        made = TorchCudaRunner(
            self._device, self._module, self.signature, self._options, self._settings
        )
        self._runners.append(made)
        return made

    def close(self) -> None:
        """Give back all runners."""
        for runner in self._runners:
            runner.close()
        self._runners = []


@contextmanager
def open_engine(
    module: nn.Module, signature: Signature, options: RunOptions, settings: Settings, *, tf32: bool
) -> Iterator[TorchCudaEngine]:
    """Yield the module on the first GPU that this process sees.

    TF32 and cuDNN's search are settings of the whole process, as PyTorch has them.
    """
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = settings.cudnn_benchmark
    with ExitStack() as stack:
        device = stack.enter_context(open_device())
        low = DTYPES[settings.dtype]
        placed: Any = module.to(device=torch.device("cuda", device.index), dtype=low)
        if settings.channels_last:
            placed = placed.to(memory_format=torch.channels_last)
        facts: dict[str, Any] = {"device": "cuda", "tf32": tf32, "execution": "eager"}
        if settings.compile is not None:
            placed = _compile(placed, settings)
            facts["execution"] = f"torch.compile, mode {settings.compile}"
        engine = TorchCudaEngine(device, placed, signature, options, settings, facts)
        stack.callback(engine.close)
        yield engine


def _compile(module: nn.Module, settings: Settings) -> Any:
    """Return the compiled module: whole, and for each shape apart.

    Otherwise parts of it would run eager without a word, where its code cannot be traced or after
    too many shapes.
    """
    return torch.compile(module, mode=settings.compile, fullgraph=True, dynamic=False)


class _DeviceArray:
    """Memory of the GPU as PyTorch can view it."""

    def __init__(self, address: int, shape: tuple[int, ...], kind: str) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": kind,
            "data": (address, False),
            "version": 3,
        }


def _as_tensor(buffer: Any) -> Tensor:
    """Return a tensor over an input's memory on the GPU; no copy."""
    raw = _DeviceArray(buffer.address, (buffer.array.nbytes,), "|u1")
    flat = torch.as_tensor(raw, device="cuda")
    name = "bfloat16" if buffer.dtype == np.dtype(ml_dtypes.bfloat16) else buffer.dtype.name
    return flat.view(getattr(torch, name)).view(buffer.array.shape)
