"""A project of a tiny model and fake backends, for tests of the stages from build on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tests.benchmark_settings import settings
from tests.fakes import CLASSES, FAKE_BACKEND, MODEL_CONFIG, TESTS, make_feeds, write_export

from trtproof import artifacts
from trtproof.backends import BACKENDS

CPU = {"device": "cpu", "cpu": "test", "version": "1"}
HARDWARE: dict[str, Any] = {
    "schema": 1,
    "slug": "cpu-test",
    "engine": {"fake": CPU, "onnxruntime": CPU, "torch": CPU, "tensorrt": {}},
    "bench": {"kernel": "6"},
}
SAMPLES_COUNT = 11


def make_variant(backend: str, **options: Any) -> dict[str, Any]:
    return {
        "backend": backend,
        "recipe": "fp32",
        "source": "artifacts/export",
        "build": {
            "tf32": False,
            "workspace_mib": 64,
            "profiles": [{"batch": {"min": 1, "opt": 4, "max": 8}}],
            "options": options,
        },
        "run": {"cuda_graph": False, "threads": 1},
    }


PARAMS: dict[str, Any] = {
    "model": MODEL_CONFIG | {"weights": None},
    "dataset": {
        "name": "tiny",
        "format": "npz",
        "synthetic": False,
        "options": {},
        "files": [],
        "calibration": {"file": "samples.npz"},
        "evaluation": {"file": "samples.npz"},
    },
    "variants": {"first": make_variant("fake"), "second": make_variant("fake", scale=2.0)},
    "reference": "first",
    "pythonpath": [str(TESTS)],
    "benchmark": settings(rounds=2, most_rounds=2, max_minutes=0.2, batches=[1]),
    "evaluate": {"batch": 4, "scorers": ["top1"], "keep_outputs": 6},
}


class EngineProject:
    """The project in the current folder; `params` and `hardware` are written by `write`."""

    def __init__(self) -> None:
        self.params = copy.deepcopy(PARAMS)
        self.hardware = copy.deepcopy(HARDWARE)
        self.plans: dict[str, dict[str, str]] = {}

    def write(self) -> None:
        Path("params.yaml").write_text(yaml.safe_dump(self.params), encoding="utf-8")
        artifacts.write_json(artifacts.HARDWARE, self.hardware)
        codes = {backend: {"code": f"code of {backend}"} for backend in self.hardware["engine"]}
        plans = {name: self.plans.get(name, {}) for name in self.params["variants"]}
        entries = {"schema": 1, "code": {"build": codes}, "plans": plans}
        artifacts.write_json(artifacts.INPUTS, entries)

    def variant(self, name: str) -> dict[str, Any]:
        variant: dict[str, Any] = self.params["variants"][name]
        return variant


def make_engine_project(monkeypatch: Any, folder: Path) -> EngineProject:
    """Enter a fresh project in a folder, with the fake backend registered."""
    monkeypatch.chdir(folder)
    monkeypatch.setitem(BACKENDS.entries, "fake", FAKE_BACKEND)
    monkeypatch.syspath_prepend(str(TESTS))
    write_export(artifacts.EXPORT)
    labels = np.arange(SAMPLES_COUNT) % CLASSES
    write_samples(labels=labels)
    project = EngineProject()
    project.write()
    return project


def write_samples(**arrays: Any) -> None:
    """Write the evaluation split's file: the tiny model's inputs, and the arrays given."""
    np.savez(Path("samples.npz"), allow_pickle=False, **make_feeds(SAMPLES_COUNT), **arrays)
