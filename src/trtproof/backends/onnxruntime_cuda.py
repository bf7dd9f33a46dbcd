"""ONNX Runtime on the GPU: our memory, our stream, and no node that slips onto the CPU unseen.

A plan is the model as it is, beside the provider's settings (SETTINGS_FILE): the graph optimisation
of this provider makes nodes that cannot be stored, so it happens when a session opens. Every stream
has a session of its own, since a session is tied to the stream that it was made with; each holds
the weights again, which the memory figures show.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.backends.base import BuildSpec, CompileRecord, RunOptions
from trtproof.backends.cuda.buffers import Slot
from trtproof.backends.cuda.device import Device, open_device
from trtproof.backends.cuda.graphs import compare_replay
from trtproof.backends.cuda.runner import CudaRunner, TensorPlace, Tensors
from trtproof.backends.host import import_library, load_signature
from trtproof.errors import BackendError, BuildFailedError, ConfigError, HardwareError
from trtproof.tensor import Signature, TensorSpec

if TYPE_CHECKING:
    import onnxruntime as ort

    from trtproof.models.base import ModelFiles

CUDA_PROVIDER: Final = "CUDAExecutionProvider"
CPU_PROVIDER: Final = "CPUExecutionProvider"
PLAN_FILE: Final = "engine.onnx"
SETTINGS_FILE: Final = "session.json"
INSTALL: Final = "pip install 'trtproof[cuda]'"
CONV_SEARCHES: Final = ("EXHAUSTIVE", "HEURISTIC", "DEFAULT")
FIRST_RUNS: Final = 3
"""ONNX Runtime warms up, captures and replays within so many runs of one graph."""

NO_GRAPH: Final = "-1"
"""The annotation of a run that is launched plainly although the session captures graphs."""

SHOWN_NODES: Final = 8
LOG_ERRORS_ONLY: Final = 3


@dataclass(frozen=True)
class Settings:
    """What decides the provider's kernels; recorded in the plan's folder."""

    tf32: bool
    nhwc: bool = False
    conv_search: str = "EXHAUSTIVE"

    def to_options(self, stream: int, *, cuda_graph: bool) -> dict[str, str]:
        """Return the provider's options."""
        return {
            "device_id": "0",
            "user_compute_stream": str(stream),
            "use_tf32": str(int(self.tf32)),
            "prefer_nhwc": str(int(self.nhwc)),
            "cudnn_conv_algo_search": self.conv_search,
            "enable_cuda_graph": str(int(cuda_graph)),
        }


def read_settings(spec: BuildSpec) -> Settings:
    """Return a variant's settings.

    Raises:
        ConfigError: an option that this backend does not have, or a wrong value.
    """
    known = {"nhwc", "conv_search"}
    unknown = sorted(spec.options.keys() - known)
    if unknown:
        raise ConfigError(
            key="build.options",
            problem=f"backend onnxruntime has no option {', '.join(unknown)} on a GPU",
            repair=f"take it out of conf/variant, or use one of {', '.join(sorted(known))}",
        )
    settings = Settings(tf32=spec.tf32, **spec.options)
    if settings.conv_search not in CONV_SEARCHES or not isinstance(settings.nhwc, bool):
        raise ConfigError(
            key="build.options",
            problem=f"{dict(spec.options)} has a value that ONNX Runtime does not know",
            repair=f"nhwc is true or false, conv_search one of {', '.join(CONV_SEARCHES)}",
        )
    return settings


