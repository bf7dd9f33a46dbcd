"""Starting workers: numbered over all sessions and scenarios of a run, never left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from trtproof.benchmark_config import BenchmarkConfig
from trtproof.cores import usable_cores
from trtproof.measure.gpu_state import GpuMonitor
from trtproof.measure.link import Contender, WorkerLink
from trtproof.measure.machine import MachineReader, MachineState, read_state
from trtproof.measure.schedule import AGAIN
from trtproof.tensor import Feeds

OPEN_TIMEOUT_S: Final = 600.0

Links = Mapping[str, WorkerLink]


@dataclass(frozen=True)
class SessionInputs:
    """What is measured, and how much.

    `contenders` are in the order of the first round; `items` is one batch of all the samples that
    requests rotate over; `device` is the short hash of what everything runs on; `read_machine`
    reads the host's counters, `gpu` those of the GPU where the run is on one.
    """

    contenders: Sequence[Contender]
    items: Feeds
    config: BenchmarkConfig
    device: str
    read_machine: MachineReader = read_state
    gpu: GpuMonitor | None = None

    def read_state(self) -> MachineState:
        """Return the state of the machine, and of the GPU, now."""
        return replace(self.read_machine(), gpu=self.gpu.read() if self.gpu else None)

    @property
    def variants(self) -> list[Contender]:
        """Return every plan once: the contenders without second runs."""
        return [item for item in self.contenders if not item.name.endswith(AGAIN)]


class Launcher:
    """Start workers of one run; `folder` takes the temporary files of all of them."""

    def __init__(self, inputs: SessionInputs, folder: Path) -> None:
        self.inputs = inputs
        self.folder = folder
        self._started_count = 0
        self._items = folder / "items.npz"
        arrays = {str(place): array for place, array in enumerate(inputs.items.values())}
        np.savez(self._items, allow_pickle=False, **arrays)

    def start(self, contender: Contender) -> WorkerLink:
        """Start the process of a contender; it has opened nothing yet."""
        number = self._started_count
        self._started_count += 1
        affinity = self.inputs.config.cpu_affinity
        return WorkerLink(contender, number=number, folder=self.folder, affinity=affinity)

    def open(self, link: WorkerLink) -> dict[str, Any]:
        """Make a worker load its plan; returns what it says of itself."""
        reply = link.open(
            items=self._items, names=list(self.inputs.items), timeout_s=OPEN_TIMEOUT_S
        )
        return {"worker": link.number, "contender": link.contender.name} | reply

    @contextmanager
    def open_all(self, contenders: Sequence[Contender]) -> Iterator[Links]:
        """Yield workers with their plans open; they end with the block."""
        with ExitStack() as stack:
            yield self.start_open(contenders, stack)[0]

    def start_open(
        self, contenders: Sequence[Contender], stack: ExitStack
    ) -> tuple[dict[str, WorkerLink], list[dict[str, Any]]]:
        """Start workers that live as long as `stack`, and open their plans.

        All at once, which is not timed: importing PyTorch and rebuilding a model takes each of them
        seconds. What a start costs by itself is the scenario of cold starts.
        """
        links = {
            contender.name: stack.enter_context(self.start(contender)) for contender in contenders
        }
        with ThreadPoolExecutor(max_workers=len(usable_cores())) as pool:
            try:
                return links, list(pool.map(self.open, links.values()))
            except BaseException:  # also Ctrl-C: the pool's threads must not wait for the others
                for link in links.values():
                    link.kill()
                raise
