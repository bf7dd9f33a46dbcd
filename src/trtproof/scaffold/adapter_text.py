"""The adapter of a new project: three short modules of the user's, and the settings that name them.

One module each for the model, the samples and the scorer, because a result is keyed by the modules
that it depends on: in one file an edit of the scorer would export the model again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from trtproof.scaffold.described import Described, Input

COUNTS: Final = {"calibration": 32, "evaluation": 64}
SIMPLE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")

PACKAGE_TEXT: Final = '''\
"""What trtproof asks of this project; `trtproof try` runs each function on two samples.

One module each, because an edit re-runs what depends on the edited module, and nothing else.
"""
'''

MODEL_TEXT: Final = '''\
"""The model: `model.factory` in conf/model/{name}.yaml."""

from __future__ import annotations

import {module}
from torch import nn


def make_model() -> nn.Module:
    """Return the network with its trained weights; trtproof sets evaluation mode and float32."""
    return {factory}()
'''

EXAMPLE_MODEL_TEXT: Final = '''\
"""The model: `model.factory` in conf/model/{name}.yaml. An example: put your own here."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import nn
from trtproof.models.embedded import digits_resnet


def make_model() -> nn.Module:
    """Return the network with its trained weights; trtproof sets evaluation mode and float32."""
    model = digits_resnet.make_model()
    model.load_state_dict(load_file(Path(digits_resnet.__file__).with_suffix(".safetensors")))
    return model
'''

SAMPLES_TEXT: Final = '''\
"""The samples: `dataset.factory` in conf/dataset/{name}.yaml. Random: put your own here."""

from __future__ import annotations

import numpy as np

SEEDS = {{"calibration": 1, "evaluation": 2}}


def make_samples(split, count):
    """Return a list of (arrays by input name, label), preprocessed and without a batch axis.

    The label is whatever the scorer compares with; None where there is none.
    """
    random = np.random.default_rng(SEEDS[split])
    return [
        (
            {{
{inputs}
            }},
            None,
        )
        for _ in range(count)
    ]
'''

EXAMPLE_SAMPLES_TEXT: Final = '''\
"""The samples: `dataset.factory` in conf/dataset/{name}.yaml. An example: put your own here."""

from __future__ import annotations

from trtproof.data.digits import load_part

PARTS = {{"calibration": "calibration", "evaluation": "test"}}


def make_samples(split, count):
    """Return a list of (arrays by input name, label), preprocessed and without a batch axis.

    The label is whatever the scorer compares with; None where there is none.
    """
    images, labels = load_part(PARTS[split])
    pairs = zip(images[:count], labels, strict=False)
    return [({{"input": image}}, label) for image, label in pairs]
'''

CLASS_SCORER_TEXT: Final = '''\
"""What is right: `evaluate.scorers` in conf/config.yaml."""

from __future__ import annotations

import numpy as np


class Scorer:
    """Top-1 accuracy of {output}, (batch, classes), against class indices."""

    def predictions(self, outputs, batch):
        """Return one prediction per sample; decoding (NMS, a tokenizer) belongs here."""
        return outputs[{quoted}].argmax(axis=1).tolist()

    def per_sample(self, predictions, labels):
        """Return metric -> one value per sample; the last word of a metric's name is its unit."""
        return {{"top1_pct": np.where(np.equal(predictions, labels), 100.0, 0.0)}}
'''

MEAN_SCORER_TEXT: Final = '''\
"""What is right: `evaluate.scorers` in conf/config.yaml. A stand-in: put your own here."""

from __future__ import annotations

import numpy as np


class Scorer:
    """How far the mean of {output} is from the label, a number per sample."""

    lower_is_better = ("mean_error",)

    def predictions(self, outputs, batch):
        """Return one prediction per sample; decoding (NMS, a tokenizer) belongs here."""
        return [round(float(np.mean(sample)), 2) for sample in outputs[{quoted}]]

    def per_sample(self, predictions, labels):
        """Return metric -> one value per sample; the last word of a metric's name is its unit."""
        return {{"mean_error": np.abs(np.subtract(predictions, labels))}}
