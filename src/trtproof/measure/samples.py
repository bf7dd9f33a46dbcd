"""samples.parquet: every request of a session, raw.

What a scenario does not measure (copies and device time outside of marked blocks) is absent (NA),
never zero. Times are integer nanoseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from trtproof.measure.loop import COLUMNS
from trtproof.measure.marked import MARKED_COLUMNS
from trtproof.measure.schedule import AGAIN, PROTOCOL, Turn
from trtproof.tensor import Array

LATENCY: Final = "latency"
THROUGHPUT: Final = "throughput"
SUSTAINED: Final = "sustained"
COLD: Final = "cold"
DEVICE: Final = "device"
PARTS: Final = "parts"
ENERGY: Final = "energy"
MEMORY: Final = "memory"
TRTEXEC: Final = "trtexec"
ON_GPU_ONLY: Final = frozenset({DEVICE, PARTS, ENERGY, MEMORY, TRTEXEC})
"""Scenarios that take no time on a CPU: they say why they have nothing there."""

OUT_OF_TIME: Final = "out_of_time"
"""Code of the note on a scenario that did not start once benchmark.scenario_minutes were over."""

COUNTED: Final = "counted"
WARMUP: Final = "warmup"
DISTURBED: Final = "disturbed"
"""Status of the samples of a round that is left out for a recorded cause."""

LABELS: Final = ("variant", "contender", "scenario", "status", "protocol", "device")
NUMBERS: Final = (
    "batch",
    "streams",
    "stream",
    "worker",
    "session",
    "round",
    "position",
    "sample",
)
TIMES: Final = ("t_start_ns", "e2e_ns", "device_ns", "h2d_ns", "d2h_ns", "enqueue_ns", "cpu_ns")
WALL: Final = {"t_start_ns", "e2e_ns"}
"""Times that every row has."""

ORDER: Final = (
    "variant",
    "contender",
    "scenario",
    *NUMBERS,
    "status",
    "protocol",
    "device",
    *TIMES,
)
"""Every column, in the file's order."""


@dataclass(frozen=True)
class Block:
    """One contender's turn and its rows: loop.COLUMNS, or marked.MARKED_COLUMNS.

    A negative time beside the first two was not measured.

    `worker` numbers the processes of the run, `device` is the short hash of what it ran on,
    `stream` is one of `streams` at work together. `disturbed`: left out for a recorded cause.
    Figures of two protocols are different quantities.
    """

    turn: Turn
    worker: int
    device: str
    rows: Array
    scenario: str = LATENCY
    streams: int = 1
    stream: int = 0
    disturbed: bool = False
    protocol: str = PROTOCOL


def make_samples(blocks: Sequence[Block], *, left_out: Collection[int] = ()) -> pd.DataFrame:
    """Return one row per request in the order of measuring, with the columns ORDER.

    Counted requests of the latency rounds `left_out` and of disturbed blocks get the status
    "disturbed".
    """
    frames = [_frame_of(block, left_out) for block in blocks]
    samples = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=ORDER)
    return _typed(samples)


def write_samples(path: Path, samples: pd.DataFrame) -> None:
    """Write Parquet; equal samples give equal bytes with equal library versions."""
    samples.to_parquet(path, engine="pyarrow", compression="zstd", index=False)


def read_samples(path: Path, *, scenario: str | None = LATENCY) -> pd.DataFrame:
    """Return what `write_samples` wrote of one scenario, or with None of all."""
    samples = _typed(pd.read_parquet(path, engine="pyarrow"))
    return samples if scenario is None else of_scenario(samples, scenario)


def of_scenario(samples: pd.DataFrame, scenario: str) -> pd.DataFrame:
    """Return the rows of one scenario: figures never mix two."""
    own = samples[samples["scenario"] == scenario].reset_index(drop=True)
    return own.assign(
        **{name: own[name].cat.remove_unused_categories() for name in LABELS}  # as if alone
    )


def counted(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples that figures are computed from."""
    return samples[samples["status"] == COUNTED]


def _frame_of(block: Block, left_out: Collection[int]) -> pd.DataFrame:
    names = COLUMNS if block.rows.shape[1] == len(COLUMNS) else MARKED_COLUMNS
    rows = pd.DataFrame(block.rows, columns=list(names))
    turn = block.turn
    disturbed = block.disturbed or (block.scenario == LATENCY and turn.round in left_out)
    filled = rows.assign(
        variant=turn.contender.removesuffix(AGAIN),
        contender=turn.contender,
        scenario=block.scenario,
        batch=turn.batch,
        streams=block.streams,
        stream=block.stream,
        worker=block.worker,
        session=turn.session,
        round=turn.round,
        position=turn.position,
        sample=np.arange(len(rows)),
        status=np.where(rows["counted"] == 1, DISTURBED if disturbed else COUNTED, WARMUP),
        protocol=block.protocol,
        device=block.device,
        **{
            name: rows[name].astype("Int64").mask(rows[name] < 0)
            for name in (set(TIMES) - WALL) & set(names)
        },
    )
    return filled.reindex(columns=list(ORDER))  # adds the times that this scenario has not


def _typed(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the columns in their order and types: labels as categories, times nullable."""
    kinds = (
        dict.fromkeys(LABELS, "category")
        | dict.fromkeys(NUMBERS, "int32")
        | dict.fromkeys(TIMES, "Int64")
        | dict.fromkeys(WALL, "int64")
    )
    return samples[list(ORDER)].astype(kinds)
