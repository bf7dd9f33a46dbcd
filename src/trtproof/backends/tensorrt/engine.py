"""A TensorRT plan loaded on this machine: deserialised once, shared by its runners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trtproof.backends.base import MemoryFigure, RunOptions
from trtproof.backends.cuda.device import WAITING, Device, open_device
from trtproof.backends.cuda.tensors import Tensors
from trtproof.backends.host import load_signature
from trtproof.backends.tensorrt import library
from trtproof.backends.tensorrt.calls import OptionalCalls
from trtproof.backends.tensorrt.errors import refusal
from trtproof.backends.tensorrt.plugins import load_plugins, plugins_beside
from trtproof.backends.tensorrt.ranges import Ranges, read_profiles
from trtproof.backends.tensorrt.runner import TensorRtRunner
from trtproof.backends.tensorrt.tensors import read_tensors
from trtproof.errors import BackendError, ConfigError, HardwareError
from trtproof.tensor import Signature

MIB: Final = 1 << 20
KEPT_LINES: Final = 200
"""How many of the last log lines are kept while requests run: enough to say why one was refused."""


class LastLines(list[library.LogLine]):
    """The last lines of a log that goes on for as long as requests run."""

    def append(self, line: library.LogLine) -> None:
        """Take one line, and let the oldest go."""
        if len(self) >= KEPT_LINES:
            del self[0]
        super().append(line)


@dataclass(frozen=True)
class Loaded:
    """What runners need of a loaded plan."""

    trt: Any
    engine: Any
    device: Device
    signature: Signature
    tensors: Tensors
    profiles: Sequence[Ranges]
    options: RunOptions
    lines: list[library.LogLine]
    streamed: bool
    """Some weights stay in host memory and travel to the GPU in every inference."""


class TensorRtEngine:
    """The engine and the runtime that made it; `close` gives back runners first."""

    def __init__(self, loaded: Loaded, runtime: Any, measured: Mapping[str, Any]) -> None:
        self._loaded: Loaded | None = loaded
        self._runtime = runtime
        self._measured = measured
        self._runners: list[TensorRtRunner] = []
        self.signature = loaded.signature

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return what the engine says of itself, and how its runners run by now."""
        facts = dict(self._measured)
        for runner in self._runners:
            facts |= runner.facts()
        if any("cuda_graph_captured" in runner.facts() for runner in self._runners):
            facts["cuda_graph_captured"] = min(
                runner.cuda_graph_captured for runner in self._runners
            )
        return facts

    def runner(self, stream: int) -> TensorRtRunner:
        """Return a runner with a stream, an execution context and memory of its own.

        Raises:
            BackendError: the engine is closed, or TensorRT gives no context.
            DeviceMemoryError: no memory is left for another one.
        """
        del stream
        if self._loaded is None:
            problem = "the engine was closed"
            raise BackendError(problem)
        made = TensorRtRunner(self._loaded)
        self._runners.append(made)
        return made

    def memory(self) -> list[MemoryFigure]:
        """Return what TensorRT says of its weights and of the memory that one context works in."""
        known = {
            "weights": ("weights_bytes", "TensorRT, EngineStat.TOTAL_WEIGHTS_SIZE"),
            "activations": ("activations_bytes", "TensorRT, device_memory_size_v2"),
        }
        return [
            MemoryFigure(part, int(self._measured[fact]), source)
            for part, (fact, source) in known.items()
            if fact in self._measured
        ]

    def close(self) -> None:
        """Give back runners (graphs, contexts, memory), then the engine, then the runtime."""
        for runner in self._runners:
            runner.close()
        self._runners = []
        self._loaded = None
        self._runtime = None


@contextmanager
def open_engine(folder: Path, plan_file: str, options: RunOptions) -> Iterator[TensorRtEngine]:
    """Load a plan whose sidecar was verified against this machine.

    Raises:
        HardwareError: TensorRT, CUDA or the GPU cannot be used here.
        BackendError: TensorRT refuses the plan, or it is not the signature's.
    """
    trt = library.load()
    lines = LastLines()
    with ExitStack() as stack:
        device = stack.enter_context(open_device())
        stack.enter_context(library.capture(lines))
        load_plugins(trt, plugins_beside(folder))
        opened = _load(trt, device, folder, plan_file, options, lines)
        stack.callback(opened.close)
        yield opened


