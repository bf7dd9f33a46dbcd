"""Realistic inputs of the report, made up from a fixed seed, written as the stages write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from trtproof import artifacts
from trtproof.config import BudgetConfig, RecipeConfig, VariantConfig, decode
from trtproof.measure.loop import COLUMNS
from trtproof.measure.samples import Block, make_samples, write_samples
from trtproof.measure.schedule import Turn, name_contenders, order_round
from trtproof.reason import Reason
from trtproof.report.cells import Facts
from trtproof.report.findings import Findings, Settings
from trtproof.report.load import load_findings
from trtproof.report.metrics import make_metrics
from trtproof.sidecar import EngineRecord, write_record

SLUG = "cpu-example-8c"
REFERENCE = "torch-fp32"
CLASSES = 10
COMPARED = {
    "wall_p10": {"minimum_effect": 0.05, "wanted_halfwidth": None},
    "wall_p50": {"minimum_effect": 0.02, "wanted_halfwidth": None},
    "wall_p99": {"minimum_effect": 0.05, "wanted_halfwidth": None},
    "cpu_p50": {"minimum_effect": 0.03, "wanted_halfwidth": None},
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
    budget: Mapping[str, float | None] = field(default_factory=dict)
    nan_in: str = ""
    disturbed: Mapping[int, Sequence[str]] = field(default_factory=dict)
    mostly_disturbed: bool = False
    scenarios: Sequence[str] = ("throughput", "cold", "sustained")
    other_answers_of: str = ""

    def settings(self) -> Settings:
        """Return what params.yaml would say."""
        recipes = sorted({made.recipe for made in self.variants.values()})
        return Settings(
            model=self.model,
            random_weights=self.random_weights,
            dataset=self.dataset,
            variants={name: _config(made) for name, made in self.variants.items()},
            recipes={name: decode(RecipeConfig, _recipe(name), key=name) for name in recipes},
            reference=REFERENCE,
            budget=decode(BudgetConfig, self.full_budget(), key="budget"),
        )

    def full_budget(self) -> dict[str, float | None]:
        """Return the budget with every key."""
        keys = ("latency_p50_ms", "latency_p99_ms", "top1_drop_pp", "speedup_ratio")
        return dict.fromkeys(keys, None) | dict(self.budget)


def load(inputs: Inputs) -> tuple[Findings, Facts]:
    """Return findings and facts of inputs that `build` wrote into the current folder."""
    findings = load_findings(inputs.settings())
    return findings, Facts(make_metrics(findings), findings.hardware.slug)


def build(inputs: Inputs) -> None:
    """Write everything below the current folder."""
    _write_params(inputs)
    _write_hardware(inputs)
    for name, made in inputs.variants.items():
        _write_build(name, made)
        _write_evaluation(name, made, inputs)
    _write_benchmark(inputs)
    for recipe in sorted({made.recipe for made in inputs.variants.values()}):
        _write_audit(recipe)
    artifacts.write_json(artifacts.CALIBRATE / "coverage.json", {"schema": 1, "samples_count": 360})


def change(inputs: Inputs, name: str, **changes: Any) -> Inputs:
    """Return the inputs with one variant changed."""
    variants = dict(inputs.variants) | {name: replace(inputs.variants[name], **changes)}
    return replace(inputs, variants=variants)


def _config(made: Made) -> VariantConfig:
    return decode(VariantConfig, _variant(made), key="variant")


def _variant(made: Made) -> dict[str, Any]:
    return {
        "backend": made.backend,
        "recipe": made.recipe,
        "source": f"artifacts/convert/{made.recipe}",
        "build": {"tf32": False, "workspace_mib": 4096, "profiles": [], "options": {}},
        "run": {"cuda_graph": False, "threads": 0},
    }


def _recipe(name: str) -> dict[str, Any]:
    return {
        "pass": name,
        "source": "artifacts/export",
        "calibration": "artifacts/export",
        "options": {},
    }


def _write_params(inputs: Inputs) -> None:
    params = {
        "model": {
            "name": inputs.model,
            "source": "transformers" if inputs.random_weights else "module",
            "weights": None,
        },
        "dataset": {"name": inputs.dataset},
        "variants": {name: _variant(made) for name, made in inputs.variants.items()},
        "recipes": {made.recipe: _recipe(made.recipe) for made in inputs.variants.values()},
        "reference": REFERENCE,
        "budget": inputs.full_budget(),
    }
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def _write_hardware(inputs: Inputs) -> None:
    cpu = {"device": "cpu", "cpu": "Example CPU 8-Core", "isa": "avx2+avx512f+avx512_vnni"}
    engine = {"torch": cpu | {"version": "2.13.0"}, "onnxruntime": cpu | {"version": "1.31.1"}}
    artifacts.write_json(
        artifacts.HARDWARE,
        {
            "schema": 1,
            "slug": inputs.slug,
            "engine": engine | {"tensorrt": {}},
            "bench": {"cores": 8, "memory_gib": 32, "kernel": "6.18", "python": "3.11.7"},
        },
    )


def _write_build(name: str, made: Made) -> None:
    folder = artifacts.build(name)
    folder.mkdir(parents=True, exist_ok=True)
    files, plan = {}, None
    if made.status == "built":
        plan = "engine.onnx" if made.backend != "torch" else "engine.safetensors"
        content = np.random.default_rng(len(name)).integers(0, 256, made.size_bytes, dtype=np.uint8)
        (folder / plan).write_bytes(content.tobytes())
        files = {plan: artifacts.sha256_file(folder / plan)}
    write_record(
        folder,
        EngineRecord(
            variant=name,
            backend=made.backend,
            recipe=made.recipe,
            precision=made.recipe,
            status=made.status,  # type: ignore[arg-type]
            facts={},
            key={},
            settings={},
            reason=made.reason,
            plan=plan,
            files=files,
            made={"seconds": 1.25, "at": "2026-11-22T09:41:00Z"} if plan else {},
        ),
    )


def _plan_sha256(name: str) -> str | None:
    record = artifacts.read_json(artifacts.build(name) / "engine.json", made_by="build")
    return record["files"][record["plan"]] if record["plan"] else None


def _write_evaluation(name: str, made: Made, inputs: Inputs) -> None:
    folder = artifacts.evaluate(name)
    head = {"schema": 1, "variant": name, "status": made.status}
    if made.status != "built":
        reason = made.reason.to_json() if made.reason else None
        artifacts.write_json(folder / "scores.json", head | {"reason": reason})
        return
    labels, predictions, outputs = _answers(name, made, inputs)
    hits = [label in row for label, row in zip(labels, predictions, strict=True)]
    scores = {"top1": {"top1_pct": 100.0 * sum(hits) / len(hits)}} if inputs.labelled else {}
    artifacts.write_json(
        folder / "scores.json",
        head
        | {
            "reason": None,
            "plan_sha256": _plan_sha256(name),
            "executor": made.backend,
            "samples_count": SAMPLES,
            "labelled": inputs.labelled,
            "synthetic": inputs.synthetic,
            "scores": scores,
            "outputs": {"logits": {"nan_count": 0, "inf_count": 0}},
        },
    )
    stored = {
        "schema": 1,
        "indices": list(range(SAMPLES)),
        "labels": labels if inputs.labelled else None,
        "predictions": {"top1": predictions},
    }
    artifacts.write_json(folder / "predictions.json", stored)
    np.savez(folder / "outputs.npz", allow_pickle=False, logits=outputs)


def _answers(name: str, made: Made, inputs: Inputs) -> tuple[list[int], list[list[int]], Any]:
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


def _write_benchmark(inputs: Inputs) -> None:
    built = [name for name, made in inputs.variants.items() if made.status == "built"]
    entries = {
        name: {
            "status": made.status,
            "reason": made.reason.to_json() if made.reason else None,
            "plan_sha256": _plan_sha256(name),
        }
        for name, made in inputs.variants.items()
    }
    record = {
        "schema": 1,
        "protocol": "abba/1",
        "profile": inputs.profile,
        "started_at": "2026-11-22T09:42:17+00:00",
        "commit": "4f2c9ab81d0e55aa4f2c9ab81d0e55aa4f2c9ab8",
        "variants": entries,
        "figures": COMPARED,
        "harness": {"e2e_ns": 850, "cpu_ns": 900},
        "disturbed": {
            "causes": {str(number): list(names) for number, names in inputs.disturbed.items()},
            "mostly_disturbed": inputs.mostly_disturbed,
        },
        "answers": {"indices": list(ITEMS), "tolerance": 0.05},
        "scenarios": {name: SCENARIOS[name](built, inputs) for name in inputs.scenarios},
        "machine": {"cores": [0, 1], "variables": {"OMP_NUM_THREADS": "2"}, "python": "3.11.7"},
    }
    artifacts.write_json(artifacts.BENCHMARK / "run.json", record)
    if built:
        write_samples(artifacts.BENCHMARK / "samples.parquet", draw_samples(inputs, built))
        _write_timed_answers(built, inputs)


def _write_timed_answers(built: Sequence[str], inputs: Inputs) -> None:
    """Write what the workers answered: the evaluated outputs, or others."""
    arrays = {}
    for name in built:
        outputs = _answers(name, inputs.variants[name], inputs)[2][list(ITEMS)]
        other = 1.5 if name == inputs.other_answers_of else 1 + 1e-6
        arrays[f"{name}/logits"] = (outputs * other).astype(np.float32)
    np.savez(artifacts.BENCHMARK / "answers.npz", allow_pickle=False, **arrays)


def _median_ns(name: str, batch: int, inputs: Inputs) -> int:
    median_ms = inputs.variants[name.removesuffix("/again")].median_ms
    return int(median_ms * (0.35 + 0.65 * batch) * 1e6)


def _throughput_notes(built: Sequence[str], inputs: Inputs) -> list[dict[str, Any]]:
    """Return two windows per load; a second stream brings half as much again."""
    return [
        {"contender": name, "round": number, "batch": batch, "streams": streams,
         "samples_per_s": batch * 1e9 / _median_ns(name, batch, inputs) * (0.5 + streams / 2)
         * (1 + number / 100),
         "window_ns": 500_000_000, "cpu_ns": 450_000_000 * streams, "completed_count": 40}
        for number in range(2)
        for batch in inputs.batches
        for streams in (1, 2)
        for name in name_contenders(list(built), REFERENCE)
    ]  # fmt: skip


def _cold_notes(built: Sequence[str], inputs: Inputs) -> list[dict[str, Any]]:
    phases = {"process_ns": 40_000_000, "import_ns": 900_000_000, "open_ns": 70_000_000}
    return [
        {"contender": name, "round": number, "batch": 1, **phases,
         "first_ns": (number + 1) * 3_000_000, "rest_ns": 5_000_000,
         "total_ns": 1_015_000_000 + (number + 1) * 3_000_000}
        for number in range(3)
        for name in built
    ]  # fmt: skip


def _sustained_notes(built: Sequence[str], inputs: Inputs) -> list[dict[str, Any]]:
    return [
        {"contender": name, "batch": 1, "settled": {"converged": name != "onnxruntime-int8"}}
        for name in built
    ]


SCENARIOS: Mapping[str, Any] = {
    "throughput": _throughput_notes,
    "cold": _cold_notes,
    "sustained": _sustained_notes,
}


def draw_samples(inputs: Inputs, built: Sequence[str]) -> pd.DataFrame:
    """Return what a benchmark of the built variants could have measured."""
    medians = tuple((name, inputs.variants[name].median_ms) for name in built)
    shape = _Shape(inputs.rounds, inputs.restart_every, inputs.requests, tuple(inputs.batches))
    left_out = () if inputs.mostly_disturbed else tuple(inputs.disturbed)
    return _draw(medians, shape, left_out, tuple(inputs.scenarios))


@dataclass(frozen=True)
class _Shape:
    rounds: int
    restart_every: int
    requests: int
    batches: tuple[int, ...]


@cache
def _draw(
    medians_ms: tuple[tuple[str, float], ...],
    shape: _Shape,
    left_out: tuple[int, ...],
    scenarios: tuple[str, ...],
) -> pd.DataFrame:
    rng = np.random.default_rng(20261122)
    by_name = dict(medians_ms)
    contenders = name_contenders(list(by_name), REFERENCE)
    blocks, now_ns = [], 1_000_000_000
    for number in range(shape.rounds):
        session = number // shape.restart_every
        for position, contender in enumerate(order_round(contenders, number)):
            for batch in shape.batches:
                turn = Turn(session, number, position, batch, contender)
                median_ms = by_name[contender.removesuffix("/again")] * (0.35 + 0.65 * batch)
                slow = 1.4 if number in left_out else 1.0
                rows = _block(rng, median_ms * slow, shape.requests, now_ns)
                blocks.append(Block(turn=turn, worker=position, device="0a1b2c3d", rows=rows))
                now_ns = int(rows[-1, 1]) + 50_000_000
    blocks += [
        Block(
            Turn(0, 0, 0, batch, contender),
            worker=0,
            device="0a1b2c3d",
            rows=_block(rng, 2 * by_name[contender.removesuffix("/again")], 120, now_ns),
            scenario=scenario,
            streams=streams,
        )
        for scenario in scenarios
        for contender in contenders
        for batch in shape.batches
        for streams in ((1, 2) if scenario == "throughput" else (1,))
    ]
    return make_samples(blocks, left_out=left_out)


def _block(rng: np.random.Generator, median_ms: float, requests: int, now_ns: int) -> Any:
    """Return rows of loop.COLUMNS: ten of warm-up, then counted ones with a tail."""
    count = requests + 10
    spread = rng.normal(rng.normal(0, 0.006), 0.012, count)
    spread[rng.random(count) < 0.02] += rng.exponential(0.3)
    latency_ns = (median_ms * 1e6 * np.exp(spread)).astype(np.int64)
    starts = now_ns + np.concatenate([[0], np.cumsum(latency_ns + 4_000)[:-1]])
    counted = (np.arange(count) >= 10).astype(np.int64)
    columns = {
        "counted": counted,
        "t_start_ns": starts,
        "e2e_ns": latency_ns,
        "cpu_ns": latency_ns - 900,
    }
    return np.stack([columns[name] for name in COLUMNS], axis=1)


def _write_audit(recipe: str) -> None:
    figures = {"max_abs": 0.031, "cosine": 0.99981, "sqnr_db": 34.2, "nan_count": 0, "inf_count": 0}
    artifacts.write_json(
        artifacts.audit(recipe) / "audit.json",
        {
            "schema": 1,
            "recipe": recipe,
            "precision": recipe,
            "executor": "onnxruntime",
            "samples_count": SAMPLES,
            "outputs": {"logits": figures},
            "scores": None,
        },
    )
