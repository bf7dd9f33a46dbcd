"""What a model is to the rest: files in a folder, and for PyTorch sources an nn.Module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trtproof import artifacts
from trtproof.model_inputs import stated_inputs
from trtproof.tensor import Signature, TensorSpec

if TYPE_CHECKING:
    from torch import nn

    from trtproof.config import ModelConfig

ONNX_FILE = "model.onnx"
SIGNATURE_FILE = "signature.json"
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class ModelFiles:
    """A folder that export or convert wrote.

    `onnx` is model.onnx (its external data, if any, lies beside it as model.onnx.data); `weights`
    is the reference's state dict, present only in artifacts/export/ of a PyTorch source.
    """

    folder: Path
    signature: Signature

    @property
    def onnx(self) -> Path:
        """Return the path of the ONNX file."""
        return self.folder / ONNX_FILE

    @property
    def weights(self) -> Path | None:
        """Return the path of the reference's weights, where the source is a PyTorch model."""
        path = self.folder / WEIGHTS_FILE
        return path if path.exists() else None


class ModelSource(Protocol):
    """Make the reference model from conf/model.

    Registered in trtproof.models.SOURCES.
    """

    def make_module(self, config: ModelConfig) -> nn.Module | None:
        """Return the reference with its weights, or None for an ONNX source.

        It is in evaluation mode, float32, on the CPU. `forward` takes the inputs of
        `config.inputs` positionally, in order, and returns a tensor or a tuple, in the order of
        `config.outputs`.

        Raises:
            ModelError, InputError, ImportPathError: with the setting to correct.
        """
        ...


def load_files(folder: Path) -> ModelFiles:
    """Return the model that export or convert wrote into a folder.

    Raises:
        MissingFileError, InputError: the folder has no model, or its signature is broken; the
            message names the stage that makes it.
    """
    stage = folder.name if folder.parent == artifacts.ROOT else f"convert@{folder.name}"
    artifacts.require(folder / ONNX_FILE, made_by=stage)
    data = artifacts.read_json(folder / SIGNATURE_FILE, made_by=stage)
    return ModelFiles(folder=folder, signature=Signature.from_json(data))


def input_specs(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """Return the inputs that conf/model states, in order."""
    return tuple(
        TensorSpec(name=name, dtype=item.dtype, shape=tuple(item.shape))
        for name, item in stated_inputs(config).items()
    )
