"""The reference: the user's own PyTorch model, eager and in float32.

Its plan is the reference's weights, exactly as export stored them, and the settings that rebuild
the module; the code of the module stays the user's. Weights always come from the plan, never from
where the user keeps them, so that a model of random weights is the same model in every process.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch

from trtproof import artifacts
from trtproof.backends.base import BuildSpec, CompileRecord, Engine, Facts, RunOptions
from trtproof.backends.host import (
    SLOTS,
    HostRunner,
    load_signature,
    refuse_options,
    refuse_other_options,
)
from trtproof.backends.reasons import missing_library
from trtproof.errors import BackendError, BuildFailedError, ModelError
from trtproof.models import SOURCES
from trtproof.models.weights import load_strictly, read_state
from trtproof.reason import Reason
from trtproof.registry import extend_path
from trtproof.tensor import Feeds, Signature

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trtproof.config import ModelConfig
    from trtproof.models.base import ModelFiles

PLAN_FILE: Final = "engine.safetensors"
MODEL_FILE: Final = "model.json"
PRECISIONS: Final = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
"""What a dtype of the module is called as a precision."""


class TorchRunner(HostRunner):
    """One stream of the eager module on the CPU."""

    def __init__(self, module: nn.Module, signature: Signature) -> None:
        super().__init__(signature)
        self._module = module
        self._inputs: list[tuple[Tensor, ...]] = [()] * SLOTS
        self._outputs: list[tuple[Tensor, ...]] = [()] * SLOTS

    def bind(self, slot: int, buffers: Feeds) -> None:
        """View the arrays as tensors; no copy."""
        self._inputs[slot] = tuple(torch.from_numpy(array) for array in buffers.values())

    def launch(self, slot: int) -> None:
        """Run the module to its end.

        Raises:
            BackendError: the module failed on this request.
        """
        try:
            with torch.inference_mode():
                outputs = self._module(*self._inputs[slot])
        except RuntimeError as error:
            raise BackendError(f"running the PyTorch module: {error}") from error
        self._outputs[slot] = outputs if isinstance(outputs, tuple) else (outputs,)

    def read(self, slot: int) -> Feeds:
        """Return copies of the slot's outputs.

        Raises:
            BackendError: nothing was launched in the slot, or the module returned another number
                of outputs than the signature names.
        """
        names, outputs = self.signature.output_names, self._outputs[slot]
        if len(outputs) != len(names):
            raise BackendError(
                f"slot {slot} holds {len(outputs)} outputs, the signature names {', '.join(names)}"
            )
        return {name: np.array(tensor.numpy()) for name, tensor in zip(names, outputs, strict=True)}

    def release(self) -> None:
        """Let go of the tensors."""
        self._inputs = [()] * SLOTS
        self._outputs = [()] * SLOTS


class TorchEngine:
    """The rebuilt module; its runners share it."""

    def __init__(self, module: nn.Module, signature: Signature, facts: Mapping[str, Any]) -> None:
        self._module = module
        self.signature = signature
        self.facts = facts

    def runner(self, stream: int) -> TorchRunner:
        """Return a runner with its own buffers; on a CPU every `stream` is equal."""
        del stream
        return TorchRunner(self._module, self.signature)


class TorchBackend:
    """Registered as "torch"."""

    name = "torch"

    def unavailable(self, facts: Facts, precision: str) -> Reason | None:
        """Return why the reference cannot be measured here."""
        missing = missing_library(facts, title="PyTorch", install="pip install trtproof")
        if missing is not None or precision == "fp32":
            return missing
        return Reason(
            code="reference_only",
            text=f"backend torch runs the original model in fp32, not in {precision}",
            repair="take recipe fp32 with backend torch, or another backend for this recipe",
        )

    def compile(self, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
        """Copy the reference's weights and write what rebuilds the module; then rebuild it once.

        Raises:
            BuildFailedError: the source has no PyTorch module, or the weights do not fit it.
            ConfigError: an unknown build option is set.
        """
        settings = _read_gpu_settings(spec)
        if model.weights is None:
            raise _no_reference(f"{model.folder} holds no weights of a PyTorch model")
        shutil.copyfile(model.weights, out / PLAN_FILE)
        config = _in_order(spec.model_config, model.signature)
        stored = {"schema": 1, "model": config, "tf32": spec.tf32, "gpu": settings}
        artifacts.write_json(out / MODEL_FILE, stored)
        extend_path(spec.pythonpath)
        module = _rebuild(config, out / PLAN_FILE)
        parameters_count = sum(parameter.numel() for parameter in module.parameters())
        record = CompileRecord(
            plan=PLAN_FILE,
            facts={
                "execution": "eager",
                "tf32": spec.tf32,
                "parameters_count": parameters_count,
                "version": torch.__version__,
                **settings,
            },
            precision=PRECISIONS[settings.get("dtype", "float32")],
            layers=_list_layers(module),
            log=f"torch {torch.__version__}, eager: {parameters_count} parameters\n",
        )
        return _compile_once(record, module, model, spec) if settings.get("compile") else record

    @contextmanager
    def open(self, folder: Path, plan: str, options: RunOptions) -> Iterator[Engine]:
        """Rebuild the module and load the stored weights into it.

        Threads and TF32 are settings of the whole process, as PyTorch has them.

        Raises:
            BuildFailedError: the code of the module no longer fits the stored weights.
            ConfigError: something is set that only a GPU has.
        """
        refuse_other_options(options)
        stored = artifacts.read_json(folder / MODEL_FILE, made_by=f"build@{folder.name}")
        extend_path(options.pythonpath)
        torch.set_num_threads(options.threads)
        signature = load_signature(folder)
        module = _rebuild(_in_order(stored["model"], signature), folder / plan)
        if options.device == "cuda":
            from trtproof.backends.torch_cuda import Settings, open_engine

            settings = Settings(**stored["gpu"])
            with open_engine(module, signature, options, settings, tf32=stored["tf32"]) as engine:
                yield engine
            return
        facts = {
            "device": "cpu",
            "execution": "eager",
            "threads": options.threads,
            "tf32": stored["tf32"],
        }
        yield TorchEngine(module, signature, facts)


BACKEND = TorchBackend()


def _read_gpu_settings(spec: BuildSpec) -> dict[str, Any]:
    """Return what a variant sets for a GPU, complete; on a CPU nothing can be set.

    Raises:
        ConfigError: an unknown option or a wrong value.
    """
    if spec.facts.get("device") != "cuda":
        refuse_options("torch", spec.options)
        return {}
    from trtproof.backends.gpu_options import read_gpu_options

    return read_gpu_options("torch", spec.options)


def _compile_once(
    record: CompileRecord, module: nn.Module, model: ModelFiles, spec: BuildSpec
) -> CompileRecord:
    """Return the record with how long torch.compile takes here.

    Raises:
        BuildFailedError: torch.compile cannot compile the module whole.
    """
    from trtproof.backends.torch_compile import time_compilation
    from trtproof.backends.torch_cuda import Settings

    settings = Settings(**_read_gpu_settings(spec))
    extents = {axis: bounds[1] for profile in spec.profiles for axis, bounds in profile.items()}
    signature = load_signature(model.folder)
    seconds = time_compilation(module, signature, settings, tf32=spec.tf32, extents=extents)
    facts = dict(record.facts) | {
        "execution": f"torch.compile, mode {settings.compile}",
        "compile_s": round(seconds, 3),
    }
    log = f"{record.log}torch.compile, mode {settings.compile}: {seconds:.1f} s at {extents}\n"
    return replace(record, facts=facts, log=log)


def _rebuild(model: Mapping[str, Any], weights: Path) -> nn.Module:
    """Return the module in evaluation mode with the stored weights."""
    module = SOURCES.load(model["source"]).make_module(_as_config(model))
    if module is None:
        raise _no_reference(f"model source {model['source']!r} has no module")
    try:
        load_strictly(module, read_state(weights), where=str(weights))
    except ModelError as error:
        raise BuildFailedError(
            code="weights_mismatch",
            text=f"the module that the factory makes is not the exported one: {error}",
            repair="make the factory depend on `model.options` only, then run `dvc repro export`",
        ) from error
    return module.eval()


def _as_config(model: Mapping[str, Any]) -> ModelConfig:
    """Return settings with the attributes of a ModelConfig, without the library that checks them.

    Workers import neither msgspec nor YAML, and the settings were checked before they were stored.
    A file of weights is left out, since the plan has them; a folder also says what the model is.
    """
    weights = model["weights"]
    is_folder = weights is not None and Path(weights).is_dir()
    config = SimpleNamespace(**{**model, "weights": weights if is_folder else None})
    config.inputs = {name: SimpleNamespace(**spec) for name, spec in model["inputs"].items()}
    config.axes = {name: SimpleNamespace(**axis) for name, axis in model["axes"].items()}
    return cast("ModelConfig", config)


def _in_order(model: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """Return the settings with inputs in the signature's order, which JSON's sorted keys lost."""
    return {**model, "inputs": {name: model["inputs"][name] for name in signature.input_names}}


def _no_reference(why: str) -> BuildFailedError:
    return BuildFailedError(
        code="no_reference",
        text=f"no PyTorch reference: {why}",
        repair="set `reference: onnxruntime-fp32` and drop this variant in conf/config.yaml",
    )


def _list_layers(module: nn.Module) -> list[dict[str, Any]]:
    """Return the layer table: the module's leaves, in order of definition."""
    leaves = [(name, child) for name, child in module.named_modules() if not any(child.children())]
    return [
        {
            "index": index,
            "name": name,
            "kind": type(child).__name__,
            "onnx_nodes": [],
            "inputs": [],
            "outputs": [],
            "tactic": None,
        }
        for index, (name, child) in enumerate(leaves)
    ]