'''


def package_name(model: Described) -> str:
    """Return the adapter's package."""
    return f"{model.name}_adapter"


def adapter_files(model: Described, factory: str | None, *, is_onnx: bool) -> dict[str, str]:
    """Return path -> text of the adapter's modules and of conf/model and conf/dataset.

    Without a factory and an ONNX file it is the example that trtproof ships.
    """
    folder = package_name(model)
    is_example = factory is None and not is_onnx
    scorer = MEAN_SCORER_TEXT if model.classes is None else CLASS_SCORER_TEXT
    output = next(iter(model.outputs))
    samples = EXAMPLE_SAMPLES_TEXT if is_example else SAMPLES_TEXT
    files = {
        f"{folder}/__init__.py": PACKAGE_TEXT,
        f"{folder}/samples.py": samples.format(name=model.name, inputs=_draws(model)),
        f"{folder}/scorer.py": scorer.format(output=output, quoted=json.dumps(output)),
        f"conf/dataset/{model.name}.yaml": _dataset_yaml(model, is_example=is_example),
    }
    if not is_onnx:
        files[f"{folder}/model.py"] = _model_text(model.name, factory)
    return files


def model_yaml(model: Described, *, origin: str, factory: str | None, weights: str | None) -> str:
    """Return conf/model/<name>.yaml; `origin` is what the first line says of it."""
    guess = "" if model.ran else " A GUESS: correct it, then run `trtproof compose`."
    lines = [
        f"# {origin}",
        f"name: {model.name}",
        f"source: {'onnx' if factory is None else 'module'} # module | transformers | onnx",
        f"factory: {factory or 'null'} # returns an nn.Module",
        f"weights: {quote(weights) if weights else 'null # or a file to load into the module'}",
        "options: {} # keyword arguments of the factory",
        f"files: [{', '.join(map(quote, model.files))}] # globs of files that the factory reads",
        f"inputs: # in the model's order; integers lie in low .. high, high excluded.{guess}",
        *(f"  {quote(name)}: {_input_yaml(item)}" for name, item in model.inputs.items()),
        f"outputs: [{', '.join(map(quote, model.outputs))}]",
        "axes: # every open axis; engines are tuned for opt" if model.axes else "axes: {}",
        *(
            f"  {axis}: {{ min: {low}, opt: {usual}, max: {high} }}"
            for axis, (low, usual, high) in model.axes.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    """Return a text as YAML has it: in quotes where it could be something else."""
    is_plain = set(text) <= SIMPLE and text[:1].isalpha() and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text)


_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def _model_text(name: str, factory: str | None) -> str:
    if factory is None:
        return EXAMPLE_MODEL_TEXT.format(name=name)
    return MODEL_TEXT.format(
        name=name, module=factory.partition(":")[0], factory=factory.replace(":", ".")
    )


def _dataset_yaml(model: Described, *, is_example: bool) -> str:
    what = "scikit-learn's digits, an example" if is_example else "Random samples without labels"
    counts = {"calibration": 297, "evaluation": 500} if is_example else COUNTS
    return (
        f"# {what}: {package_name(model)}/samples.py makes them.\n"
        f"name: {model.name}\n"
        "format: factory # or npz, with a file per split, or another of trtproof's\n"
        f"factory: {package_name(model)}.samples:make_samples # (split, **options, **its own)\n"
        f"synthetic: {str(not is_example).lower()} # true: every figure is labelled so\n"
        "options: {} # keyword arguments of the factory, for both splits\n"
        "files: [] # globs of files that it reads: they go into the key\n"
        + "".join(f"{split}: {{ count: {count} }}\n" for split, count in counts.items())
    )


def _input_yaml(item: Input) -> str:
    shape = ", ".join(map(str, item.shape))
    bounds = "" if item.dtype.startswith("float") else f", low: {item.low}, high: {item.high}"
    return f"{{ dtype: {item.dtype}, shape: [{shape}]{bounds} }}"


def _draws(model: Described) -> str:
    """Return the lines that draw one sample."""
    return "\n".join(_draw_lines(model.inputs, model.axes))


def _draw_lines(
    inputs: Mapping[str, Input], axes: Mapping[str, tuple[int, int, int]]
) -> Iterable[str]:
    for name, item in inputs.items():
        extents = [axes[dim][1] if isinstance(dim, str) else dim for dim in item.shape[1:]]
        shape = f"({', '.join(map(str, extents))}{',' if len(extents) == 1 else ''})"
        if item.dtype == "float32":
            draw = f'random.standard_normal({shape}, dtype="float32")'
        elif item.dtype.startswith("float"):
            draw = f'random.standard_normal({shape}).astype("{item.dtype}")'
        else:
            draw = f'random.integers({item.low}, {item.high}, {shape}).astype("{item.dtype}")'
        yield f"                {json.dumps(name)}: {draw},"
