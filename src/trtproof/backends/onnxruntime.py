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
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtproof.backends.base import BuildSpec, CompileRecord, Engine, Facts, RunOptions
from trtproof.backends.host import (
    SLOTS,
    HostRunner,
    import_library,
    load_signature,
    refuse_options,
    refuse_other_options,
)
from trtproof.backends.layers import read_layers
from trtproof.backends.reasons import (
    ONNXRUNTIME_CPU_PRECISIONS,
    ONNXRUNTIME_CPU_REFUSALS,
    ONNXRUNTIME_CUDA_PRECISIONS,
    missing_library,
    refuse_on_cuda,
)
from trtproof.errors import BackendError, BuildFailedError, MissingFileError
from trtproof.reason import Reason
from trtproof.tensor import Array, Feeds, Signature

if TYPE_CHECKING:
    import onnxruntime as ort

    from trtproof.models.base import ModelFiles

PLAN_FILE: Final = "engine.onnx"
CPU_PROVIDER: Final = "CPUExecutionProvider"
LOG_ERRORS_ONLY: Final = 3
TRANSIENT_SIGNS: Final = ("alloc", "memory", "resource")
"""Words of messages about a machine that ran out of something: another try may succeed."""


class Graph:
    """A float ONNX graph on the CPU, to compute outputs with (never to time)."""

    def __init__(self, session: ort.InferenceSession, outputs: Sequence[str], model: Path) -> None:
        self._session = session
        self._model = model
        self.outputs = list(outputs)

    def run(self, feeds: Mapping[str, Array]) -> Feeds:
        """Return the outputs by name for one batch.

        Raises:
            BackendError: a feed is missing or has a wrong type or shape, or a kernel failed.
        """
        with _errors_as_backend_error(f"running {self._model}"):
            values = self._session.run(self.outputs, dict(feeds))
        return dict(zip(self.outputs, values, strict=True))


def open_graph(
    model: Path, *, threads: int, optimized: bool = True, outputs: Sequence[str] | None = None
) -> Graph:
    """Return a graph on the CPU provider; `outputs` limits what it computes to these names.

    The session is made from the path, so that external data beside the model works. Turn
    `optimized` off where graph optimisation changes results (Q/DQ in half precision).

    Raises:
        MissingFileError: no such model.
        BackendError: ONNX Runtime refuses the model, or it has no such output.
    """
    if not model.exists():
        raise MissingFileError(model, repair="run `dvc repro` to make it")
    options = _session_options(threads=threads, optimized=optimized)
    with _errors_as_backend_error(f"opening {model}"):
        session = _make_session(model, options)
    known = [output.name for output in session.get_outputs()]
    for name in outputs or ():
        if name not in known:
            raise BackendError(f"{model} has no output {name!r}; it has {', '.join(known)}")
    return Graph(session, outputs if outputs is not None else known, model)


def library_version() -> str:
    """Return the version of the ONNX Runtime that opens graphs here."""
    import onnxruntime as ort

    return str(ort.__version__)


class OnnxRuntimeRunner(HostRunner):
    """One stream on the CPU; inputs are bound in place."""

    def __init__(self, session: ort.InferenceSession, signature: Signature) -> None:
        super().__init__(signature)
        self._session = session
        self._errors = library_errors()
        self._bindings: list[ort.IOBinding | None] = [None] * SLOTS

    def bind(self, slot: int, buffers: Feeds) -> None:
        """Bind inputs to these arrays and outputs to memory of ONNX Runtime's arena."""
        binding = self._session.io_binding()
        for name, buffer in buffers.items():
            binding.bind_cpu_input(name, buffer)
        for name in self.signature.output_names:
            binding.bind_output(name, "cpu")
        self._bindings[slot] = binding

    def launch(self, slot: int) -> None:
        """Run the inference to its end.

        Raises:
            BackendError: a kernel failed, or nothing was staged.
        """
        try:
            self._session.run_with_iobinding(self._bindings[slot])
        except self._errors as error:
            raise BackendError(f"running the plan: {first_line(error)}") from error

    def read(self, slot: int) -> Feeds:
        """Return copies of the slot's outputs."""
        binding = self._bindings[slot]
        if binding is None:
            raise BackendError(f"slot {slot} was read before anything was staged in it")
        values = binding.copy_outputs_to_cpu()
        return dict(zip(self.signature.output_names, values, strict=True))

    def release(self) -> None:
        """Let go of the bindings, and with them of the outputs."""
        self._bindings = [None] * SLOTS


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
        """Return why this precision cannot be measured with ONNX Runtime here."""
        missing = missing_library(
            facts, title="ONNX Runtime", install="pip install 'trtproof[cpu]'"
        )
        if missing is not None:
            return missing
        if facts.get("device") == "cuda":
            taken = precision in ONNXRUNTIME_CUDA_PRECISIONS
            return None if taken else refuse_on_cuda(precision)
        if precision in ONNXRUNTIME_CPU_PRECISIONS:
            return None
        return ONNXRUNTIME_CPU_REFUSALS.get(precision) or Reason(
            code="unknown_precision",
            text=f"nothing is known of {precision} on ONNX Runtime's CPU provider",
            repair=f"take one of {', '.join(ONNXRUNTIME_CPU_PRECISIONS)}",
        )

    def compile(self, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
        """Write the model optimised for this CPU as engine.onnx.

        Raises:
            BuildFailedError: ONNX Runtime cannot run the graph.
            BackendError: out of memory.
            ConfigError: an unknown build option is set.
        """
        import onnxruntime as ort

        if spec.facts.get("device") == "cuda":
            from trtproof.backends.onnxruntime_cuda import compile_plan

            return compile_plan(model, spec, out)
        refuse_options(self.name, spec.options)
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
        """Load the optimised graph as it is.

        Raises:
            BackendError: the library refuses the plan.
            ConfigError: something is set that only a GPU has.
        """
        refuse_other_options(options)
        if options.device == "cuda":
            from trtproof.backends.onnxruntime_cuda import open_engine

            with open_engine(folder, plan, options) as engine:
                yield engine
            return
        signature = load_signature(folder)
        session_options = _session_options(threads=options.threads, optimized=False)
        with _errors_as_backend_error(f"opening {folder / plan}"):
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


def _make_session(model: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    import onnxruntime as ort

    return ort.InferenceSession(str(model), options, providers=[CPU_PROVIDER])


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


@contextmanager
def _errors_as_backend_error(doing: str) -> Iterator[None]:
    try:
        yield
    except library_errors() as error:
        raise BackendError(f"{doing}: {first_line(error)}") from error


@cache
def library_errors() -> tuple[type[Exception], ...]:
    """Return every error class of the library (no common one) and what its wrapper raises."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    classes = [value for value in vars(state).values() if isinstance(value, type)]
    return (
        *(kind for kind in classes if issubclass(kind, Exception)),
        ValueError,
        RuntimeError,
        MemoryError,
    )


def first_line(error: BaseException) -> str:
    """Return the first line of what the library says."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
