"""Energy of one inference: the GPU's own counter over long windows of nothing but one contender.

The counter moves in steps of up to a tenth of a second, so that a window is seconds long, and the
windows of contenders alternate in mirrored order, as rounds do. It is the energy of the GPU's
board, not of the machine, and no MLPerf power measurement.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import sleep
from typing import Any, Final

import numpy as np

from trtproof import progress
from trtproof.benchmark_config import EnergyConfig
from trtproof.measure.budget import FEWEST_REQUESTS
from trtproof.measure.disturbed import find_causes
from trtproof.measure.gpu_state import NS_PER_S, GpuMonitor, GpuReading, compare_readings
from trtproof.measure.launch import OPEN_TIMEOUT_S, Launcher, Links
from trtproof.measure.link import WorkerLink
from trtproof.measure.loop import BlockRule
from trtproof.measure.machine import compare_states
from trtproof.measure.rounds import SLOWNESS, make_rule
from trtproof.measure.schedule import Turn, order_round

AGREEMENT_SHARE: Final = 0.10
"""How far the counter and the integral of polled power may lie apart before that is flagged."""

MW_PER_W: Final = 1000
ON_THE_CPU: Final = "the run is on the CPU, whose energy is not read"
NO_COUNTER: Final = "this GPU has no energy counter"
OF_THE_BOARD: Final = "the energy counter is of the whole board, of which a part (MIG) was measured"


@dataclass(frozen=True)
class Use:
    """Energy between two readings, in millijoules: counted, and integrated from polled power."""

    spent_ns: int
    counted_mj: int
    polled_mj: float | None

    @property
    def power_w(self) -> float:
        """Return the mean power."""
        return self.counted_mj / (self.spent_ns / NS_PER_S) / MW_PER_W

    @property
    def agrees(self) -> bool | None:
        """Say whether both ways of counting agree; None where power is not told."""
        if self.polled_mj is None:
            return None
        return abs(self.polled_mj - self.counted_mj) <= AGREEMENT_SHARE * self.counted_mj

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"power_w": self.power_w, "agrees": self.agrees}


def measure_energy(launcher: Launcher, config: EnergyConfig) -> list[dict[str, Any]]:
    """Return one note per window, the idle one first; or a single note with the `reason` for none.

    Raises:
        BackendError: a worker reports an error, crashes or hangs.
        HardwareError: the GPU no longer answers.
    """
    gpu = launcher.inputs.gpu
    reason = why_not(gpu)
    if gpu is None or reason is not None:
        return [{"reason": reason}]
    with launcher.open_all(launcher.inputs.variants) as links:
        idle = _rest(gpu, config)
        runner = _EnergyRunner(launcher, links, config)
        turns = [
            Turn(0, number, position, batch, name)
            for batch in config.batches
            for number in range(config.windows)
            for position, name in enumerate(order_round(list(links), number))
        ]
        tracked = progress.track(turns, title="benchmark, energy", total=len(turns))
        return [idle, *(runner.run_window(turn) for turn in tracked)]


def why_not(gpu: GpuMonitor | None) -> str | None:
    """Return why energy cannot be measured here; None where it can."""
    if gpu is None:
        return ON_THE_CPU
    if gpu.facts.get("counts_energy"):
        return None
    return OF_THE_BOARD if gpu.facts.get("is_part") else NO_COUNTER


def compare_energy(before: GpuReading, after: GpuReading) -> Use:
    """Return the energy between two readings of a GPU that counts it."""
    polled = None
    if before.polled_mj is not None and after.polled_mj is not None:
        polled = after.polled_mj - before.polled_mj
    return Use(
        spent_ns=after.at_ns - before.at_ns,
        counted_mj=(after.now.energy_mj or 0) - (before.now.energy_mj or 0),
        polled_mj=polled,
    )


def _rest(gpu: GpuMonitor, config: EnergyConfig) -> dict[str, Any]:
    """Return what the GPU takes with every plan loaded and nothing to do."""
    before = gpu.read()
    sleep(config.idle_seconds)
    after = gpu.read()
    idle = {"gpu": compare_readings(before, after).to_json()}
    return {"contender": None} | compare_energy(before, after).to_json() | idle


class _EnergyRunner:
    """Run windows of one contender at a time."""

    def __init__(self, launcher: Launcher, links: Links, config: EnergyConfig) -> None:
        self._launcher = launcher
        self._links = links
        self._config = config
        self._rule = make_rule(launcher.inputs.config.disturbance)

    def run_window(self, turn: Turn) -> dict[str, Any]:
        """Load the GPU, then count over a window."""
        link, inputs = self._links[turn.contender], self._launcher.inputs
        self._run(link, turn, self._config.load_seconds)
        before = inputs.read_state()
        completed_count = self._run(link, turn, self._config.seconds)
        after = inputs.read_state()
        if before.gpu is None or after.gpu is None:
            return {}
        use = compare_energy(before.gpu, after.gpu)
        causes = find_causes(compare_states(before, after), self._rule)
        return asdict(turn) | use.to_json() | {
            "worker": link.number,
            "completed_count": completed_count,
            "mj_per_inference": use.counted_mj / completed_count,
            "causes": [cause.name.lower() for cause in causes],
            "gpu": compare_readings(before.gpu, after.gpu).to_json(),
        }  # fmt: skip

    def _run(self, link: WorkerLink, turn: Turn, seconds: float) -> int:
        """Return how many requests were answered, one in flight."""
        out = self._launcher.folder / f"energy-{link.number}.npy"
        rule = BlockRule(FEWEST_REQUESTS, seconds, warm_iterations=0, warm_seconds=0.0)
        timeout_s = OPEN_TIMEOUT_S + SLOWNESS * seconds
        link.ask(
            "run_block", timeout_s=timeout_s, batch=turn.batch, rule=asdict(rule), out=str(out)
        )
        return len(np.load(out, allow_pickle=False))
