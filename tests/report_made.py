"""What the report's inputs are made of: variants, settings and answers, from a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trtproof import artifacts
from trtproof.budget_config import BudgetConfig
from trtproof.config import RecipeConfig, VariantConfig, decode
from trtproof.reason import Reason
from trtproof.report.findings import Settings

SLUG = "cpu-example-8c"
REFERENCE = "torch-fp32"
CLASSES = 10
BENCH = {"cores": 8, "memory_gib": 32, "kernel": "6.18", "python": "3.11.7"}
COMPARED = {
    "wall_p10": {"minimum_effect": 0.05, "wanted_halfwidth": None},
    "wall_p50": {"minimum_effect": 0.02, "wanted_halfwidth": None},
    "wall_p99": {"minimum_effect": 0.05, "wanted_halfwidth": None},
    "cpu_p50": {"minimum_effect": 0.03, "wanted_halfwidth": None},
    "device_p50": {"minimum_effect": 0.01, "wanted_halfwidth": None},
}
SAMPLES = 360
ITEMS = range(8)
"""The evaluation samples that timed requests rotate over."""

NO_TENSORRT = Reason("no-bindings", "TensorRT is not installed", "install trtproof[tensorrt]")


@dataclass(frozen=True)
class Made:
    """One variant to make: `median_ms` at batch 1; the other batches cost in proportion."""

    backend: str
    recipe: str
    median_ms: float = 1.0
    wrong: int = 5
    status: str = "built"
    reason: Reason | None = None
    size_bytes: int = 1_200_000
    details: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[Mapping[str, Any]] = ()
    engine: Mapping[str, Any] = field(default_factory=dict)


VARIANTS: Mapping[str, Made] = {
    REFERENCE: Made("torch", "fp32", median_ms=0.62),
    "onnxruntime-fp32": Made("onnxruntime", "fp32", median_ms=0.41),
    "onnxruntime-int8_cpu": Made("onnxruntime", "int8_cpu", 0.21, wrong=6, size_bytes=340_000),
    "onnxruntime-int8": Made("onnxruntime", "int8", median_ms=0.93, wrong=7, size_bytes=350_000),
    "tensorrt-fp16": Made("tensorrt", "fp16", status="unavailable", reason=NO_TENSORRT),
}


@dataclass(frozen=True)
class Inputs:
    """What to make."""

    variants: Mapping[str, Made] = field(default_factory=lambda: dict(VARIANTS))
    model: str = "digits_resnet"
    dataset: str = "digits"
    slug: str = SLUG
    profile: str = "full"
    rounds: int = 9
    restart_every: int = 3
    requests: int = 150
    batches: Sequence[int] = (1, 8)
    labelled: bool = True
    synthetic: bool = False
    random_weights: bool = False
    budget: Mapping[str, Any] = field(default_factory=dict)
    nan_in: str = ""
    disturbed: Mapping[int, Sequence[str]] = field(default_factory=dict)
    mostly_disturbed: bool = False
    scenarios: Sequence[str] = ("throughput", "cold", "sustained")
    other_answers_of: str = ""
    load_1min: float = 0.3
    user: str | None = "Ada Example"
    changed: Sequence[str] | None = ()
    variables: Mapping[str, str] = field(default_factory=lambda: {"OMP_NUM_THREADS": "2"})
    measured_on: str = ""
    kernel: str = "6.18"
    device_spread: float = 0.01
    on_cpu: Sequence[str] = ()
    controls: Sequence[str] = ()

    def settings(self) -> Settings:
        """Return what params.yaml would say."""
        recipes = sorted({made.recipe for made in self.variants.values()})
        return Settings(
            model=self.model,
            random_weights=self.random_weights,
            dataset=self.dataset,
            variants={name: _config(made) for name, made in self.variants.items()},
            recipes={
                name: decode(RecipeConfig, describe_recipe(name), key=name) for name in recipes
            },
            reference=REFERENCE,
            budget=decode(BudgetConfig, self.full_budget(), key="budget"),
        )

    def full_budget(self) -> dict[str, Any]:
        """Return the budget with every key."""
        keys = ("latency_p50_ms", "latency_p99_ms", "top1_drop_pp", "speedup_ratio")
        return dict.fromkeys(keys, None) | dict(self.budget)


def _config(made: Made) -> VariantConfig:
    return decode(VariantConfig, describe_variant(made), key="variant")


def describe_variant(made: Made) -> dict[str, Any]:
    """Return a variant as params.yaml has it."""
    return {
        "backend": made.backend,
        "recipe": made.recipe,
        "source": f"artifacts/convert/{made.recipe}",
        "build": {"tf32": False, "workspace_mib": 4096, "profiles": [], "options": {}},
        "run": {"cuda_graph": False, "threads": 0},
    }


def describe_recipe(name: str) -> dict[str, Any]:
    """Return a recipe as params.yaml has it."""
    return {
        "pass": name,
        "source": "artifacts/export",
        "calibration": "artifacts/export",
        "options": {},
    }


def make_answers(name: str, made: Made, inputs: Inputs) -> tuple[list[int], list[list[int]], Any]:
    """Return labels, predictions and raw outputs of a variant."""
    labels = [index % CLASSES for index in range(SAMPLES)]
    predictions = [[label] for label in labels]
    for index in range(made.wrong):
        predictions[index * 7] = [(labels[index * 7] + 1) % CLASSES]
    logits = np.random.default_rng(3).normal(0, 2, (64, CLASSES))
    noise = 0.0 if name == REFERENCE else 0.02 * made.wrong
    outputs = logits + noise * np.random.default_rng(len(name)).normal(0, 1, logits.shape)
    if name == inputs.nan_in:
        predictions[3], outputs[3, 1] = [], np.nan
    return labels, predictions, outputs.astype(np.float32)


def plan_sha256(name: str) -> str | None:
    """Return the identity of the plan that was written for a variant."""
    record = artifacts.read_json(artifacts.build(name) / "engine.json", made_by="build")
    return record["files"][record["plan"]] if record["plan"] else None
