"""ONNX Runtime on the GPU, built: no node slips onto the CPU unseen.

A plan is the model as it is, beside the provider's settings: the graph optimisation of this
provider makes nodes that cannot be stored, so it happens when a session opens.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof import artifacts
from trtproof.backends.base import BuildSpec, CompileRecord
from trtproof.backends.cuda.device import open_device
from trtproof.backends.gpu_options import read_gpu_options
from trtproof.backends.host import load_signature
from trtproof.backends.onnxruntime_cuda_session import Settings, make_session
from trtproof.backends.onnxruntime_library import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    SETTINGS_FILE,
    errors_as_backend_error,
)
from trtproof.errors import BackendError, BuildFailedError
from trtproof.tensor import Signature

if TYPE_CHECKING:
    from trtproof.models.base import ModelFiles

PLAN_FILE: Final = "engine.onnx"
SHOWN_NODES: Final = 8
TRANSIENT_SIGNS: Final = ("out of memory", "failed to allocate", "cudaerrormemoryallocation")
"""Of messages about a GPU that ran out of something: another try may succeed."""


def compile_plan(model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
    """Copy the model, run it once on the GPU, and record where each node ran.

    Raises:
        BuildFailedError: the provider cannot run the graph, or no node of it ran on the GPU.
        BackendError: the GPU has no memory left.
        HardwareError: the provider does not start here.
        ConfigError: an unknown build option.
    """
    settings = Settings(tf32=spec.tf32, **read_gpu_options("onnxruntime", spec.options))
    plan = out / PLAN_FILE
    shutil.copyfile(model.onnx, plan)
    data = model.onnx.with_name(f"{model.onnx.name}.data")
    if data.exists():
        shutil.copyfile(data, out / data.name)
    artifacts.write_json(out / SETTINGS_FILE, asdict(settings))
    signature = load_signature(model.folder)
    require_fixed_outputs(signature)
    extents = {axis: bounds[1] for profile in spec.profiles for axis, bounds in profile.items()}
    nodes = _run_once(plan, settings, signature, extents)
    return _describe(nodes, settings)


def _run_once(
    plan: Path, settings: Settings, signature: Signature, extents: Mapping[str, int]
) -> list[dict[str, str]]:
    """Return where every node of one inference ran, once at least one ran on the GPU.

    Raises:
        BuildFailedError: the library refuses the graph, or all of it ran on the CPU.
        BackendError: the GPU has no memory left.
    """
    try:
        nodes = _profile_nodes(plan, settings, signature, extents)
    except BackendError as error:
        if any(sign in str(error).lower() for sign in TRANSIENT_SIGNS):
            raise
        raise BuildFailedError(
            code="rejected",
            text=f"ONNX Runtime's CUDA provider rejects the graph: {error}",
            repair="correct the recipe or the model; the operator and its types are in the message",
        ) from error
    if all(node["provider"] != CUDA_PROVIDER for node in nodes):
        raise BuildFailedError(
            code="fell_back",
            text=f"ONNX Runtime put all {len(nodes)} nodes of the graph on the CPU",
            repair="the CUDA provider has no kernels for them: take backend tensorrt or torch",
        )
    return nodes


def _describe(nodes: Sequence[Mapping[str, str]], settings: Settings) -> CompileRecord:
    """Return the record of a plan: its settings, and the nodes by the provider that ran them."""
    import onnxruntime as ort

    counts = Counter(node["provider"] for node in nodes)
    on_cpu = [f"{node['name']} ({node['kind']})" for node in nodes if _is_on_cpu(node)]
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


def _is_on_cpu(node: Mapping[str, str]) -> bool:
    return node["provider"] == CPU_PROVIDER


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
            spec.name: np.zeros(spec.resolve(extents), np.dtype(spec.dtype))
            for spec in signature.inputs
        }
        with errors_as_backend_error("running the graph on the GPU"):
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
