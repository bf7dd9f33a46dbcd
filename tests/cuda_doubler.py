"""A runner on the GPU layer that multiplies by two: on the fake GPU, or on a real one by torch."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from tests.fake_cuda.gpu import Work, current_machine

from trtproof.backends.cuda.buffers import Slot
from trtproof.backends.cuda.device import Device
from trtproof.backends.cuda.runner import CudaRunner
from trtproof.backends.cuda.tensors import TensorPlace, Tensors
from trtproof.errors import BackendError
from trtproof.tensor import Feeds, Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(TensorSpec("x", "float32", ("batch", 4)),),
    outputs=(TensorSpec("y", "float32", ("batch", 4)),),
)
FLOAT = TensorPlace(np.dtype(np.float32))
KERNEL_NS = 100_000
LARGEST = 8


def make_feeds(count: int, *, seed: int = 1) -> Feeds:
    return {"x": np.random.default_rng(seed).random((count, 4)).astype(np.float32)}


class Doubler(CudaRunner):
    """Doubles at most LARGEST rows; counts its plain launches."""

    def __init__(self, device: Device, *, cuda_graph: bool = False, parts: bool = False) -> None:
        tensors = Tensors(inputs={"x": FLOAT}, outputs={"y": FLOAT})
        super().__init__(device, SIGNATURE, tensors, cuda_graph=cuda_graph, parts=parts)
        self.launches = 0
        self.released = False

    def bind(self, slot: Slot) -> None:
        shape = slot.inputs["x"].array.shape
        if shape[0] > LARGEST:
            raise BackendError(f"x has {shape[0]} rows, at most {LARGEST}")
        slot.outputs["y"].resize(shape)

    def enqueue(self, slot: Slot) -> None:
        self.launches += 1
        self.double(slot.inputs["x"].address, slot.outputs["y"].address, slot.inputs["x"].array)

    def release(self) -> None:
        self.released = True

    def double(self, source: int, target: int, like: Any) -> None:
        machine = current_machine()
        of, to = (machine.view("device", address, like.nbytes) for address in (source, target))

        def run() -> None:
            to.view(np.float32)[:] = of.view(np.float32) * 2

        stream = machine.find("streams", self.stream.address)
        machine.put(stream, Work("double", run, KERNEL_NS))


class TorchDoubler(Doubler):
    """The same on a real GPU."""

    def double(self, source: int, target: int, like: Any) -> None:
        import torch

        of, to = _tensor(source, like.shape), _tensor(target, like.shape)
        with torch.cuda.stream(torch.cuda.ExternalStream(self.stream.address)):
            torch.mul(of, 2, out=to)


@cache
def _tensor(address: int, shape: tuple[int, ...]) -> Any:
    """Return a tensor over memory of ours, made once: not while a launch is captured."""
    import torch

    return torch.as_tensor(_Cuda(address, shape), device="cuda")


class _Cuda:
    """Memory of the GPU as other libraries take it."""

    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": "<f4",
            "data": (address, False),
            "version": 3,
        }
