"""Simulated benchmark sessions, for proofs about the statistics: the truth is known here.

A session follows the real schedule (trtproof.measure.schedule): mirrored, rotated rounds, the
reference first and again last. A request's time is, on the log scale, the sum of: the contender's
true level, the machine's drift at that moment, the luck of its worker process (drawn at every
restart), a per-block effect, AR(1) noise within the block, and a heavy tail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from trtproof.measure.schedule import list_sessions, name_contenders, order_round
from trtproof.measure.verdict import RoundValues

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


def no_luck(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.zeros(shape)


def modes(*levels_ms: float, weights: Sequence[float] | None = None) -> Draw:
    """Every worker runs at one of a few speeds for its whole life."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return rng.choice(np.log(np.asarray(levels_ms) / levels_ms[0]), size=shape, p=weights)

    return draw


def normal_luck(sd: float) -> Draw:
    return lambda rng, shape: rng.normal(0, sd, shape)


def skewed_luck(scale: float) -> Draw:
    return lambda rng, shape: rng.exponential(scale, shape)


@dataclass(frozen=True)
class Machine:
    """A kind of machine; every size is on the log scale, so 0.01 is about 1 %.

    `drift` is a slope over the whole run, `ramp` a warming up that levels off, `wander` a random
    walk per block.
    """

    noise: float = 0.004
    block: float = 0.002
    correlation: float = 0.0
    tail_share: float = 0.005
    tail: float = 0.3
    drift: float = 0.002
    ramp: float = 0.0
    wander: float = 0.0
    luck: Draw = field(default=no_luck)


QUIET = Machine()
THERMAL_RAMP = replace(QUIET, ramp=0.15, drift=0.03)
BIMODAL = replace(QUIET, luck=modes(22.5, 25.5))
NOISY_CPU = Machine(
    noise=0.05, block=0.05, correlation=0.6, tail_share=0.03, tail=1.0, drift=0.10, wander=0.02
)


@dataclass(frozen=True)
class Plan:
    """How a session runs; the requests of a block are fewer than in life, to keep tests quick."""

    rounds: int = 12
    requests: int = 60
    restart_every: int = 4


def simulate_medians(
    machine: Machine,
    changes: Sequence[float],
    *,
    runs: int,
    seed: int,
    plan: Plan | None = None,
) -> NDArray[np.float64]:
    """Return block medians in ms, shape (runs, contenders, rounds).

    Args:
        machine: where it runs.
        changes: true time of each variant as a share of the reference's (1.03 is 3 % slower).
        runs: independent runs of the whole schedule.
        seed: of the random generator.
        plan: the schedule.
    """
    plan = plan or Plan()
    rng = np.random.default_rng(seed)
    order = name_contenders(
        ["reference", *(str(place) for place in range(len(changes)))], "reference"
    )
    count = len(order)
    level = np.log(np.asarray([1.0, *changes, 1.0]))
    total = plan.rounds * count
    walk = np.cumsum(rng.normal(0, machine.wander, (runs, total)), axis=1)
    values = np.empty((runs, count, plan.rounds))
    for session in list_sessions(plan.rounds, plan.restart_every):
        luck = machine.luck(rng, (runs, count))
        for number in session:
            for position, contender in enumerate(order_round(range(count), number)):
                moment = number * count + position
                common = _drift_at(machine, moment / total) + walk[:, moment]
                block = rng.normal(0, machine.block, runs)
                base = level[contender] + luck[:, contender] + common + block
                requests = base[:, None] + _noise(machine, rng, (runs, plan.requests))
                values[:, contender, number] = np.median(requests, axis=1)
    return 22.5 * np.exp(values)


def round_values(
    medians: NDArray[np.float64], variant: int, plan: Plan | None = None
) -> RoundValues:
    """Return what one run (contenders, rounds) says of its variant number `variant`."""
    plan = plan or Plan()
    sessions = {
        number: session
        for session, numbers in enumerate(list_sessions(plan.rounds, plan.restart_every))
        for number in numbers
    }
    return RoundValues(
        reference=dict(enumerate(medians[0])),
        again=dict(enumerate(medians[-1])),
        contender=dict(enumerate(medians[1 + variant])),
        sessions=sessions,
    )


def _drift_at(machine: Machine, moment: float) -> float:
    """Return the machine's slowness at a moment in [0, 1) of the run."""
    return machine.drift * moment + machine.ramp * float(1 - np.exp(-5 * moment))


def _noise(
    machine: Machine, rng: np.random.Generator, shape: tuple[int, int]
) -> NDArray[np.float64]:
    keep = machine.correlation
    shocks = rng.normal(0, machine.noise * np.sqrt(1 - keep**2), shape)
    correlated = lfilter([1.0], [1.0, -keep], shocks, axis=1) if keep else shocks
    hit = rng.random(shape) < machine.tail_share
    tail = np.where(hit, rng.exponential(machine.tail, shape), 0.0)
    noise: NDArray[np.float64] = correlated + tail
    return noise
