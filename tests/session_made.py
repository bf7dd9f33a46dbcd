"""The recorded session of finalists, made up: latencies by round and rates by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.sweep_made import REFERENCE

from trtproof.choice.duel import Session
from trtproof.measure.loop import COLUMNS
from trtproof.measure.samples import THROUGHPUT, Block, make_samples
from trtproof.measure.schedule import AGAIN, Turn

MADE: dict[str, Session] = {}


@dataclass(frozen=True)
class MadeSession:
    """Contender -> median in ms at batch 1 with one stream; `noise` is the spread of a round."""

    medians_ms: Mapping[str, float]
    noise: float = 0.002
    rounds: int = 12
    windows: int = 6
    requests: int = 60
    batches: Sequence[int] = (1,)
    streams: Sequence[int] = (1, 2)
    profile: str = "full"
    mostly_disturbed: bool = False
    seed: int = 20261122
    rates_only: bool = False

    def make(self) -> Session:
        """Return it as it would be read from DVC's cache; an equal one is made once."""
        if repr(self) not in MADE:
            MADE[repr(self)] = self._make()
        return MADE[repr(self)]

    def _make(self) -> Session:
        rng = np.random.default_rng(self.seed)
        contenders = {**self.medians_ms, f"{REFERENCE}{AGAIN}": self.medians_ms[REFERENCE]}
        blocks = [
            self._block(rng, name, median_ms * batch, number, batch)
            for number in range(self.rounds)
            for batch in self.batches
            for name, median_ms in contenders.items()
            if not self.rates_only
        ]
        notes = []
        for number in range(self.windows):
            for batch in self.batches:
                for streams in self.streams:
                    for name, median_ms in contenders.items():
                        slow = np.exp(rng.normal(0, self.noise))
                        taken = median_ms * batch * (0.5 + 0.5 * streams) * slow
                        if not self.rates_only:
                            blocks.append(self._block(rng, name, taken, number, batch, streams))
                        notes.append(_note(name, number, batch, streams, 1000 / taken))
        return Session(self._record(notes), make_samples(blocks))

    def _record(self, notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        effects = {"wall_p10": 0.05, "wall_p50": 0.02, "wall_p99": 0.05, "cpu_p50": 0.03}
        return {
            "reference": REFERENCE,
            "profile": self.profile,
            "figures": {name: {"minimum_effect": share} for name, share in effects.items()},
            "disturbed": {"causes": {}, "mostly_disturbed": self.mostly_disturbed},
            "scenarios": {"throughput": list(notes)},
        }

    def _block(
        self,
        rng: np.random.Generator,
        name: str,
        median_ms: float,
        number: int,
        batch: int,
        streams: int = 0,
    ) -> Block:
        """Return one block of the latency scenario, or with streams one of a load."""
        slow = np.exp(rng.normal(0, self.noise))
        taken = median_ms * 1e6 * slow * np.exp(rng.normal(0, 0.01, self.requests))
        columns = {
            "counted": np.ones(self.requests),
            "t_start_ns": np.arange(self.requests) * 1e8,
            "e2e_ns": taken,
            "cpu_ns": taken - 900,
        }
        rows = np.stack([columns[key].astype(np.int64) for key in COLUMNS], axis=1)
        turn = Turn(number // 4, number, 0, batch, name)
        load = {"scenario": THROUGHPUT, "streams": streams} if streams else {}
        return Block(turn=turn, worker=0, device="0a1b2c3d", rows=rows, **load)  # type: ignore[arg-type]


def _note(name: str, number: int, batch: int, streams: int, per_stream: float) -> dict[str, Any]:
    return {
        "contender": name,
        "round": number,
        "batch": batch,
        "streams": streams,
        "samples_per_s": per_stream * batch * streams,
        "left_out": False,
        "mostly_disturbed": False,
    }
