"""samples.parquet: every request of a session, raw.

The columns are final: what later scenarios measure (copies, device time, streams) is absent (NA)
until then, never zero. Times are integer nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from trtproof.measure.loop import COLUMNS
from trtproof.measure.schedule import AGAIN, PROTOCOL, Turn
from trtproof.tensor import Array

SCENARIO: Final = "latency"
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
    """One contender's turn and its rows (loop.COLUMNS).

    `worker` numbers the processes of the run, `device` is the short hash of what it ran on.
    """

    turn: Turn
    worker: int
    device: str
    rows: Array


def make_samples(blocks: Sequence[Block]) -> pd.DataFrame:
    """Return one row per request in the order of measuring, with the columns ORDER."""
    frames = [_frame_of(block) for block in blocks]
    samples = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=ORDER)
    return _typed(samples)


def write_samples(path: Path, samples: pd.DataFrame) -> None:
    """Write Parquet; equal samples give equal bytes with equal library versions."""
    samples.to_parquet(path, engine="pyarrow", compression="zstd", index=False)


def read_samples(path: Path) -> pd.DataFrame:
    """Return what `write_samples` wrote."""
    return _typed(pd.read_parquet(path, engine="pyarrow"))


def counted(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples that figures are computed from."""
    return samples[samples["status"] == COUNTED]


def medians_by_round(samples: pd.DataFrame, contender: str, batch: int) -> pd.Series[float]:
    """Return the median wall time in nanoseconds of each round of one contender, by round."""
    own = counted(samples)
    own = own[(own["contender"] == contender) & (own["batch"] == batch)]
    return own.groupby("round")["e2e_ns"].median().astype("float64")


def _frame_of(block: Block) -> pd.DataFrame:
    rows = pd.DataFrame(block.rows, columns=list(COLUMNS))
    turn = block.turn
    filled = rows.assign(
        variant=turn.contender.removesuffix(AGAIN),
        contender=turn.contender,
        scenario=SCENARIO,
        batch=turn.batch,
        streams=1,
        stream=0,
        worker=block.worker,
        session=turn.session,
        round=turn.round,
        position=turn.position,
        sample=np.arange(len(rows)),
        status=np.where(rows["counted"] == 1, COUNTED, WARMUP),
        protocol=PROTOCOL,
        device=block.device,
    )
    return filled.reindex(columns=list(ORDER))  # adds the times that this scenario has not


def _typed(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the columns in their order and types: labels as categories, times nullable."""
    kinds = (
        dict.fromkeys(LABELS, "category")
        | dict.fromkeys(NUMBERS, "int32")
        | dict.fromkeys(TIMES, "Int64")
        | {"t_start_ns": "int64", "e2e_ns": "int64"}
    )
    return samples[list(ORDER)].astype(kinds)
