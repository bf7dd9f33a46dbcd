"""Backends: typed ONNX (or the reference) -> plan -> engine -> runner.

Workers import this module: numpy and the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trtproof.reason import Reason
from trtproof.tensor import Feeds, Signature

if TYPE_CHECKING:
    from trtproof.models.base import ModelFiles

Facts = Mapping[str, Any]
"""hardware.json's `engine.<backend>`: what a plan of this backend is tied to; empty when the
backend is not here."""


@dataclass(frozen=True)
class BuildSpec:
    """Everything besides the model that changes the bytes of a plan.

    `profiles` is a list of axis name -> (min, opt, max). `facts` is hardware.json's engine
    section of this backend; its `device` ("cpu" or "cuda") is where the plan will run.
    `precision` is what the recipe's pass states. `model_config` is conf/model as plain data, for
    the PyTorch backend, whose plan is the model's own code and weights. `plan` is one made
    elsewhere, to take instead of building one; only TensorRT does.
    """

    precision: str
    tf32: bool
    workspace_mib: int
    profiles: Sequence[Mapping[str, tuple[int, int, int]]]
    options: Mapping[str, Any]
    facts: Facts
    model_config: Mapping[str, Any]
    pythonpath: Sequence[str] = ()
    plan: Path | None = None
    executor: str = "onnxruntime"
    """How the graph is computed truthfully where its target is not: its precision record's."""


@dataclass(frozen=True)
class CompileRecord:
    """What a build says of itself: the plan's file name in the folder, and facts worth showing.

    `facts` holds JSON-able extras of the backend (provider, nodes, optimisation level ...).
    `layers` is the layer table where the backend has one: dicts with index, name, kind,
    onnx_nodes, inputs, outputs, tactic. `untimed` is why the plan's answers are true but its time
    would mislead: it is evaluated only.
    """

    plan: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[Mapping[str, Any]] = ()
    log: str = ""
    untimed: Reason | None = None
    precision: str | None = None
    """What the plan computes in, where a build option and not the model says it."""


@dataclass(frozen=True)
class RunOptions:
    """How an engine runs.

    `threads` is the resolved number of CPU threads of one inference (never 0 here). `parts` asks
    for the parts of every request (`Runner.times_ns`), which costs time in each. The last two are
    TensorRT's: who provides the memory that a context works in, and how many MiB of weights stay
    on the GPU (None: all of them).
    """

    threads: int
    cuda_graph: bool = False
    device: str = "cpu"
    pythonpath: Sequence[str] = ()
    parts: bool = False
    context_memory: str = "static"
    weight_streaming_mib: int | None = None


@dataclass(frozen=True)
class PartTimes:
    """Device-side parts of one request in nanoseconds; None where a runner has no such part."""

    h2d_ns: int | None = None
    device_ns: int | None = None
    d2h_ns: int | None = None
    enqueue_ns: int | None = None


class Runner(Protocol):
    """One stream of requests; only `upload` ..

    `wait` are ever timed. Two slots, so that one request can be prepared ahead.
    """

    def stage(self, slot: int, feeds: Feeds) -> None:
        """Copy one request into host memory that the device can read; untimed.

        The shapes of the feeds become those of the following launch.
        """
        ...

    def upload(self, slot: int) -> None:
        """Start the copy to the device."""
        ...

    def launch(self, slot: int) -> None:
        """Start the inference, without copies, allocation or synchronizing where that can be."""
        ...

    def download(self, slot: int) -> None:
        """Start the copy to the host."""
        ...

    def wait(self) -> None:
        """Block until everything started on this stream is done."""
        ...

    def finish_launch(self) -> PartTimes:
        """Block until the oldest launch in flight is done, whatever was launched after it.

        Returns its device and enqueue time where parts were asked for.
        """
        ...

    def finish_request(self, slot: int) -> PartTimes:
        """Block until the request in a slot is done, whatever was started after it.

        Returns its parts where they were asked for.
        """
        ...

    def wait_asleep(self) -> None:
        """Let the two calls above give the processor away while they wait, instead of spinning."""
        ...

    def read(self, slot: int) -> Feeds:
        """Return fresh arrays of the slot's outputs; the caller owns them.

        Untimed.
        """
        ...

    def times_ns(self) -> PartTimes:
        """Return the parts of the last request that was waited for, where they were asked for."""
        ...

    def close(self) -> None:
        """Release what this stream holds, before its engine goes."""
        ...


class Engine(Protocol):
    """A loaded plan; several runners share its weights."""

    signature: Signature

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return what the loaded engine says of itself: provider, threads, placement.

        It may say more once requests have run, as of CUDA graphs.
        """
        ...

    def runner(self, stream: int) -> Runner:
        """Return a runner of its own buffers for stream number `stream` (from 0)."""
        ...


class Backend(Protocol):
    """Registered in trtproof.backends.BACKENDS."""

    name: str

    def unavailable(self, facts: Facts, precision: str) -> Reason | None:
        """Return why this backend cannot run the precision here, or None; imports no library."""
        ...

    def compile(self, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
        """Write the plan (and what it needs to be self-contained) into the folder `out`.

        Raises:
            BuildFailedError: a cause that the next try meets again; it is recorded.
            BackendError: out of memory, a crash, a time-out; nothing is recorded.
        """
        ...

    def open(self, folder: Path, plan: str, options: RunOptions) -> AbstractContextManager[Engine]:
        """Load the plan file `plan` in a variant's folder, whose sidecar the caller has verified.

        Raises:
            BackendError: the library refuses it.
        """
        ...


def run_once(runner: Runner, feeds: Feeds, slot: int = 0) -> Feeds:
    """Return the outputs of one request, untimed."""
    runner.stage(slot, feeds)
    runner.upload(slot)
    runner.launch(slot)
    runner.download(slot)
    runner.wait()
    return runner.read(slot)
