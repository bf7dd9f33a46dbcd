"""A backend on the fake GPU, for workers: like fake_backend, sums its input.

Its plan is JSON: `kernel_ns` (the fake GPU's time of one launch), `stale_after` (so many replays of
a graph, from which on a replay reads a stale address), `unmarked` (gives no parts), `obstacle` (why
nothing is captured).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tests.fake_backend import FakeBackend
from tests.fake_cuda.gpu import Work, current_machine
from tests.fake_cuda.runtime import make_runtime

from trtproof.backends.base import Engine, PartTimes, RunOptions
from trtproof.backends.cuda.buffers import Slot
from trtproof.backends.cuda.calls import MODULE
from trtproof.backends.cuda.device import Device, open_device
from trtproof.backends.cuda.runner import CudaRunner, TensorPlace, Tensors
from trtproof.backends.host import load_signature
from trtproof.tensor import Signature

sys.modules[MODULE] = make_runtime(current_machine)  # the worker makes the context before it opens

KERNEL_NS = 100_000
FLOAT = TensorPlace(np.dtype(np.float32))


class SumRunner(CudaRunner):
    def __init__(
        self, device: Device, signature: Signature, plan: Mapping[str, Any], options: RunOptions
    ) -> None:
        self._plan = plan
        self._replays = 0
        super().__init__(
            device,
            signature,
            Tensors(
                inputs={spec.name: FLOAT for spec in signature.inputs},
                outputs={spec.name: FLOAT for spec in signature.outputs},
            ),
            cuda_graph=options.cuda_graph,
            parts=options.parts,
        )

    def graph_obstacle(self, slot: Slot) -> str | None:
        return self._plan.get("obstacle")

    def bind(self, slot: Slot) -> None:
        (given,) = slot.inputs.values()
        (output,) = slot.outputs.values()
        output.resize((len(given.array), 2))

    def enqueue(self, slot: Slot) -> None:
        machine = current_machine()
        stream = machine.find("streams", self.stream.address)
        (given,), (output,) = slot.inputs.values(), slot.outputs.values()
        of = machine.view("device", given.address, given.array.nbytes).view(np.float32)
        to = machine.view("device", output.address, output.array.nbytes).view(np.float32)
        rows = len(given.array)
        captured = stream.captured is not None

        def run() -> None:
            self._replays += captured
            sums = of.reshape(rows, -1).sum(axis=1)
            if captured and self._replays > self._plan.get("stale_after", float("inf")):
                sums = sums[::-1] + 1
            to[:] = np.stack([sums, sums], axis=1).ravel()

        machine.put(stream, Work("sum", run, self._plan.get("kernel_ns", KERNEL_NS)))

    def release(self) -> None:
        pass

    def times_ns(self) -> PartTimes:
        return PartTimes() if self._plan.get("unmarked") else super().times_ns()

    def finish_launch(self) -> PartTimes:
        parts = super().finish_launch()
        return PartTimes() if self._plan.get("unmarked") else parts

    def finish_request(self, slot: int) -> PartTimes:
        parts = super().finish_request(slot)
        return PartTimes() if self._plan.get("unmarked") else parts


class SumEngine:
    def __init__(
        self, device: Device, signature: Signature, plan: Mapping[str, Any], options: RunOptions
    ) -> None:
        self.signature = signature
        self._made = (device, signature, plan, options)
        self._runners: list[SumRunner] = []

    @property
    def facts(self) -> Mapping[str, Any]:
        captured = [runner.cuda_graph_captured for runner in self._runners]
        wanted = self._made[-1].cuda_graph and captured
        return {"provider": "fake GPU"} | ({"cuda_graph_captured": min(captured)} if wanted else {})

    def runner(self, stream: int) -> SumRunner:
        self._runners.append(SumRunner(*self._made))
        return self._runners[-1]


class FakeGpuBackend(FakeBackend):
    name = "fake_gpu"

    @contextmanager
    def open(self, folder: Path, plan: str, options: RunOptions) -> Iterator[Engine]:
        settings = json.loads((folder / plan).read_text(encoding="utf-8"))
        with open_device() as device:
            yield SumEngine(device, load_signature(folder), settings, options)


BACKEND = FakeGpuBackend()
