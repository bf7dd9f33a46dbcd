"""metrics/inputs.json: hashes of what the user owns and of what computes.

An entry has `code` (all syntax trees reached), `files`, `settings` and `tools` (distribution ->
public version), each only where there is such a thing. trtproof's own version is in none: its code
is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trtproof import artifacts
from trtproof.config import DatasetConfig, ModelConfig, Params
from trtproof.errors import ConfigError, InputError
from trtproof.file_cache import FOLDER
from trtproof.input_sources import SPLITS, Entry, InputSources, Split
from trtproof.model_inputs import stated_inputs
from trtproof.source_keys import Module

BUILTIN = "builtin"
"""The quantizer that every explicit pass has; the others are keyed where a recipe names them."""

REMEMBERED_PARITIES = 16
"""Calibration sets whose first batch's hash is kept, for going back and forth between settings."""


def load_key(*keys: str) -> dict[str, Any]:
    """Return one entry that the probe recorded, as in `load_key("code", "build", "torch")`.

    Raises:
        MissingFileError, InputError: no probe has run, or its file is broken.
        ConfigError: there is no such entry.
    """
    data: Any = artifacts.read_json(artifacts.INPUTS, made_by="probe")
    for depth, key in enumerate(keys):
        if not isinstance(data, dict) or key not in data:
            raise ConfigError(
                key=".".join(keys[: depth + 1]),
                problem=f"not in {artifacts.INPUTS}",
                repair="run `dvc repro probe`",
            )
        data = data[key]
    return dict(data)


def keyed_files(
    model: ModelConfig | None,
    dataset: DatasetConfig | None,
    pythonpath: Sequence[str],
    scorers: Sequence[str] = (),
) -> list[Path]:
    """Return every file of the user that is in a key: what a stage passes to `stage.guard_opens`.

    Raises:
        MissingFileError: a configured file is not there.
        InputError: a user module is not Python.
    """
    sources = InputSources(Path.cwd(), pythonpath)
    found = sorted((Path.cwd() / "stages").glob("*.py"))
    if model is not None:
        found += sources.files.model_files(model)
        found += [module.path for module in sources.model_closure(model).modules]
    if dataset is not None:
        found += sources.files.matches(dataset.files, setting="dataset.files")
        found += [module.path for module in sources.format_closure(dataset).modules]
        for split in SPLITS:
            found += sources.split_files(dataset, split)
    starts = [sources.registered("scorer", name) for name in scorers]
    return found + [module.path for module in sources.trees.closure(*starts).modules]


def make_inputs(params: Params, project: Path | None = None) -> dict[str, Any]:
    """Return all of inputs.json for these settings.

    Raises:
        MissingFileError: a file or module that the settings name is not there.
        InputError: a reached file is not Python, or the samples cannot be read.
        UnknownNameError: a name is not registered.
    """
    sources = InputSources(project or Path.cwd(), params.pythonpath)
    calibration = _split_entry(sources, params.dataset, "calibration")
    entries = {
        "schema": 1,
        "model": _model_entry(sources, params.model),
        "calibration": calibration,
        "evaluation": _split_entry(sources, params.dataset, "evaluation"),
        "code": code_entries(sources, params),
        "parity": _parity_entry(sources, params.model, calibration),
        "plans": _plan_entries(sources, params),
    }
    sources.save()
    return entries


def _plan_entries(sources: InputSources, params: Params) -> dict[str, Entry]:
    """Return variant -> the SHA-256 of a plan that was made elsewhere; nothing for most."""
    entries: dict[str, Entry] = {}
    for name, variant in params.variants.items():
        plan, entries[name] = variant.build.plan, {}
        if plan is not None:
            setting = f"variants.{name}.build.plan"
            (path,) = sources.files.existing([Path(plan)], setting=setting)
            entries[name] = {"sha256": sources.files.sha256(path)}
    return entries


def _model_entry(sources: InputSources, config: ModelConfig) -> Entry:
    files = sources.files.model_files(config)
    entry = sources.entry(sources.model_closure(config))
    return entry | ({"files": sources.files.digest(files)} if files else {})


def _split_entry(sources: InputSources, config: DatasetConfig, split: Split) -> Entry:
    """Return what decides the samples of one split: the other split's settings and files do not."""
    files = sources.files.matches(config.files, setting="dataset.files")
    files += sources.split_files(config, split)
    settings = {
        "format": config.format,
        "name": config.name,
        "options": config.options,
        "synthetic": config.synthetic,
        "split": getattr(config, split),
    }
    own = {"factory": config.factory, "collate": config.collate}
    settings |= {name: path for name, path in own.items() if path is not None}
    entry = sources.entry(sources.format_closure(config))
    entry["settings"] = artifacts.sha256_json(settings)[:16]
    return entry | ({"files": sources.files.digest(files)} if files else {})


