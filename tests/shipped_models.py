"""The shipped models with random weights, exported and calibrated on a few samples, in all recipes.

Accuracy means nothing here: the graphs are what counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
import yaml
from tests.onnx_graphs import dataset

from trtproof.config import ExportConfig, ModelConfig
from trtproof.data_pass import collect
from trtproof.model_inputs import stated_inputs
from trtproof.models import SOURCES
from trtproof.models.export import export_module
from trtproof.models.normalise import normalise, write_model
from trtproof.precision import PASSES
from trtproof.tensor import Feeds

CONF: Final = Path(__file__).parents[1] / "conf"
RECIPES: Final = ("fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8", "fp8_fp16")
SOURCES_OF: Final = {"int8_fp16": "int8", "fp8_fp16": "fp8"}
EXPORT: Final = {
    "exporter": "dynamo",
    "opset": 20,
    "parity": {"max_relative_error": 1e-4, "min_cosine": 0.99999},
}


def load_model(name: str) -> ModelConfig:
    """Return conf/model/NAME.yaml."""
    text = (CONF / "model" / f"{name}.yaml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    settings.pop("defaults", None)  # Hydra's
    return msgspec.convert(settings, ModelConfig)


def make_feeds(config: ModelConfig, count: int) -> Feeds:
    """Return random inputs; every axis but the first has its `opt`."""
    generator = np.random.default_rng(0)
    feeds = {}
    for name, spec in stated_inputs(config).items():
        rest = [axis if isinstance(axis, int) else config.axes[axis].opt for axis in spec.shape[1:]]
        shape = (count, *rest)
        if spec.dtype == "float32":
            feeds[name] = generator.standard_normal(shape).astype(np.float32)
        else:
            feeds[name] = generator.integers(spec.low, spec.high, shape).astype(spec.dtype)
    return feeds


def convert_all(name: str, folder: Path, **options: Any) -> dict[str, Path]:
    """Return recipe -> file, of every recipe for TensorRT; `options` go to int8 and fp8."""
    config = load_model(name)
    module = SOURCES.load(config.source).make_module(config)
    assert module is not None
    proto = export_module(
        module, config, msgspec.convert(EXPORT, ExportConfig), make_feeds(config, 2)
    )
    normalise(proto)
    folder.mkdir(parents=True, exist_ok=True)
    source = write_model(proto, folder)
    del module, proto
    calibration = collect(source, dataset(make_feeds(config, 4)), batch=2, threads=1)
    files = {}
    for recipe in RECIPES:
        files[recipe] = folder / recipe / "model.onnx"
        files[recipe].parent.mkdir()
        given = files[SOURCES_OF[recipe]] if recipe in SOURCES_OF else source
        chosen = options if recipe in {"int8", "fp8"} else {}
        PASSES.load(recipe)(given, files[recipe], calibration, chosen)
    return files


def fix_batch(path: Path, out: Path, *, axes: dict[str, int]) -> Path:
    """Write a copy of a model whose dynamic axes are fixed."""
    proto = onnx.load(path)
    for value in (*proto.graph.input, *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in axes:
                dim.dim_value = axes[dim.dim_param]
    onnx.save(proto, out)
    return out


def profiles_of(config: ModelConfig) -> list[str]:
    """Return the profile of every dynamic input, as the checker takes it: NAME=MIN:OPT:MAX."""
    found = []
    for name, spec in stated_inputs(config).items():
        shapes = [
            "x".join(
                str(axis if isinstance(axis, int) else getattr(config.axes[axis], end))
                for axis in spec.shape
            )
            for end in ("min", "opt", "max")
        ]
        if any(isinstance(axis, str) for axis in spec.shape):
            found.append(f"{name}={':'.join(shapes)}")
    return found
