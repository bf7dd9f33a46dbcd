"""Weights of PyTorch modules: read from a file, loaded strictly, written for later stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtproof.errors import InputError, MissingFileError, ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMED_AT_MOST: Final = 3
"""Keys that an error names of each kind; a wrong file easily has hundreds."""


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a state dict from .safetensors, or from a PyTorch file without executing its pickle.

    Raises:
        MissingFileError, InputError: there is no such file, or it holds no state dict.
        ModelError: it is another model's.
    """
    load_strictly(module, read_state(path), where=str(path))


def read_state(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by name.

    Raises:
        MissingFileError, InputError: there is no such file, or it holds no state dict.
    """
    if not path.is_file():
        raise MissingFileError(path, repair="correct `model.weights`, or null for random weights")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return _require_tensors(state, path)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], *, where: str) -> None:
    """Load the tensors into the module; every one must have its place and every place its tensor.

    A name that the file lacks is fine where the module ties it to one that the file has: files
    store tied tensors once.

    Raises:
        ModelError: names what is missing, not expected, or of another shape.
    """
    own = module.state_dict()
    loaded = {own[name].data_ptr() for name in state if name in own}
    missing = [name for name in own if name not in state and own[name].data_ptr() not in loaded]
    unexpected = [name for name in state if name not in own]
    misshaped = [
        f"{name} {list(state[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    refuse_mismatch(where, missing=missing, unexpected=unexpected, misshaped=misshaped)
    module.load_state_dict(dict(state), strict=False)


def refuse_mismatch(
    where: str, *, missing: Iterable[str], unexpected: Iterable[str], misshaped: Iterable[str]
) -> None:
    """Raise if weights and module disagree.

    Raises:
        ModelError: one line that names the first of each kind and counts the rest.
    """
    kinds = {"lacks": missing, "has, but the module does not,": unexpected, "has": misshaped}
    problems = [f"{verb} {_name_some(list(keys))}" for verb, keys in kinds.items() if list(keys)]
    if problems:
        raise ModelError(
            f"{where} does not fit the model: it {'; it '.join(problems)}; "
            "correct `model.weights`, or `model.options` to the model that was trained"
        )


def write_weights(module: nn.Module, path: Path) -> None:
    """Write the module's state dict as .safetensors; tied tensors are written under each name."""
    from safetensors.torch import save

    state = module.state_dict()
    # Not save_file: its files are readable by their owner alone.
    path.write_bytes(save({name: tensor.clone().contiguous() for name, tensor in state.items()}))


def _name_some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(
            f"{path} is not a whole .safetensors file ({error}); store the weights again"
        ) from None


def _read_torch(path: Path) -> Any:
    from pickle import UnpicklingError  # noqa: TID251 - to catch it, not to load with it

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a state dict that can be read without executing it "
            f"({_first_line(error)}); store module.state_dict() with safetensors.torch.save_file"
        ) from None


def _require_tensors(state: Any, path: Path) -> dict[str, Tensor]:
    import torch

    entries = dict(state) if isinstance(state, Mapping) else {}
    wrong = [
        f"{name!r} is {type(value).__name__}"
        for name, value in entries.items()
        if not isinstance(value, torch.Tensor)
    ]
    if wrong or not entries:
        found = wrong[0] if wrong else f"it is an empty or plain {type(state).__name__}"
        raise InputError(
            f"{path} is not a state dict of tensors ({found}); "
            "store module.state_dict() with safetensors.torch.save_file"
        )
    return entries


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