def code_entries(sources: InputSources, params: Params) -> dict[str, Any]:
    """Return the entries of the stages' own code, with the passes, backends and scorers in use."""
    backends = sorted({variant.backend for variant in params.variants.values()})
    passes = sorted({recipe.pass_name for recipe in params.recipes.values()})
    scorers = [sources.registered("scorer", name) for name in sorted(set(params.evaluate.scorers))]
    registered = {name: sources.registered("backend", name) for name in backends}
    runtime = sources.registered("backend", "onnxruntime")
    source = sources.registered("model source", params.model.source)

    studied = sorted({params.recipes[name].pass_name for name in params.sensitivity.recipes})

    def code(stage: str, *others: Any) -> Entry:
        return sources.entry(sources.stage(stage, *others))

    builds = {name: code("build", module) for name, module in registered.items()}
    if "torch" in builds:  # the reference's plan is the model's own code and weights
        builds["torch"]["model"] = _model_entry(sources, params.model)
    if "tensorrt" in builds:
        builds["tensorrt"] |= _plugin_entry(sources, params)
    return {
        "export": code("export", source),
        "calibrate": code("calibrate"),
        "convert": {name: code("convert", *pass_modules(sources, params, name)) for name in passes},
        "audit": code("audit", runtime, *scorers),
        "sensitivity": code(
            "sensitivity",
            runtime,
            *(module for name in studied for module in pass_modules(sources, params, name)),
        ),
        "build": builds,
        "benchmark": code("benchmark", *registered.values()),
        "evaluate": {
            name: code("evaluate", module, *scorers) for name, module in registered.items()
        },
        "report": code("report", *scorers),
    }


def _plugin_entry(sources: InputSources, params: Params) -> Entry:
    """Return the hash of the plug-in libraries that any TensorRT variant is built with."""
    names = {
        str(name)
        for variant in params.variants.values()
        for name in variant.build.options.get("plugins", ())
    }
    setting = "build.options.plugins"
    files = sources.files.matches(sorted(names), setting=setting)
    return {"files": sources.files.digest(files)} if files else {}


def pass_modules(sources: InputSources, params: Params, name: str) -> list[Module]:
    """Return a pass's module and those of the quantizers that its recipes name."""
    recipes = [recipe for recipe in params.recipes.values() if recipe.pass_name == name]
    named = {str(recipe.options.get("quantizer", BUILTIN)) for recipe in recipes} - {BUILTIN}
    return [
        sources.registered("precision pass", name),
        *(sources.registered("quantizer", quantizer) for quantizer in sorted(named)),
    ]


def _parity_entry(
    sources: InputSources, model: ModelConfig, calibration: Mapping[str, Any]
) -> Entry:
    """Return the hash of the samples that export compares on: the first of the calibration split.

    Reading samples can take a library of seconds to import, so another process does it, and only
    for a calibration entry that was not seen lately.
    """
    count = None if isinstance(model.inputs, str) else largest_batch(model)
    asked: Any = count if count is not None else _asked_inputs(sources, model)
    key = artifacts.sha256_json({"calibration": calibration, "count": asked})
    path = sources.project / FOLDER / "parity.json"
    try:
        known = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        known = {}
    if key not in known:
        known[key] = _fingerprint(sources.project, count)
        if (sources.project / ".dvc").is_dir():
            kept = dict(list(known.items())[-REMEMBERED_PARITIES:])
            artifacts.write_text(path, json.dumps(kept))
    return {"files": known[key]}


def _asked_inputs(sources: InputSources, model: ModelConfig) -> Entry:
    """Return what decides the largest batch where a function states the inputs."""
    closure = sources.inputs_closure(str(model.inputs))
    axes = {name: axis.max for name, axis in model.axes.items()}
    return sources.entry(closure) | {"inputs": model.inputs, "axes": axes}


def largest_batch(model: ModelConfig) -> int:
    """Return the most samples that the model takes at once; its inputs must be stated."""
    first = next(iter(stated_inputs(model).values())).shape[0]
    return model.axes[first].max if isinstance(first, str) else first


def _fingerprint(project: Path, count: int | None) -> str:
    """Return the hash of the calibration split's first samples; None lets the process count.

    Raises:
        InputError: the samples cannot be read; carries the other process's own line.
    """
    counted = [] if count is None else [str(count)]
    done = subprocess.run(
        [sys.executable, "-m", "trtproof.data.fingerprint", *counted],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise InputError(lines[-1].removeprefix("error: "))
    return done.stdout.strip()
