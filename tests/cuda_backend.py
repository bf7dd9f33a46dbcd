"""A backend of known size on the GPU layer: so much for weights, so much to work in.

Workers import it by path. Its plan is JSON: `weights_mib`, `work_mib`. It answers zeros.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trtproof.backends.base import BuildSpec, CompileRecord, Engine, Facts, RunOptions
from trtproof.backends.cuda.buffers import Slot
from trtproof.backends.cuda.device import Device, open_device
from trtproof.backends.cuda.memory import DeviceMemory
from trtproof.backends.cuda.runner import CudaRunner
from trtproof.backends.cuda.tensors import TensorPlace, Tensors
from trtproof.backends.host import load_signature
from trtproof.models.base import ModelFiles
from trtproof.reason import Reason
from trtproof.tensor import Signature

MIB = 1 << 20


class SizedRunner(CudaRunner):
    def __init__(self, device: Device, signature: Signature, work_mib: int) -> None:
        inputs, outputs = (
            {spec.name: TensorPlace(np.dtype(spec.dtype)) for spec in specs}
            for specs in (signature.inputs, signature.outputs)
        )
        super().__init__(device, signature, Tensors(inputs, outputs), cuda_graph=False, parts=False)
        self._work_mib = work_mib
        self._work: DeviceMemory | None = None

    def bind(self, slot: Slot) -> None:
        if self._work is None:
            self._work = DeviceMemory(self.device, self._work_mib * MIB)
        batch = next(iter(slot.inputs.values())).array.shape[0]
        for spec in self.signature.outputs:
            extents = (batch if isinstance(extent, str) else extent for extent in spec.shape)
            slot.outputs[spec.name].resize(extents)

    def enqueue(self, slot: Slot) -> None:
        for buffer in slot.outputs.values():
            assert buffer.memory is not None
            buffer.memory.fill(0, self.stream)

    def release(self) -> None:
        if self._work is not None:
            self._work.close()


class SizedEngine:
    def __init__(self, device: Device, signature: Signature, plan: Mapping[str, Any]) -> None:
        self.signature = signature
        self.facts: Mapping[str, Any] = {"gpu": device.name}
        self._device = device
        self._plan = plan

    def runner(self, stream: int) -> SizedRunner:
        del stream
        return SizedRunner(self._device, self.signature, self._plan["work_mib"])


class SizedBackend:
    name = "sized"

    def unavailable(self, facts: Facts, precision: str) -> Reason | None:
        raise NotImplementedError

    def compile(self, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
        raise NotImplementedError

    @contextmanager
    def open(self, folder: Path, plan: str, options: RunOptions) -> Iterator[Engine]:
        assert options.device == "cuda"
        settings = json.loads((folder / plan).read_text(encoding="utf-8"))
        with open_device() as device:
            weights = DeviceMemory(device, settings["weights_mib"] * MIB)
            yield SizedEngine(device, load_signature(folder), settings)
            weights.close()


BACKEND = SizedBackend()
SIZED_BACKEND = "cuda_backend:BACKEND"
