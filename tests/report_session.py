"""A benchmark session that could have been measured, written as the stage writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from tests.report_device import device_blocks, device_notes
from tests.report_made import BENCH, COMPARED, ITEMS, REFERENCE, Inputs, make_answers, plan_sha256

from trtproof import artifacts
from trtproof.measure.loop import COLUMNS
from trtproof.measure.samples import Block, make_samples, write_samples
from trtproof.measure.schedule import Turn, name_contenders, order_round


def write_benchmark(inputs: Inputs) -> None:
    """Write run.json, samples.parquet and answers.npz."""
    built = [name for name, made in inputs.variants.items() if made.status == "built"]
    entries = {
        name: {
            "status": made.status,
            "reason": made.reason.to_json() if made.reason else None,
            "plan_sha256": plan_sha256(name),
            "engine": dict(made.engine),
        }
        for name, made in inputs.variants.items()
    }
    record: dict[str, Any] = {
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
        "start": {"load_1min": inputs.load_1min},
        "blocks": _block_notes(built, inputs),
        "machine": {"cores": [0, 1], "variables": dict(inputs.variables), "python": "3.11.7"},
        "user": inputs.user,
        "changed": None if inputs.changed is None else list(inputs.changed),
        "rounds": [_round_note(number) for number in range(inputs.rounds)],
    }
    record["disturbed"]["limits"] = {"pressure_share": 0.1, "steal_share": 0.01}
    if inputs.measured_on:
        bench = BENCH | {"kernel": inputs.kernel}
        record["machine"] |= {"slug": inputs.measured_on, "bench": bench}
    artifacts.write_json(artifacts.BENCHMARK / "run.json", record)
    if built:
        write_samples(artifacts.BENCHMARK / "samples.parquet", draw_samples(inputs, built))
        _write_timed_answers(built, inputs)


def _round_note(number: int) -> dict[str, Any]:
    """Return what the counters said of a round; nobody counts the device's other programs."""
    evidence = {"pressure_share": 0.01 + number / 1000, "steal_share": 0.0, "foreign_share": None}
    state = {"frequency_mhz": 2500.0 + number, "load_1min": 0.4}
    return {"before": state, "after": state, "evidence": evidence | {"throttled_ns": None}}


def _block_notes(built: Sequence[str], inputs: Inputs) -> list[dict[str, Any]]:
    """Return a note per round, of one contender each: the later in the list, the more memory."""
    return [
        {
            "first_is_slow": place == 0,
            "contender": built[place % len(built)],
            "peak_rss_bytes": (100 + 10 * (place % len(built))) * 1024 * 1024,
        }
        for place in range(inputs.rounds if built else 0)
    ]


def _write_timed_answers(built: Sequence[str], inputs: Inputs) -> None:
    """Write what the workers answered: the evaluated outputs, or others."""
    arrays = {}
    for name in built:
        outputs = make_answers(name, inputs.variants[name], inputs)[2][list(ITEMS)]
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
         "window_ns": 500_000_000, "cpu_ns": 450_000_000 * streams, "completed_count": 40,
         "causes": [], "left_out": False, "mostly_disturbed": False}
        for number in range(2)
        for batch in inputs.batches
        for streams in (1, 2)
        for name in name_contenders(list(built), REFERENCE, inputs.controls)
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
        {"contender": name, "batch": 1, "settled": {"converged": name != "onnxruntime-int8"},
         "causes": ["foreign"] if name == REFERENCE else []}
        for name in built
    ]  # fmt: skip


def _device_notes(built: Sequence[str], inputs: Inputs) -> list[dict[str, Any]]:
    names = name_contenders(list(built), REFERENCE, inputs.controls)
    return device_notes(names, on_cpu=inputs.on_cpu)


SCENARIOS: Mapping[str, Any] = {
    "device": _device_notes,
    "parts": _device_notes,
    "throughput": _throughput_notes,
    "cold": _cold_notes,
    "sustained": _sustained_notes,
}


def draw_samples(inputs: Inputs, built: Sequence[str]) -> pd.DataFrame:
    """Return what a benchmark of the built variants could have measured."""
    medians = tuple((name, inputs.variants[name].median_ms) for name in built)
    shape = _Shape(inputs.rounds, inputs.restart_every, inputs.requests, tuple(inputs.batches))
    left_out = () if inputs.mostly_disturbed else tuple(inputs.disturbed)
    others = tuple(name for name in inputs.scenarios if name not in ("device", "parts"))
    drawn = _draw(medians, shape, left_out, others, tuple(inputs.controls))
    contenders = name_contenders(list(built), REFERENCE, inputs.controls)
    marked = [
        block
        for scenario in inputs.scenarios
        if scenario not in others
        for block in device_blocks(
            scenario,
            dict(medians),
            [name for name in contenders if name not in inputs.on_cpu],
            spread=inputs.device_spread,
        )
    ]
    return pd.concat([drawn, make_samples(marked)], ignore_index=True) if marked else drawn


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
    controls: tuple[str, ...],
) -> pd.DataFrame:
    rng = np.random.default_rng(20261122)
    by_name = dict(medians_ms)
    contenders = name_contenders(list(by_name), REFERENCE, controls)
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
