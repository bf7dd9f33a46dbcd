"""A function of the user's own that states the model's inputs by example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from trtproof.config import InputConfig, ModelConfig, Params, decode
from trtproof.errors import AdapterError, ConfigError
from trtproof.model_inputs import resolve_inputs, resolve_model, stated_inputs
from trtproof.settings_check import check_settings

ME = __name__
AXES = ("batch", "sequence")
REPOSITORY = Path(__file__).parents[2]


def tokens() -> dict[str, Any]:
    ids = np.array([[0, 7, 511]])
    return {
        "ids": (ids, ("batch", "sequence")),
        "mask": (np.ones_like(ids, np.uint8), ("batch", "sequence")),
    }


def image() -> dict[str, Any]:
    fixed = np.zeros((2, 2), np.float32), (None,)
    return {"x": np.zeros((1, 3, 8, 8), np.float16), "scale": fixed}


def torch_tensors() -> dict[str, Any]:
    import torch

    return {"x": torch.zeros(1, 4)}


def double() -> dict[str, Any]:
    return {"x": np.zeros((1, 3))}


def too_many() -> dict[str, Any]:
    return {"x": (np.zeros((1,), np.float32), ("batch", "sequence"))}


def scalar() -> dict[str, Any]:
    return {"x": np.float32(1)}


def listed() -> list[Any]:
    return [np.zeros((1, 3), np.float32)]


def needs(model: Any) -> dict[str, Any]:
    return {}


def fails() -> None:
    raise OSError(ME)


def test_types_ranks_and_axes_are_the_examples_and_integers_bound_synthetic_ones() -> None:
    assert resolve_inputs(f"{ME}:tokens") == {
        "ids": InputConfig(dtype="int64", shape=["batch", "sequence"], low=0, high=512),
        "mask": InputConfig(dtype="uint8", shape=["batch", "sequence"], low=1, high=2),
    }


def test_an_array_alone_has_a_dynamic_batch_and_none_keeps_an_axis_fixed() -> None:
    found = resolve_inputs(f"{ME}:image")
    assert found["x"] == InputConfig(dtype="float16", shape=["batch", 3, 8, 8])
    assert found["scale"].shape == [2, 2]
    assert resolve_inputs(f"{ME}:torch_tensors")["x"].shape == ["batch", 4]


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("double", "'x' has an example of float64; give one of float32, float16"),
        ("too_many", r"'x' has an example of shape \[1\] and axes \['batch', 'sequence'\]"),
        ("scalar", r"'x' has an example of shape \[\] and axes \['batch'\]"),
        ("listed", "it returned list, not examples by input name"),
        ("needs", r"it cannot be called as needs\(\) \(missing a required argument: 'model'\)"),
        ("fails", r"failed with OSError: tests.*test_adapter_inputs at .*py:\d+; correct it"),
    ],
)
def test_wrong_examples_are_one_line_that_names_the_function(function: str, problem: str) -> None:
    with pytest.raises(AdapterError, match=f"^{ME}:{function}: {problem}"):
        resolve_inputs(f"{ME}:{function}")


def make_params(**model: Any) -> Params:
    data = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    data["model"] |= model
    return decode(Params, data, key="")


def test_settings_are_checked_with_what_the_function_states() -> None:
    axes = {"batch": {"min": 1, "opt": 8, "max": 16}}
    check_settings(make_params(inputs=f"{ME}:image_only", axes=axes))
    with pytest.raises(ConfigError, match=r"model.inputs.ids.shape: axis 'sequence' is not in"):
        check_settings(make_params(inputs=f"{ME}:tokens", axes=axes))


def image_only() -> dict[str, Any]:
    return {"input": np.zeros((1, 1, 16, 16), np.float32)}


def test_inputs_that_nobody_asked_for_are_not_guessed() -> None:
    config: ModelConfig = make_params(inputs=f"{ME}:image_only").model
    with pytest.raises(ConfigError, match="was not asked"):
        stated_inputs(config)
    assert list(stated_inputs(resolve_model(config))) == ["input"]
