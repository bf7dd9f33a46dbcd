"""Device time and parts of a session that could have been measured on a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trtproof.measure.marked import MARKED_COLUMNS, NOT_MARKED_NS
from trtproof.measure.samples import Block
from trtproof.measure.schedule import Turn, order_round

ROUNDS = 9
RESTART_EVERY = 3
COPY_IN_NS = 20_000
COPY_OUT_NS = 5_000
ENQUEUE_NS = 15_000
REQUESTS = {"device": 120, "parts": 20}
GPU_SHARE = 0.8
"""Of a request's wall time."""


def device_notes(contenders: Sequence[str], *, on_cpu: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return a note per round and contender, and one with the reason for those on the CPU."""
    return [{"contender": name, "reason": "it runs on the CPU"} for name in on_cpu] + [
        {"contender": name, "round": number, "batch": 1, "session": number // RESTART_EVERY,
         "causes": [], "left_out": False, "mostly_disturbed": False}
        for number in range(ROUNDS)
        for name in contenders
        if name not in on_cpu
    ]  # fmt: skip


def device_blocks(
    scenario: str, medians_ms: Mapping[str, float], contenders: Sequence[str], *, spread: float
) -> list[Block]:
    """Return the blocks of one of the two scenarios at batch 1."""
    rng, count, blocks = np.random.default_rng(7), REQUESTS[scenario], []
    for number in range(ROUNDS):
        for position, name in enumerate(order_round(list(contenders), number)):
            turn = Turn(number // RESTART_EVERY, number, position, 1, name)
            centre_ns = GPU_SHARE * medians_ms[name.removesuffix("/again")] * 1e6
            device_ns = centre_ns * np.exp(rng.normal(0, spread, count))
            parts = scenario == "parts"
            columns = {
                "counted": np.ones(count),
                "t_start_ns": 1e9 * number + 1e6 * np.arange(count),
                "e2e_ns": 2 * device_ns,
                "cpu_ns": np.full(count, 900.0 if parts else NOT_MARKED_NS),
                "device_ns": device_ns,
                "h2d_ns": np.full(count, COPY_IN_NS if parts else NOT_MARKED_NS),
                "d2h_ns": np.full(count, COPY_OUT_NS if parts else NOT_MARKED_NS),
                "enqueue_ns": np.full(count, ENQUEUE_NS),
            }
            rows = np.stack([columns[key] for key in MARKED_COLUMNS], axis=1).astype(np.int64)
            blocks.append(Block(turn, position, "0a1b2c3d", rows, scenario=scenario))
    return blocks