def _load(
    trt: Any,
    device: Device,
    folder: Path,
    plan_file: str,
    options: RunOptions,
    lines: list[library.LogLine],
) -> TensorRtEngine:
    signature = load_signature(folder)
    before = device.memory()
    runtime = _make_runtime(trt)
    engine = _deserialize(runtime, folder / plan_file, lines)
    streaming = _stream_weights(engine, options)
    tensors = read_tensors(trt, engine, signature)
    measured = {
        "gpu": device.name,
        "tensorrt": library.version(trt),
        "waiting": WAITING,
        "loaded_bytes": device.memory().used_bytes - before.used_bytes,
        **streaming,
        **_describe(trt, engine),
    }
    loaded = Loaded(
        trt=trt,
        engine=engine,
        device=device,
        signature=signature,
        tensors=tensors,
        profiles=read_profiles(engine, list(tensors.inputs)),
        options=options,
        lines=lines,
        streamed=bool(streaming.get("weights_streamed_bytes")),
    )
    return TensorRtEngine(loaded, runtime, measured)


def _make_runtime(trt: Any) -> Any:
    """Return a runtime that may run the code in a plan: only plans of our own hash come here."""
    try:
        runtime = trt.Runtime(library.logger(trt))
    except TypeError as error:
        raise HardwareError(
            f"TensorRT cannot start CUDA ({error}); check that `nvidia-smi` works and that the "
            "driver is new enough, or run `trtproof doctor`"
        ) from error
    # version-compatible plans bring their own runtime as code
    runtime.engine_host_code_allowed = True
    return runtime


def _deserialize(runtime: Any, path: Path, lines: list[library.LogLine]) -> Any:
    lines.clear()
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        repair = f"run `dvc repro -f build@{path.parent.name}`"
        raise refusal(f"loading {path}", lines, repair=repair)
    return engine


def _stream_weights(engine: Any, options: RunOptions) -> dict[str, int]:
    """Set how many weights stay on the GPU, before any context exists; return what is so.

    Raises:
        ConfigError: the plan cannot stream its weights.
        BackendError: TensorRT takes another budget.
    """
    if options.weight_streaming_mib is None:
        return {}
    streamable = int(engine.streamable_weights_size)
    if not streamable:
        raise ConfigError(
            key="run.weight_streaming_mib",
            problem="the plan has no weights that can be streamed",
            repair="set it to null, or set build.options.weight_streaming to true",
        )
    budget = min(options.weight_streaming_mib * MIB, streamable)
    engine.weight_streaming_budget_v2 = budget
    taken = int(engine.weight_streaming_budget_v2)
    if taken != budget:
        raise BackendError(
            f"TensorRT keeps a weight streaming budget of {taken} bytes instead of {budget}; give "
            f"run.weight_streaming_mib between 0 and {streamable // MIB}"
        )
    return {"weights_budget_bytes": budget, "weights_streamed_bytes": streamable - budget}


def _describe(trt: Any, engine: Any) -> dict[str, Any]:
    """Return what the engine says of itself; what this version cannot say is left out."""
    calls = OptionalCalls()
    facts = {
        "layers_count": calls.optional("num_layers", lambda: engine.num_layers),
        "profiles_count": engine.num_optimization_profiles,
        "aux_streams_count": calls.optional("num_aux_streams", lambda: engine.num_aux_streams),
        "activations_bytes": calls.optional(
            "device_memory_size_v2", lambda: engine.device_memory_size_v2
        ),
        "weights_bytes": calls.optional(
            "get_engine_stat", lambda: engine.get_engine_stat(trt.EngineStat.TOTAL_WEIGHTS_SIZE)
        ),
    }
    return {name: value for name, value in facts.items() if value is not None}
