"""ONNX Runtime: the engine that runs everywhere, and what other stages compute graphs with.

Every ONNX Runtime session of the project is made here. A plan is the model after ONNX Runtime's
graph optimisation for this CPU and provider: hardware-specific, hence keyed. It is loaded with
optimisation off, so that what is timed is the file whose hash is recorded. ONNX Runtime names the
nodes that it inserts in no fixed order, so two builds of one key may differ in bytes; their answers
are equal to the bit. Sessions are sequential with an explicit number of threads; threads spin for a
moment after each request (the library's default), which engines state in their facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtproof.backends.base import BuildSpec, CompileRecord, Engine, Facts, RunOptions
from trtproof.backends.host import (
    import_library,
    load_signature,
    refuse_options,
    refuse_other_options,
)
from trtproof.backends.layers import read_layers
from trtproof.backends.onnxruntime_library import (
    CPU_PROVIDER,
    SETTINGS_FILE,
    Device,
    errors_as_backend_error,
    find_providers,
    first_line,
    library_errors,
    require_provider,
)
from trtproof.backends.onnxruntime_runner import OnnxRuntimeRunner
from trtproof.backends.reasons import (
    ONNXRUNTIME_CPU_PRECISIONS,
    ONNXRUNTIME_CUDA_PRECISIONS,
    made_for_cpus,
    missing_library,
    not_timed,
)
from trtproof.errors import BackendError, BuildFailedError, MissingFileError
from trtproof.reason import Reason
from trtproof.tensor import Array, Feeds, Signature

if TYPE_CHECKING:
    import onnxruntime as ort

    from trtproof.models.base import ModelFiles

PLAN_FILE: Final = "engine.onnx"
OPTIMIZED: Final = "onnxruntime"
"""The executor of precision records whose graphs may be optimised, and hence timed."""
LOG_ERRORS_ONLY: Final = 3
TRANSIENT_SIGNS: Final = ("alloc", "memory", "resource")
"""Words of messages about a machine that ran out of something: another try may succeed."""


class Graph:
    """A float ONNX graph, to compute outputs with (never to time)."""

    def __init__(self, session: ort.InferenceSession, outputs: Sequence[str], model: Path) -> None:
        self._session = session
        self._model = model
        self.outputs = list(outputs)

    def run(self, feeds: Mapping[str, Array]) -> Feeds:
        """Return the outputs by name for one batch.

        Raises:
            BackendError: a feed is missing or has a wrong type or shape, or a kernel failed.
        """
        with errors_as_backend_error(f"running {self._model}"):
            values = self._session.run(self.outputs, dict(feeds))
        return dict(zip(self.outputs, values, strict=True))


def open_graph(
    model: Path,
    *,
    threads: int,
    optimized: bool = True,
    outputs: Sequence[str] | None = None,
    device: Device = "cpu",
) -> Graph:
    """Return a graph on a device; `outputs` limits what it computes to these names.

    The session is made from the path, so that external data beside the model works. Turn
    `optimized` off where graph optimisation changes results (Q/DQ in half precision).

    Raises:
        MissingFileError: no such model.
        BackendError: ONNX Runtime refuses the model, it has no such output, or the device cannot
            be had.
    """
    if not model.exists():
        raise MissingFileError(model, repair="run `dvc repro` to make it")
    options = _session_options(threads=threads, optimized=optimized)
    providers = find_providers(device)
    with errors_as_backend_error(f"opening {model}"):
        session = _make_session(model, options, providers)
    require_provider(session.get_providers(), device)
    known = [output.name for output in session.get_outputs()]
    for name in outputs or ():
        if name not in known:
            raise BackendError(f"{model} has no output {name!r}; it has {', '.join(known)}")
    return Graph(session, outputs if outputs is not None else known, model)


def library_version() -> str:
    """Return the version of the ONNX Runtime that opens graphs here."""
    import onnxruntime as ort

    return str(ort.__version__)


class OnnxRuntimeEngine:
    """A loaded plan; its runners share the session, whose runs may overlap."""

    def __init__(
        self, session: ort.InferenceSession, signature: Signature, facts: Mapping[str, Any]
    ) -> None:
        self._session = session
        self.signature = signature
        self.facts = facts

    def runner(self, stream: int) -> OnnxRuntimeRunner:
        """Return a runner with its own buffers; on a CPU every `stream` is equal."""
        del stream
        return OnnxRuntimeRunner(self._session, self.signature)


class OnnxRuntimeBackend:
    """Registered as "onnxruntime"."""

    name = "onnxruntime"

    def unavailable(self, facts: Facts, precision: str) -> Reason | None:
        """Return why this precision cannot be computed with ONNX Runtime here."""
        missing = missing_library(
            facts, title="ONNX Runtime", install="pip install 'trtproof[cpu]'"
        )
        if missing is not None:
            return missing
        if facts.get("device") == "cuda" and precision == "int8_cpu":
            return made_for_cpus(precision)
        if precision in ONNXRUNTIME_CPU_PRECISIONS:
            return None
        return Reason(
            code="unknown_precision",
            text=f"nothing is known of {precision} on ONNX Runtime's CPU provider",
            repair=f"take one of {', '.join(ONNXRUNTIME_CPU_PRECISIONS)}",
        )

    def compile(self, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
        """Write the model optimised for this CPU, or as the CUDA provider takes it.

        A graph that is not computed truthfully so is written as it is, for the CPU, and is not
        timed.

        Raises:
            BuildFailedError: ONNX Runtime cannot run the graph.
            BackendError: out of memory.
            ConfigError: an unknown build option is set.
        """
        if _runs_on_gpu(spec):
            from trtproof.backends.onnxruntime_cuda import compile_plan

            return compile_plan(model, spec, out)
        refuse_options(self.name, spec.options)
        if spec.executor != OPTIMIZED:
            return _compile_as_written(model, spec, out / PLAN_FILE)
        import onnxruntime as ort

        plan = out / PLAN_FILE
        options = _session_options(threads=1, optimized=True)
        options.optimized_model_filepath = str(plan)
        if (model.folder / f"{model.onnx.name}.data").exists():
            options.add_session_config_entry(
                "session.optimized_model_external_initializers_file_name", f"{PLAN_FILE}.data"
            )
        _optimize(model.onnx, options)
        layers = read_layers(plan)
        facts = {
            "provider": CPU_PROVIDER,
            "optimization": "all",
            "nodes_count": len(layers),
            "version": ort.__version__,
        }
        return CompileRecord(
            plan=PLAN_FILE,
            facts=facts,
            layers=layers,
            log=f"onnxruntime {ort.__version__}, {CPU_PROVIDER}, all graph optimisations: "
            f"{len(layers)} nodes\n",
        )

    @contextmanager
    def open(self, folder: Path, plan: str, options: RunOptions) -> Iterator[Engine]:
        """Load the optimised graph as it is, on the device that it was written for.

        Raises:
            BackendError: the library refuses the plan.
            ConfigError: something is set that only a GPU, or only TensorRT, has.
        """
        refuse_other_options(options)
        if (folder / SETTINGS_FILE).exists():
            from trtproof.backends.onnxruntime_cuda_runner import open_engine

            with open_engine(folder, plan, options) as engine:
                yield engine
            return
        signature = load_signature(folder)
        session_options = _session_options(threads=options.threads, optimized=False)
        with errors_as_backend_error(f"opening {folder / plan}"):
            session = _make_session(folder / plan, session_options)
        yield OnnxRuntimeEngine(
            session,
            signature,
            {
                "provider": CPU_PROVIDER,
                "threads": options.threads,
                "execution": "sequential",
                "spinning": True,
            },
        )


BACKEND = OnnxRuntimeBackend()


def _runs_on_gpu(spec: BuildSpec) -> bool:
    """Say whether the CUDA provider computes the graph in what its precision says."""
    if spec.facts.get("device") != "cuda" or spec.precision not in ONNXRUNTIME_CUDA_PRECISIONS:
        return False
    return spec.executor == OPTIMIZED or spec.precision == "bf16"


def _compile_as_written(model: ModelFiles, spec: BuildSpec, plan: Path) -> CompileRecord:
    """Write the graph as its precision record's executor computes it.

    Raises:
        BuildFailedError: ONNX Runtime cannot run the graph.
        BackendError: this ONNX Runtime computes such graphs wrongly.
    """
    from trtproof.precision.executors import write_prepared

    version = library_version()
    write_prepared(model.onnx, spec.executor, plan, version=version)
    _optimize(plan, _session_options(threads=1, optimized=False))
    return CompileRecord(
        plan=plan.name,
        facts={"provider": CPU_PROVIDER, "executor": spec.executor, "version": version},
        log=f"onnxruntime {version}, {CPU_PROVIDER}: the graph as {spec.executor} computes it\n",
        untimed=not_timed(spec.precision),
    )


def _session_options(*, threads: int, optimized: bool) -> ort.SessionOptions:
    """Return options that leave nothing to the machine: threads, order, determinism."""
    ort = import_library("onnxruntime", install="pip install 'trtproof[cpu]'")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = LOG_ERRORS_ONLY
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    )
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    return options


def _make_session(
    model: Path, options: ort.SessionOptions, providers: Sequence[Any] = (CPU_PROVIDER,)
) -> ort.InferenceSession:
    import onnxruntime as ort

    return ort.InferenceSession(str(model), options, providers=list(providers))


def _optimize(model: Path, options: ort.SessionOptions) -> None:
    try:
        _make_session(model, options)
    except library_errors() as error:
        text = first_line(error)
        if any(sign in text.lower() for sign in TRANSIENT_SIGNS):
            raise BackendError(f"optimising {model}: {text}") from error
        raise BuildFailedError(
            code="rejected",
            text=f"ONNX Runtime rejects {model}: {text}",
            repair="correct the recipe or the model; the operator and its types are in the message",
        ) from error
