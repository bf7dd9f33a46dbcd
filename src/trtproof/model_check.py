"""Whether the model's own settings fit together: its source, its inputs and their axes."""

from __future__ import annotations

from collections.abc import Iterable

from trtproof.config import AxisConfig, ModelConfig, Params
from trtproof.errors import ConfigError
from trtproof.model_inputs import stated_inputs


def wrong(*, key: str, problem: str, repair: str) -> ConfigError:
    """Return the error for one contradiction."""
    return ConfigError(key=key, problem=problem, repair=f"{repair} and run `trtproof compose`")


def check_model(params: Params) -> None:
    """Refuse a model that its source cannot make, and axes that do not exist or contradict."""
    model = params.model
    inputs = stated_inputs(model)
    if not inputs:
        raise wrong(
            key="model.inputs", problem="there are none", repair="describe the model's inputs"
        )
    if not model.outputs:
        raise wrong(
            key="model.outputs",
            problem="there are none",
            repair="name the model's outputs, in order",
        )
    check_source(model)
    used = {dim for spec in inputs.values() for dim in spec.shape if isinstance(dim, str)}
    for name, spec in inputs.items():
        check_shape(model, name, spec.shape)
    for axis, extents in model.axes.items():
        if axis not in used:
            raise wrong(
                key=f"model.axes.{axis}",
                problem="no input has this axis",
                repair="use it in a shape, or drop it",
            )
        check_extents(f"model.axes.{axis}", extents)


def check_source(model: ModelConfig) -> None:
    """Refuse a source without what it makes the model from."""
    if model.source == "module" and model.factory is None:
        raise wrong(
            key="model.factory", problem="null", repair="name the function that makes the nn.Module"
        )
    if model.source == "onnx" and (model.weights is None or not model.weights.endswith(".onnx")):
        raise wrong(key="model.weights", problem=repr(model.weights), repair="name the .onnx file")
    if model.source == "onnx" and model.factory is not None:
        raise wrong(key="model.factory", problem="an ONNX file needs none", repair="set it to null")


def check_shape(model: ModelConfig, name: str, shape: list[int | str]) -> None:
    """Refuse extents below one and axes that `model.axes` does not have."""
    key = f"model.inputs.{name}.shape"
    if not shape:
        raise wrong(key=key, problem="empty", repair="axis 0 is the batch")
    for dim in shape:
        if isinstance(dim, int) and dim < 1:
            raise wrong(key=key, problem=f"extent {dim}", repair="every extent is at least 1")
        if isinstance(dim, str) and dim not in model.axes:
            raise wrong(
                key=key,
                problem=f"axis {dim!r} is not in model.axes",
                repair="add its min, opt and max there",
            )
    if shape[0] != next(iter(stated_inputs(model).values())).shape[0]:
        raise wrong(
            key=key, problem=f"axis 0 is {shape[0]!r}", repair="all inputs share axis 0, the batch"
        )


def check_extents(key: str, extents: AxisConfig) -> None:
    """Refuse extents that are not min <= opt <= max."""
    if not extents.min <= extents.opt <= extents.max:
        found = f"min {extents.min}, opt {extents.opt}, max {extents.max}"
        raise wrong(key=key, problem=found, repair="order them as min <= opt <= max")


def check_profile(model: ModelConfig, key: str, profile: dict[str, AxisConfig]) -> None:
    """Refuse a profile that does not name exactly the model's axes, or leaves their range."""
    if profile.keys() != model.axes.keys():
        raise wrong(
            key=key,
            problem=f"it has axes {_listed(profile)}, the model has {_listed(model.axes)}",
            repair="give min, opt and max of each of the model's axes",
        )
    for axis, extents in profile.items():
        check_extents(f"{key}.{axis}", extents)
        whole = model.axes[axis]
        if extents.min < whole.min or extents.max > whole.max:
            raise wrong(
                key=f"{key}.{axis}",
                problem=f"{extents.min} to {extents.max}, beyond {whole.min} to {whole.max}",
                repair=f"keep it within model.axes.{axis}",
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
