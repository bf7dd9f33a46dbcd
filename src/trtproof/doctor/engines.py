"""The tiny graphs through the product's own TensorRT backend, held against ONNX Runtime."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from trtproof.backends.base import BuildSpec, CompileRecord, RunOptions, run_once
from trtproof.backends.host import SIGNATURE_FILE
from trtproof.backends.onnxruntime import open_graph
from trtproof.backends.tensorrt import BACKEND
from trtproof.doctor.base import REPORT_IT, Finding, failed, ok, skipped
from trtproof.doctor.graphs import Question, make_question
from trtproof.models.base import ONNX_FILE, ModelFiles
from trtproof.probing import tensorrt_facts
from trtproof.probing_gpu import find_gpu
from trtproof.tensor import Array, Feeds

OPTIONS: Final[Mapping[str, Any]] = {
    "builder_optimization_level": 1,
    "timing_cache": False,
    "max_build_minutes": 0.6,
}
WORKSPACE_MIB: Final = 256
NO_KERNELS: Final = "precision_unsupported"
"""The one reason that is this GPU's nature; any other must show as what it makes fail."""

NOT_LOADED: Final = "engine"
"""What the backend's record calls the load that follows a build."""

ON_THE_GPU: Final = RunOptions(threads=1, device="cuda")


@dataclass(frozen=True)
class Built:
    """A question's engine in a folder of its own."""

    question: Question
    folder: Path
    record: CompileRecord

    @property
    def facts(self) -> dict[str, Any]:
        """Return what is worth sending back: the verdict on the precision, counts, versions."""
        names = ("tensorrt", "inspection", "unavailable", "device_memory_bytes", "effective")
        return {name: self.record.facts[name] for name in names if name in self.record.facts}


def check_graph(name: str) -> Finding:
    """Build, inspect, load and run one graph, and hold the answer against ONNX Runtime's."""
    question = make_question(name)
    reason = _unsupported(question.precision)
    if reason:
        return skipped(reason)
    started = perf_counter()
    with build(question) as built:
        seconds = round(perf_counter() - started, 2)
        facts = built.facts | {"build_s": seconds}
        not_loaded = facts.get("unavailable", {}).get(NOT_LOADED)
        if not_loaded:
            return failed(f"built, but not loaded: {not_loaded}", REPORT_IT, **facts)
        answers = answer(built)
    difference = largest_difference(expect(question), answers)
    facts["difference"] = difference
    if difference is None or difference > question.tolerance:
        return failed(
            f"the answer is not ONNX Runtime's: largest difference {shown(difference)}, at most "
            f"{question.tolerance:g} of the largest value was expected",
            REPORT_IT,
            **facts,
        )
    verdict = facts.get("inspection", {}).get("precision", {}).get("verdict", "not inspected")
    return ok(
        f"built in {seconds} s, precision {verdict.replace('_', ' ')}, largest difference "
        f"{shown(difference)}",
        **facts,
    )


@contextmanager
def build(question: Question) -> Iterator[Built]:
    """Yield the built engine, whose folder goes when the block ends.

    Raises:
        BuildFailedError, BackendError: as the backend's `compile`.
    """
    with tempfile.TemporaryDirectory(prefix="trtproof-graph-") as place:
        source, out = Path(place) / "model", Path(place) / question.name
        source.mkdir()
        out.mkdir()
        (source / ONNX_FILE).write_bytes(question.graph.SerializeToString())
        signature = json.dumps(question.signature.to_json())
        (source / SIGNATURE_FILE).write_text(signature, encoding="utf-8")
        (out / SIGNATURE_FILE).write_text(signature, encoding="utf-8")
        spec = BuildSpec(
            precision=question.precision,
            tf32=False,
            workspace_mib=WORKSPACE_MIB,
            profiles=question.profiles,
            options=OPTIONS,
            facts={},
            model_config={},
        )
        record = BACKEND.compile(ModelFiles(source, question.signature), spec, out)
        yield Built(question, out, record)


def answer(built: Built, feeds: Feeds | None = None, **options: Any) -> Feeds:
    """Return what the engine makes of the question's feeds, or of others.

    Raises:
        HardwareError, BackendError: as the backend's `open`.
    """
    run = replace(ON_THE_GPU, **options)
    with BACKEND.open(built.folder, built.record.plan, run) as opened:
        runner = opened.runner(0)
        return run_once(runner, built.question.feeds if feeds is None else feeds)


def expect(question: Question, feeds: Feeds | None = None) -> Feeds:
    """Return what ONNX Runtime's CPU kernels make of the reference graph."""
    with tempfile.TemporaryDirectory(prefix="trtproof-reference-") as place:
        path = Path(place) / ONNX_FILE
        path.write_bytes(question.reference.SerializeToString())
        graph = open_graph(path, threads=1)
        return graph.run(question.feeds if feeds is None else feeds)


def largest_difference(wanted: Feeds, got: Feeds) -> float | None:
    """Return max|difference| over max|wanted|; None where shapes, types or finiteness differ."""
    if set(wanted) != set(got):
        return None
    return max((_difference(wanted[name], got[name]) for name in wanted), default=None, key=_worst)


def shown(difference: float | None) -> str:
    """Return a difference as people read it."""
    return "none of the same shape" if difference is None else f"{difference:.2g}"


def _difference(wanted: Array, got: Array) -> float | None:
    if wanted.shape != got.shape or wanted.dtype != got.dtype or not np.isfinite(got).all():
        return None
    error = np.abs(wanted.astype(np.float64) - got.astype(np.float64)).max(initial=0.0)
    return float(error / max(np.abs(wanted.astype(np.float64)).max(initial=0.0), 1e-12))


def _worst(difference: float | None) -> float:
    return float("inf") if difference is None else difference


def _unsupported(precision: str) -> str:
    """Return why this GPU has no kernels for a precision, or nothing."""
    gpu = find_gpu(0)
    if gpu is None:
        return "this machine has no NVIDIA GPU"
    reason = BACKEND.unavailable(tensorrt_facts(gpu), precision)
    return reason.text if reason and reason.code == NO_KERNELS else ""
