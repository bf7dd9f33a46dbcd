"""The throughput scenario's passes: all contenders, one after the other, under one load.

A pass is what a neighbour can disturb and what is left out whole, for all contenders alike. Streams
are meant to keep every core busy, so that tasks which wait for a processor say nothing here; what
other programs took does (`foreign_share`), and what the hypervisor or the hardware took.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trtproof.benchmark_config import ThroughputConfig
from trtproof.measure.disturbed import (
    Cause,
    DisturbanceRule,
    RoundEvidence,
    choose_rounds,
    find_causes,
)
from trtproof.measure.samples import Block

LoadKey = tuple[int, int]
"""Batch size and number of streams."""


@dataclass(frozen=True)
class Load:
    """One cell of the throughput grid in one round."""

    round: int
    batch: int
    streams: int

    @property
    def key(self) -> LoadKey:
        """Return the cell."""
        return self.batch, self.streams


def list_loads(config: ThroughputConfig) -> list[Load]:
    """Return every load of every round, in the order of measuring."""
    return [
        Load(number, batch, streams)
        for number in range(config.rounds)
        for batch in config.batches
        for streams in config.streams
    ]


def find_load_causes(evidence: RoundEvidence, rule: DisturbanceRule) -> tuple[Cause, ...]:
    """Return what disturbed a pass; waiting tasks are its own streams."""
    return find_causes(replace(evidence, pressure_share=None), rule)


def choose_passes(
    causes: Mapping[Load, Sequence[Cause]], rule: DisturbanceRule
) -> tuple[set[Load], set[LoadKey]]:
    """Return the passes left out, and the cells where most were disturbed, so that none is.

    Args:
        causes: every pass, with none where it was quiet.
        rule: when so many are disturbed that all are kept.
    """
    left_out: set[Load] = set()
    mostly: set[LoadKey] = set()
    for key in {load.key for load in causes}:
        own = {load.round: load for load in causes if load.key == key}
        by_round = {number: causes[load] for number, load in own.items()}
        found = choose_rounds(list(own), by_round, rule)
        left_out |= {own[number] for number in found.left_out}
        if found.mostly_disturbed:
            mostly.add(key)
    return left_out, mostly


def mark_blocks(blocks: Iterable[Block], left_out: set[Load]) -> list[Block]:
    """Return the windows' blocks, those of left-out passes marked."""
    return [
        replace(
            block, disturbed=Load(block.turn.round, block.turn.batch, block.streams) in left_out
        )
        for block in blocks
    ]


def mark_notes(
    notes: Iterable[Mapping[str, Any]],
    causes: Mapping[Load, Sequence[Cause]],
    left_out: set[Load],
    mostly: set[LoadKey],
) -> list[dict[str, Any]]:
    """Return the windows' notes with what disturbed their pass and whether it counts."""
    marked = []
    for note in notes:
        load = Load(note["round"], note["batch"], note["streams"])
        marked.append(
            dict(note)
            | {
                "causes": [cause.name.lower() for cause in causes[load]],
                "left_out": load in left_out,
                "mostly_disturbed": load.key in mostly,
            }
        )
    return marked
