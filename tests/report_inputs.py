"""Realistic inputs of the report, made up from a fixed seed, written as the stages write them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tests.report_made import (
    BENCH,
    REFERENCE,
    SAMPLES,
    SLUG,
    Inputs,
    Made,
    describe_recipe,
    describe_variant,
    make_answers,
    plan_sha256,
)
from tests.report_session import write_benchmark

from trtproof import artifacts
from trtproof.report.cells import Facts
from trtproof.report.findings import Findings
from trtproof.report.load import load_findings
from trtproof.report.metrics import make_metrics
from trtproof.sidecar import EngineRecord, write_record

__all__ = ["REFERENCE", "SLUG", "Inputs", "Made", "build", "change", "load"]


SCORED = ("built", "evaluated_only")


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
    write_benchmark(inputs)
    for recipe in sorted({made.recipe for made in inputs.variants.values()}):
        _write_audit(recipe)
    artifacts.write_json(artifacts.CALIBRATE / "coverage.json", {"schema": 1, "samples_count": 360})


def change(inputs: Inputs, name: str, **changes: Any) -> Inputs:
    """Return the inputs with one variant changed."""
    variants = dict(inputs.variants) | {name: replace(inputs.variants[name], **changes)}
    return replace(inputs, variants=variants)


def _write_params(inputs: Inputs) -> None:
    params = {
        "model": {
            "name": inputs.model,
            "source": "transformers" if inputs.random_weights else "module",
            "weights": None,
        },
        "dataset": {"name": inputs.dataset},
        "pythonpath": [],
        "variants": {name: describe_variant(made) for name, made in inputs.variants.items()},
        "recipes": {made.recipe: describe_recipe(made.recipe) for made in inputs.variants.values()},
        "reference": REFERENCE,
        "budget": inputs.full_budget(),
        "sensitivity": {"recipes": []},
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
            "bench": BENCH,
        },
    )


def _write_build(name: str, made: Made) -> None:
    folder = artifacts.build(name)
    folder.mkdir(parents=True, exist_ok=True)
    files, plan = {}, None
    if made.status in SCORED:
        plan = "engine.onnx" if made.backend != "torch" else "engine.safetensors"
        content = np.random.default_rng(len(name)).integers(0, 256, made.size_bytes, dtype=np.uint8)
        (folder / plan).write_bytes(content.tobytes())
        artifacts.write_json(folder / "layers.json", {"schema": 1, "layers": list(made.layers)})
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
            details=made.details,
            made={"seconds": 1.25, "at": "2026-11-22T09:41:00Z"} if plan else {},
        ),
    )


def _write_evaluation(name: str, made: Made, inputs: Inputs) -> None:
    folder = artifacts.evaluate(name)
    reason = made.reason.to_json() if made.reason else None
    head = {"schema": 1, "variant": name, "status": made.status, "reason": reason}
    if made.status not in SCORED:
        artifacts.write_json(folder / "scores.json", head)
        return
    labels, predictions, outputs = make_answers(name, made, inputs)
    hits = [label in row for label, row in zip(labels, predictions, strict=True)]
    scores = {"top1": {"top1_pct": 100.0 * sum(hits) / len(hits)}} if inputs.labelled else {}
    artifacts.write_json(
        folder / "scores.json",
        head
        | {
            "plan_sha256": plan_sha256(name),
            "executor": made.backend,
            "samples_count": SAMPLES,
            "labelled": inputs.labelled,
            "synthetic": inputs.synthetic,
            "scores": scores,
            "outputs": {"logits": {"nan_count": int(np.isnan(outputs).sum()), "inf_count": 0}},
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
