"""Running rounds: blocks in the schedule's order, the machine's counters around each round."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from trtproof.benchmark_config import DisturbanceConfig
from trtproof.measure.budget import BlockPlan, grow, shrink, wanted_rule
from trtproof.measure.clock import Clock
from trtproof.measure.disturbed import (
    Cause,
    DisturbanceRule,
    Selection,
    choose_rounds,
    find_causes,
)
from trtproof.measure.gpu_state import compare_readings
from trtproof.measure.launch import Launcher, Links
from trtproof.measure.link import WorkerLink
from trtproof.measure.loop import first_is_slow
from trtproof.measure.machine import MachineState, compare_states
from trtproof.measure.power_cap import find_unlike_rounds
from trtproof.measure.samples import Block
from trtproof.measure.schedule import RoundPlace, Turn, list_turns, order_round
from trtproof.tensor import Feeds

SLOWNESS: Final = 20.0
"""A worker that takes this many times longer than expected hangs."""

LEAST_TIMEOUT_S: Final = 60.0
MOST_GROWTH: Final = 2.0
"""From one pair of rounds to the next: the pace on a busy machine may not last."""

GROWTH_SHARE: Final = 0.8
"""Part of the time left that blocks may grow into: the rest is for rounds measured again."""


@dataclass(frozen=True)
class RoundRecord:
    """One round: where it stands, how long it took, and what disturbed it.

    `repeats` is the round that it measures again.
    """

    place: RoundPlace
    repeats: int | None
    elapsed_ns: int
    before: MachineState
    after: MachineState
    causes: tuple[Cause, ...]

    def to_json(self, contenders: list[str]) -> dict[str, Any]:
        """Return plain data for run.json."""
        return asdict(self.place) | {
            "repeats": self.repeats,
            "order": order_round(contenders, self.place.slot),
            "elapsed_ns": self.elapsed_ns,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "evidence": asdict(compare_states(self.before, self.after)),
            "gpu": describe_gpu(self.before, self.after),
            "causes": [cause.name.lower() for cause in self.causes],
        }


def describe_gpu(before: MachineState, after: MachineState) -> dict[str, Any] | None:
    """Return the GPU between two readings; None for a run on the CPU."""
    if before.gpu is None or after.gpu is None:
        return None
    return compare_readings(before.gpu, after.gpu).to_json()


@dataclass
class SessionRecord:
    """What the latency scenario gave.

    `blocks` are in the order of measuring; `outputs` holds what each contender answered at the
    first batch size, one entry per rotated request, `evaluated` by variant what fresh processes
    answered to every item; `start` is the machine before any worker ran; `gpu` is what stays the
    same of the GPU, None on a CPU;
    `steps` is why rounds were added, or not.
    """

    blocks: list[Block] = field(default_factory=list)
    block_notes: list[dict[str, Any]] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[RoundRecord] = field(default_factory=list)
    outputs: dict[str, list[Feeds]] = field(default_factory=dict)
    evaluated: dict[str, Feeds] = field(default_factory=dict)
    answer_errors: dict[str, dict[str, float]] = field(default_factory=dict)
    harness: dict[str, Any] = field(default_factory=dict)
    gpu: dict[str, Any] | None = None
    start: MachineState | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    plan: BlockPlan | None = None

    def select(self, config: DisturbanceConfig) -> Selection:
        """Return which rounds count."""
        causes = self.find_causes(config)
        return choose_rounds(list(causes), causes, make_rule(config))

    def find_causes(self, config: DisturbanceConfig) -> dict[int, tuple[Cause, ...]]:
        """Return what disturbed each round, by itself or beside the other rounds."""
        causes = {item.place.round: item.causes for item in self.rounds}
        for number in find_unlike_rounds(self.block_notes, config.power_cap_share):
            causes[number] = (*causes[number], Cause.POWER_CAP)
        return causes


def make_rule(config: DisturbanceConfig) -> DisturbanceRule:
    """Return from where on a counter is a cause."""
    return DisturbanceRule(
        pressure_share=config.pressure_share,
        steal_share=config.steal_share,
        foreign_share=config.foreign_share,
        most_left_out_share=config.most_left_out_share,
    )


@dataclass
class Budget:
    """When a session's rounds must be done, and how many of the schedule are still to come.

    `rounds_left` counts those of later sessions too: all blocks are to be alike.
    """

    clock: Clock
    deadline_ns: int
    rounds_left: int

    def left_ns(self) -> int:
        """Return the time left."""
        return max(self.deadline_ns - self.clock.now_ns(), 0)


class RoundRunner:
    """Run the rounds of one session of workers.

    A machine that others slow down would overrun the budget: before each pair of rounds, the blocks
    of all contenders are fitted alike to the pace of the last pair.
    """

    def __init__(
        self,
        launcher: Launcher,
        links: Links,
        record: SessionRecord,
        *,
        plan: BlockPlan,
        budget: Budget,
    ) -> None:
        self._launcher = launcher
        self._config = launcher.inputs.config
        self._links = links
        self._record = record
        self._plan = plan
        self._budget = budget
        self._rule = plan.rule
        self._pair_ns = 0

    def run_slot(self, session: int, slot: int) -> None:
        """Measure the next round of the schedule."""
        if slot % 2 == 0 and self._pair_ns:
            self._keep_budget()
        if slot % 2 == 0:
            self._pair_ns = 0
        self._pair_ns += self._run_round(session, slot, repeats=None).elapsed_ns
        self._budget.rounds_left -= 1

    def rerun_disturbed(self, session: int) -> None:
        """Measure the session's disturbed rounds again, while the budget and their tries last."""
        mine = [item for item in self._record.rounds if item.place.session == session]
        for _ in range(self._config.disturbance.reruns):
            again: list[RoundRecord] = []
            causes = self._record.find_causes(self._config.disturbance)
            for tried in (item for item in mine if causes[item.place.round]):
                if not self._has_time(self._record.rounds[-1].elapsed_ns):
                    return
                slot = tried.place.slot
                again.append(self._run_round(session, slot, repeats=tried.place.round))
            mine = again

    def _has_time(self, round_ns: int) -> bool:
        """Say whether one more round at this pace leaves the schedule its time."""
        return self._budget.left_ns() >= round_ns * (self._budget.rounds_left + 1)

    def _keep_budget(self) -> None:
        """Fit the blocks from now on to the last pair's pace and the time left.

        They shrink where the time is short, and grow back to what is wanted where a warm-up on a
        machine busy for a moment had made them small.
        """
        needed_ns = max(self._pair_ns / 2 * self._budget.rounds_left, 1.0)
        factor = self._budget.left_ns() / needed_ns
        if factor < 1:
            self._rule = shrink(self._rule, factor)
        elif factor * GROWTH_SHARE > 1:
            wanted = wanted_rule(self._config)
            self._rule = grow(self._rule, min(factor * GROWTH_SHARE, MOST_GROWTH), wanted)

    def _run_round(self, session: int, slot: int, *, repeats: int | None) -> RoundRecord:
        place = RoundPlace(session=session, round=len(self._record.rounds), slot=slot)
        read_machine, clock = self._launcher.inputs.read_state, self._budget.clock
        before, begun_ns = read_machine(), clock.now_ns()
        for turn in list_turns(list(self._links), self._config.batches, place):
            self._run_turn(turn, self._links[turn.contender])
        elapsed_ns, after = clock.now_ns() - begun_ns, read_machine()
        evidence = compare_states(before, after)
        causes = find_causes(evidence, make_rule(self._config.disturbance))
        item = RoundRecord(place, repeats, elapsed_ns, before, after, causes)
        self._record.rounds.append(item)
        return item

    def _run_turn(self, turn: Turn, link: WorkerLink) -> None:
        out = self._launcher.folder / f"block-{link.number}.npy"
        gpu = self._launcher.inputs.gpu
        before = gpu.read() if gpu else None
        reply = link.ask(
            "run_block",
            timeout_s=max(LEAST_TIMEOUT_S, SLOWNESS * self._plan.expected_s),
            batch=turn.batch,
            rule=asdict(self._rule),
            out=str(out),
        )
        if gpu and before:
            reply["gpu"] = compare_readings(before, gpu.read()).to_json()
        rows = np.load(out, allow_pickle=False)
        device = self._launcher.inputs.device
        self._record.blocks.append(Block(turn=turn, worker=link.number, device=device, rows=rows))
        note = {
            "worker": link.number,
            "requests": self._rule.requests,
            "first_is_slow": first_is_slow(rows),
        }
        self._record.block_notes.append(asdict(turn) | note | reply)