def compile_plan(model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
    """Copy the model, run it once on the GPU, and record where each node ran.

    Raises:
        BuildFailedError: the provider cannot run the graph, or no node of it ran on the GPU.
        HardwareError: the provider does not start here.
        ConfigError: an unknown build option.
    """
    settings = read_settings(spec)
    shutil.copyfile(model.onnx, out / PLAN_FILE)
    data = model.onnx.with_name(f"{model.onnx.name}.data")
    if data.exists():
        shutil.copyfile(data, out / data.name)
    (out / SETTINGS_FILE).write_text(
        json.dumps(asdict(settings), sort_keys=True, indent=2) + "\n", encoding="utf-8"
    )
    signature = load_signature(model.folder)
    require_fixed_outputs(signature)
    extents = {axis: bounds[1] for profile in spec.profiles for axis, bounds in profile.items()}
    nodes = _profile_nodes(out / PLAN_FILE, settings, signature, extents)
    counts = {
        provider: sum(node["provider"] == provider for node in nodes)
        for provider in (CUDA_PROVIDER, CPU_PROVIDER)
    }
    if not counts[CUDA_PROVIDER]:
        raise BuildFailedError(
            code="fell_back",
            text=f"ONNX Runtime put all {len(nodes)} nodes of the graph on the CPU",
            repair="see build.log for the operators; the CUDA provider has no kernels for them",
        )
    import onnxruntime as ort

    on_cpu = [
        f"{node['name']} ({node['kind']})" for node in nodes if node["provider"] == CPU_PROVIDER
    ]
    facts = asdict(settings) | {
        "provider": CUDA_PROVIDER,
        "optimization": "all, when a session opens",
        "nodes_count": len(nodes),
        "cpu_nodes_count": counts[CPU_PROVIDER],
        "cpu_nodes": on_cpu[:SHOWN_NODES],
        "version": ort.__version__,
    }
    placed = "".join(
        f"{node['provider']:<24} {node['kind']:<24} {node['name']}\n" for node in nodes
    )
    return CompileRecord(
        plan=PLAN_FILE,
        facts=facts,
        layers=[_layer(index, node) for index, node in enumerate(nodes)],
        log=f"onnxruntime {ort.__version__}, {CUDA_PROVIDER}, {settings}\n{placed}",
    )


def require_fixed_outputs(signature: Signature) -> None:
    """Refuse outputs whose shape the inputs' shapes do not tell.

    Raises:
        BuildFailedError: names the output and its extent.
    """
    known = {extent for spec in signature.inputs for extent in spec.shape}
    for spec in signature.outputs:
        for extent in spec.shape:
            if not isinstance(extent, int) and extent not in known:
                raise BuildFailedError(
                    code="data_dependent_output",
                    text=f"the shape of output {spec.name!r} depends on the data ({extent})",
                    repair="measure it with backend tensorrt or torch, or leave the step that "
                    "chooses (such as NMS) to the scorer",
                )


def _layer(index: int, node: Mapping[str, str]) -> dict[str, Any]:
    return {
        "index": index,
        "name": node["name"],
        "kind": node["kind"],
        "onnx_nodes": [node["name"]],
        "inputs": [],
        "outputs": [],
        "tactic": node["provider"],
    }


def _profile_nodes(
    plan: Path, settings: Settings, signature: Signature, extents: Mapping[str, int]
) -> list[dict[str, str]]:
    """Return every node that one inference ran, in order: name, kind, provider."""
    with open_device() as device, tempfile.TemporaryDirectory() as folder:
        device.make_current()
        session = make_session(
            plan, settings.to_options(0, cuda_graph=False), profile=Path(folder) / "profile"
        )
        feeds = {
            spec.name: np.zeros(resolve_shape(spec, extents), np.dtype(spec.dtype))
            for spec in signature.inputs
        }
        with _errors("running the graph on the GPU"):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [
        {
            "name": event["name"].removesuffix("_kernel_time"),
            "kind": event["args"]["op_name"],
            "provider": event["args"]["provider"],
        }
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]


def resolve_shape(spec: TensorSpec, extents: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shape with its symbols replaced."""
    return tuple(
        extent if isinstance(extent, int) else int(extents[extent]) for extent in spec.shape
    )


def read_extents(signature: Signature, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return what the symbols of the inputs' shapes are in this request."""
    return {
        symbol: int(extent)
        for spec in signature.inputs
        for symbol, extent in zip(spec.shape, shapes[spec.name], strict=True)
        if not isinstance(symbol, int)
    }


def make_session(
    plan: Path, options: Mapping[str, str], *, profile: Path | None = None
) -> ort.InferenceSession:
    """Return a session whose first provider is CUDA's.

    Raises:
        HardwareError: the provider does not start, so that ONNX Runtime would take the CPU.
        BackendError: the library refuses the model.
    """
    ort = import_library("onnxruntime", install=INSTALL)
    _preload(ort)
    settings = ort.SessionOptions()
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.log_severity_level = LOG_ERRORS_ONLY
    if profile is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(profile)
    with _errors(f"opening {plan} on the GPU"):
        session = ort.InferenceSession(
            str(plan), settings, providers=[(CUDA_PROVIDER, dict(options))]
        )
    session.disable_fallback()
    if session.get_providers()[:1] != [CUDA_PROVIDER]:
        raise HardwareError(
            f"ONNX Runtime {ort.__version__} cannot start its CUDA provider and would run on "
            f"{session.get_providers()[0]}; see that CUDA's and cuDNN's libraries of its version "
            f"are installed (`{INSTALL}`, `trtproof doctor`)"
        )
    return session


def _preload(ort: Any) -> None:
    """Load the CUDA and cuDNN that came as packages: no loader's path leads to them."""
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    from trtproof.backends.onnxruntime import first_line, library_errors

    try:
        yield
    except library_errors() as error:
        raise BackendError(f"{doing}: {first_line(error)}") from error


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
        settings = Settings(**json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8")))
        self._bindings: dict[int, ort.IOBinding] = {}
        self._runs: dict[int, ort.RunOptions] = {}
        self._captured_count = 0
        self._session = self._open(folder / plan, settings)

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
        return int(bool(self._captured_count) and not self.graph_failures)

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
            buffer.resize(resolve_shape(spec, extents))
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
        with _errors("running the plan on the GPU"):
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

    def _prepare_graph(self, slot: Slot) -> None:
        """Let ONNX Runtime capture the slot's launch, and compare its replay with a plain one."""
        plain = self._answer(slot)
        self._captured_count += 1
        self._runs[id(slot)] = self._make_run(str(self._captured_count))
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
        facts: dict[str, Any] = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        facts |= {"provider": CUDA_PROVIDER, "gpu": self._device.name, "execution": "sequential"}
        if self._options.cuda_graph and self._runners:
            facts["cuda_graph_captured"] = min(item.cuda_graph_captured for item in self._runners)
            facts["cuda_graph_failures"] = [
                why for item in self._runners for why in item.graph_failures
            ]
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
