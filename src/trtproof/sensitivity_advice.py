"""`trtproof sensitivity`: the ranking of layers, and the shortest list to exclude for a budget.

A list is taken from the ranking and then run, on the samples of the ranking: until the run meets
the budget, the next layer joins it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from trtproof import artifacts, data
from trtproof.calibration import Calibration
from trtproof.config import RecipeConfig, SensitivityConfig, load_section
from trtproof.errors import InputError
from trtproof.models.base import load_files
from trtproof.precision.qdq import insert
from trtproof.registry import extend_path
from trtproof.sensitivity import (
    SENSITIVITY_FILE,
    Bench,
    Layer,
    load_explicit,
    predict,
    read_layers,
    shortest_list,
    to_db,
)

SHOWN: Final = 20
"""Layers listed without `--all`."""


@dataclass(frozen=True)
class Advice:
    """Which of the worst layers to exclude, and the ratio that a run with them excluded gave."""

    names: tuple[str, ...]
    predicted_db: float | None
    measured_db: float | None
    """None: no difference is left."""


def read_ranking(recipe: str) -> dict[str, Any]:
    """Return a recipe's sensitivity.json.

    Raises:
        MissingFileError: the stage has not run; names the setting and the command.
        InputError: the file is broken.
    """
    path = artifacts.sensitivity(recipe) / SENSITIVITY_FILE
    if not path.exists():
        raise InputError(
            f"{path} does not exist; list {recipe} in `sensitivity.recipes` (conf/config.yaml), "
            f"run `trtproof compose` and `dvc repro sensitivity@{recipe}`"
        )
    return artifacts.read_json(path, made_by=f"sensitivity@{recipe}")


def render_ranking(record: Mapping[str, Any], *, most: int = SHOWN) -> str:
    """Return the ranking as text, the worst layer first."""
    layers = read_layers(record)
    total = predict(layers)
    head = (
        f"{record['recipe']} on {record['samples_count']} calibration samples: "
        f"{_shown(record['sqnr_db'])} with all {len(layers)} layers quantised "
        f"(their sum predicts {_shown(record['predicted_sqnr_db'])})"
    )
    width = max(len(layer.node) for layer in layers[:most])
    lines = [head, "", f"{'layer':<{width}}  {'operator':<13}  alone      of the noise"]
    for layer in layers[:most]:
        share = layer.noise / total if 0 < total < float("inf") else 0.0
        alone = _shown(to_db(layer.noise))
        lines.append(f"{layer.node:<{width}}  {layer.operator:<13}  {alone:<9}  {share:6.1%}")
    if len(layers) > most:
        lines.append(f"... and {len(layers) - most} more; --all shows them")
    return "\n".join(lines)


def advise(recipe: str, layers: Sequence[Layer], *, budget_db: float) -> Advice:
    """Return the shortest list of the worst layers whose exclusion, run, meets the budget.

    Raises:
        ConfigError, CalibrationError, ModelError, InputError: as the stage.
    """
    noise_of = _NoiseOf(recipe)
    allowed = 10 ** (-budget_db / 10)
    count = shortest_list(layers, noise=allowed)
    while (noise := noise_of([layer.node for layer in layers[:count]])) > allowed:
        count += 1
    return Advice(
        names=tuple(layer.node for layer in layers[:count]),
        predicted_db=to_db(predict(layers[count:])),
        measured_db=to_db(noise),
    )


def render_advice(record: Mapping[str, Any], options: Mapping[str, Any], advice: Advice) -> str:
    """Return the list as YAML for the recipe's options, what the recipe excludes already kept."""
    names = list(dict.fromkeys([*options.get("exclude", []), *advice.names]))
    listed = yaml.safe_dump({"exclude": names}, default_flow_style=False, sort_keys=False)
    return (
        f"# {len(advice.names)} of {len(record['layers'])} layers left out: predicted "
        f"{_shown(advice.predicted_db)}, run: {_shown(advice.measured_db)}\n"
        f"# into `options` of conf/recipe/{record['recipe']}.yaml; then `trtproof compose`\n"
        f"{listed}"
    )


def render_sweep(recipe: str, layers: Sequence[Layer], options: Mapping[str, Any]) -> str:
    """Return an axis for `dvc exp run --queue -S`: 0, 1, 2, 4, 8 ... worst layers left out."""
    counts = [0, 1]
    while counts[-1] * 2 < len(layers):
        counts.append(counts[-1] * 2)
    already = list(options.get("exclude", []))
    lists = ([*already, *(layer.node for layer in layers[:count])] for count in counts)
    values = ",".join(f"[{','.join(names)}]" for names in lists)
    return f"recipes.{recipe}.options.exclude={values}"


def load_recipe(recipe: str) -> RecipeConfig:
    """Return a recipe's settings, with the user's folders on the import path.

    Raises:
        ConfigError: there is no such recipe.
    """
    extend_path(load_section(list[str], "pythonpath"))
    return load_section(RecipeConfig, "recipes", recipe)


class _NoiseOf:
    """Runs a recipe with further nodes excluded, on the samples of its ranking."""

    def __init__(self, recipe: str) -> None:
        config, settings = load_recipe(recipe), load_section(SensitivityConfig, "sensitivity")
        self._options = config.options
        self._quantiser = load_explicit(config.pass_name)
        self._model = load_files(artifacts.EXPORT).onnx
        self._calibration = Calibration.load(artifacts.CALIBRATE)
        split = data.open_split("calibration")
        self._bench = Bench(self._model, split, samples=settings.samples, batch=settings.batch)

    def __call__(self, names: Sequence[str]) -> float:
        """Return the noise with these nodes left out too."""
        exclude = [*self._options.get("exclude", []), *names]
        options = dict(self._options) | {"exclude": exclude}
        planned = self._quantiser.plan(self._model, self._calibration, options)
        insert(planned.graph, planned.sites, planned.scales, self._quantiser.grid)
        return self._bench.noise(planned.graph)


def _shown(ratio_db: float | None) -> str:
    return "no error" if ratio_db is None else f"{ratio_db:.1f} dB"
