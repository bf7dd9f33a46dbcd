"""run.json: what a session was, beside its raw samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trtproof.benchmark_config import BenchmarkConfig
from trtproof.errors import BackendError
from trtproof.hardware import Hardware
from trtproof.measure.answers import describe_answers
from trtproof.measure.budget import BlockPlan
from trtproof.measure.contenders import Field
from trtproof.measure.machine import describe_setting
from trtproof.measure.rounds import SessionRecord
from trtproof.measure.samples import LATENCY, make_samples, of_scenario
from trtproof.measure.scenarios import ScenarioRecord
from trtproof.measure.schedule import AGAIN, PROTOCOL, order_round
from trtproof.measure.summary import summarize
from trtproof.sidecar import EngineRecord
from trtproof.tensor import Feeds
from trtproof.working_tree import describe_working_tree

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Measured:
    """Everything that a run gave; `indices` are those of the items in the evaluation split."""

    lineup: Field
    session: SessionRecord
    scenarios: ScenarioRecord
    indices: Sequence[int]


def make_run_record(
    measured: Measured,
    samples: DataFrame,
    *,
    config: BenchmarkConfig,
    reference: str,
    hardware: Hardware,
) -> dict[str, Any]:
    """Return plain data for run.json, without the moment of the start.

    Raises:
        BackendError: the session has no plan of blocks, so it measured nothing.
    """
    session, lineup = measured.session, measured.lineup
    if session.plan is None:
        problem = "the session ended before it measured anything"
        raise BackendError(problem)
    names = [contender.name for contender in lineup.contenders]
    return {
        "schema": 1,
        "protocol": PROTOCOL,
        "profile": config.profile,
        **describe_working_tree(),
        "reference": reference,
        "variants": {
            name: _describe_variant(name, record, session, reference)
            for name, record in lineup.records.items()
        },
        "answers": describe_answers(
            session.answer_errors, measured.indices, config.answer_tolerance
        ),
        "schedule": _describe_schedule(names, config, session),
        "figures": {name: msgspec.to_builtins(item) for name, item in config.figures.items()},
        "machine": describe_setting() | {"slug": hardware.slug, "bench": dict(hardware.bench)},
        "disturbed": describe_disturbed(session, config),
        "scenarios": measured.scenarios.notes,
        "summary": summarize(of_scenario(samples, LATENCY), names, reference=reference),
        **_describe_session(session, names, config),
    }


def _describe_session(
    session: SessionRecord, contenders: list[str], config: BenchmarkConfig
) -> dict[str, Any]:
    """Return what was noted while it ran."""
    first = session.workers[0]
    return {
        "clock": {"wall": first["clock"], "cpu": first["cpu_clock"]},
        "affinity": {"asked": config.cpu_affinity, "workers": first["affinity"]},
        "harness": session.harness,
        "start": session.start.to_json() if session.start else None,
        "workers": session.workers,
        "rounds": [item.to_json(contenders) for item in session.rounds],
        "blocks": session.block_notes,
    }


def make_all_samples(measured: Measured, config: BenchmarkConfig) -> DataFrame:
    """Return the samples of all scenarios, those of left-out rounds marked."""
    left_out = measured.session.select(config.disturbance).left_out
    blocks = [*measured.session.blocks, *measured.scenarios.blocks]
    return make_samples(blocks, left_out=left_out)


def describe_disturbed(session: SessionRecord, config: BenchmarkConfig) -> dict[str, Any]:
    """Return which rounds were disturbed and left out, by which limits."""
    selection = session.select(config.disturbance)
    return {
        "limits": msgspec.to_builtins(config.disturbance),
        "rounds_count": len(session.rounds),
        "causes": {
            str(number): [cause.name.lower() for cause in causes]
            for number, causes in selection.causes.items()
        },
        "left_out": list(selection.left_out),
        "mostly_disturbed": selection.mostly_disturbed,
    }


def _describe_schedule(
    contenders: Sequence[str], config: BenchmarkConfig, session: SessionRecord
) -> dict[str, Any]:
    plan: BlockPlan | None = session.plan
    return {
        "contenders": list(contenders),
        "rounds": [order_round(contenders, item.place.slot) for item in session.rounds],
        "batches": config.batches,
        "restart_every_rounds": config.restart_every_rounds,
        "items_count": config.items,
        "wanted": {"requests": config.requests, "seconds": config.block_seconds},
        "most_rounds": config.most_rounds,
        "steps": session.steps,
        "block": asdict(plan.rule) if plan else None,
        "expected_s": round(plan.expected_s, 3) if plan else None,
        "fits_budget": plan.fits if plan else None,
    }


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
        "warmup_converged": all(
            warmup["converged"] for worker in workers for warmup in worker["warmup"].values()
        ),
        "answers": compare_answers(answers if answers is not None else own, own),
    }
