"""run.json: what a session was, beside its raw samples."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from trtproof.config import BenchmarkConfig
from trtproof.errors import BackendError
from trtproof.hardware import Hardware
from trtproof.measure.budget import BlockPlan
from trtproof.measure.contenders import Field
from trtproof.measure.machine import describe_setting
from trtproof.measure.samples import SCENARIO, counted, medians_by_round
from trtproof.measure.schedule import AGAIN, PROTOCOL, order_round
from trtproof.measure.session import SessionRecord
from trtproof.measure.stats import percentile, ratio_of_rounds
from trtproof.sidecar import EngineRecord
from trtproof.tensor import Feeds

PERCENTILES = (0.5, 0.9, 0.95, 0.99)


def make_run_record(
    lineup: Field,
    session: SessionRecord,
    samples: pd.DataFrame,
    *,
    config: BenchmarkConfig,
    reference: str,
    hardware: Hardware,
) -> dict[str, Any]:
    """Return plain data for run.json, without the moment of the start.

    Raises:
        BackendError: the session has no plan of blocks, so it measured nothing.
    """
    if session.plan is None:
        problem = "the session ended before it measured anything"
        raise BackendError(problem)
    names = [contender.name for contender in lineup.contenders]
    first = session.workers[0]
    return {
        "schema": 1,
        "protocol": PROTOCOL,
        "profile": config.profile,
        "scenario": SCENARIO,
        "commit": read_commit(),
        "reference": reference,
        "clock": {"wall": first["clock"], "cpu": first["cpu_clock"]},
        "variants": {
            name: _describe_variant(name, record, session, reference)
            for name, record in lineup.records.items()
        },
        "schedule": _describe_schedule(names, config, session.plan),
        "machine": describe_setting() | {"slug": hardware.slug, "bench": dict(hardware.bench)},
        "harness": session.harness,
        "workers": session.workers,
        "rounds": session.rounds,
        "blocks": session.block_notes,
        "summary": summarize(samples, names, config.batches, reference=reference),
    }


def _describe_schedule(
    contenders: Sequence[str], config: BenchmarkConfig, plan: BlockPlan
) -> dict[str, Any]:
    return {
        "contenders": list(contenders),
        "rounds": [order_round(contenders, number) for number in range(config.rounds)],
        "batches": config.batches,
        "restart_every_rounds": config.restart_every_rounds,
        "items_count": config.items,
        "wanted": {"requests": config.requests, "seconds": config.block_seconds},
        "block": asdict(plan.rule),
        "expected_s": round(plan.expected_s, 3),
        "fits_budget": plan.fits,
    }


def summarize(
    samples: pd.DataFrame, contenders: Sequence[str], batches: Sequence[int], *, reference: str
) -> dict[str, Any]:
    """Return percentiles and speed-up by batch and contender; times in nanoseconds."""
    kept = counted(samples)
    sessions = samples.groupby("round")["session"].first().to_list()
    summary: dict[str, Any] = {}
    for batch in batches:
        entries = summary.setdefault(str(batch), {})
        before = medians_by_round(samples, reference, batch)
        for contender in contenders:
            own = kept[(kept["contender"] == contender) & (kept["batch"] == batch)]
            after = medians_by_round(samples, contender, batch)
            speedup = None
            if len(before) and contender != reference:
                ratio = ratio_of_rounds(before.to_list(), after.to_list(), sessions=sessions)
                speedup = asdict(ratio)
            entries[contender] = {
                "samples_count": len(own),
                "e2e_ns": _percentiles(own["e2e_ns"]),
                "cpu_ns": _percentiles(own["cpu_ns"]),
                "round_medians_ns": after.to_list(),
                "speedup": speedup,
            }
    return summary


def compare_answers(reference: Sequence[Feeds], variant: Sequence[Feeds]) -> dict[str, Any]:
    """Return per output how far a variant's answers are from the reference's to equal requests.

    `max_abs_difference` is None where no pair of values is finite on both sides.
    """
    result: dict[str, Any] = {}
    for name in variant[0]:
        pairs = [
            (before.get(name), after[name])
            for before, after in zip(reference, variant, strict=True)
        ]
        differences = [
            np.abs(after.astype(np.float64) - before.astype(np.float64)).ravel()
            for before, after in pairs
            if before is not None and before.shape == after.shape
        ]
        joined = np.concatenate(differences) if differences else np.empty(0)
        finite = joined[np.isfinite(joined)]
        values = np.concatenate([answer[name].ravel() for answer in variant])
        result[name] = {
            "max_abs_difference": float(finite.max()) if len(finite) else None,
            "not_finite_count": int(np.count_nonzero(~np.isfinite(values.astype(np.float64)))),
        }
    return result


def read_commit() -> str | None:
    """Return the commit that is checked out, None outside of git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _describe_variant(
    name: str, record: EngineRecord, session: SessionRecord, reference: str
) -> dict[str, Any]:
    workers = [
        worker for worker in session.workers if worker["contender"].removesuffix(AGAIN) == name
    ]
    entry: dict[str, Any] = {
        "status": record.status,
        "reason": record.reason.to_json() if record.reason else None,
        "backend": record.backend,
        "recipe": record.recipe,
        "precision": record.precision,
        "plan_sha256": record.plan_sha256,
        "contenders": sorted({worker["contender"] for worker in workers}),
    }
    if not workers:
        return entry
    answers, own = session.outputs.get(reference), session.outputs[name]
    return entry | {
        "engine": workers[0]["facts"],
        "open_ns": [worker["open_ns"] for worker in workers],
        "warmup_converged": all(
            warmup["converged"] for worker in workers for warmup in worker["warmup"].values()
        ),
        "answers": compare_answers(answers if answers is not None else own, own),
    }


def _percentiles(values: pd.Series[Any]) -> dict[str, float]:
    array = values.to_numpy(dtype=np.int64)
    return {f"p{share * 100:g}": percentile(array, share) for share in PERCENTILES}
