"""One benchmark session: workers, schedule and samples.

The orchestrator is not timed. All workers live while their session does, but only one of them works
at a time. No worker outlives this module's functions: leaving them ends every process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from trtproof import progress
from trtproof.config import BenchmarkConfig
from trtproof.measure.budget import BlockPlan, plan_blocks, plan_warmup, shrink
from trtproof.measure.clock import Clock
from trtproof.measure.link import Contender, WorkerLink
from trtproof.measure.loop import BlockRule, WarmupRule
from trtproof.measure.machine import MachineState, read_state
from trtproof.measure.samples import Block
from trtproof.measure.schedule import Turn, list_sessions, list_turns
from trtproof.tensor import Feeds

OPEN_TIMEOUT_S: Final = 600.0
SLOWNESS: Final = 20.0
"""A worker that takes this many times longer than expected hangs."""

LEAST_TIMEOUT_S: Final = 60.0
HARNESS_RULE: Final = BlockRule(requests=2000, seconds=0.0, warm_iterations=500, warm_seconds=0.0)

Links = Mapping[str, WorkerLink]


@dataclass(frozen=True)
class SessionInputs:
    """What a session measures, and how much.

    `contenders` are in the order of the first round; `items` is one batch of all the samples that
    requests rotate over; `device` is the short hash of what everything runs on.
    """

    contenders: Sequence[Contender]
    items: Feeds
    config: BenchmarkConfig
    device: str


@dataclass
class SessionRecord:
    """What a session gave.

    `blocks` are in the order of measuring; `outputs` holds what each contender answered at the
    first batch size, one entry per rotated request.
    """

    blocks: list[Block] = field(default_factory=list)
    block_notes: list[dict[str, Any]] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, list[Feeds]] = field(default_factory=dict)
    harness: dict[str, Any] = field(default_factory=dict)
    plan: BlockPlan | None = None


def run_sessions(inputs: SessionInputs, *, clock: Clock, folder: Path) -> SessionRecord:
    """Run the whole schedule; `folder` takes the temporary files.

    Raises:
        BackendError: a worker reports an error, crashes or hangs.
    """
    config, record = inputs.config, SessionRecord()
    begun_ns = clock.now_ns()
    items = folder / "items.npz"
    arrays = {str(place): array for place, array in enumerate(inputs.items.values())}
    np.savez(items, allow_pickle=False, **arrays)
    names = [contender.name for contender in inputs.contenders]
    sessions = list_sessions(config.rounds, config.restart_every_rounds)
    left_ns, setup_ns = int(config.max_minutes * 60e9), 0
    for number, rounds in enumerate(sessions):
        with ExitStack() as stack:
            links = _start_workers(inputs, stack, record=record, folder=folder)
            _open_workers(inputs, links, record=record, items=items)
            medians_s = _warm_up(inputs, links, record=record, sessions=len(sessions))
            if record.plan is None:
                _check_harness(inputs, links, record=record, folder=folder)
                setup_ns = clock.now_ns() - begun_ns
                left_s = (left_ns - setup_ns * len(sessions)) / 1e9
                record.plan = plan_blocks(config, medians_s, available_s=left_s)
            later_ns = setup_ns * (len(sessions) - 1 - number)
            budget = _Budget(clock, record.plan, begun_ns + left_ns - later_ns)
            turns = list(list_turns(names, config.batches, session=number, rounds=rounds))
            _TurnRunner(inputs, links, record, budget=budget).run(turns, folder)
    return record


def _start_workers(
    inputs: SessionInputs, stack: ExitStack, *, record: SessionRecord, folder: Path
) -> dict[str, WorkerLink]:
    first = len(record.workers)
    return {
        contender.name: stack.enter_context(
            WorkerLink(contender, number=first + place, folder=folder)
        )
        for place, contender in enumerate(inputs.contenders)
    }


def _open_workers(
    inputs: SessionInputs, links: Links, *, record: SessionRecord, items: Path
) -> None:
    """Open every plan, one after the other, and note what each engine says of itself."""
    for name, link in links.items():
        reply = link.open(items=items, names=list(inputs.items), timeout_s=OPEN_TIMEOUT_S)
        record.workers.append({"worker": link.number, "contender": name, "warmup": {}} | reply)


def _warm_up(
    inputs: SessionInputs, links: Links, *, record: SessionRecord, sessions: int
) -> dict[tuple[str, int], float]:
    """Return the seconds of one request by contender and batch after warming up all of them."""
    rule: WarmupRule = plan_warmup(inputs.config, contenders=len(links), sessions=sessions)
    notes = {note["worker"]: note for note in record.workers}
    medians_s: dict[tuple[str, int], float] = {}
    todo = [(link, batch) for batch in inputs.config.batches for link in links.values()]
    for link, batch in progress.track(todo, title="warming up", total=len(todo)):
        timeout_s = OPEN_TIMEOUT_S + SLOWNESS * rule.cap_seconds
        reply = link.ask("warm_up", timeout_s=timeout_s, batch=batch, rule=asdict(rule))
        notes[link.number]["warmup"][str(batch)] = reply
        medians_s[link.contender.name, batch] = reply["median_ns"] / 1e9
    return medians_s


def _check_harness(
    inputs: SessionInputs, links: Links, *, record: SessionRecord, folder: Path
) -> None:
    """Time requests that do nothing, and collect what the engines answer to the same requests."""
    first = next(iter(links.values()))
    record.harness = first.ask("time_harness", timeout_s=LEAST_TIMEOUT_S, rule=asdict(HARNESS_RULE))
    batch = inputs.config.batches[0]
    for name, link in links.items():
        out = folder / f"outputs-{link.number}.npz"
        reply = link.ask("write_outputs", timeout_s=OPEN_TIMEOUT_S, batch=batch, out=str(out))
        with np.load(out, allow_pickle=False) as stored:
            record.outputs[name] = [
                {
                    output: stored[f"{request}.{place}"]
                    for place, output in enumerate(reply["names"])
                }
                for request in range(reply["requests_count"])
            ]


@dataclass(frozen=True)
class _Budget:
    """When a session's blocks must be done, on which clock, and what was planned to fit."""

    clock: Clock
    plan: BlockPlan
    deadline_ns: int


class _TurnRunner:
    """Run blocks in the order of the schedule, reading the machine's state around every round.

    A machine that others slow down would overrun the budget: before each pair of rounds, the blocks
    of all contenders shrink alike where the last pair took too long.
    """

    def __init__(
        self, inputs: SessionInputs, links: Links, record: SessionRecord, *, budget: _Budget
    ) -> None:
        self._device = inputs.device
        self._rounds_count = inputs.config.rounds
        self._links = links
        self._record = record
        self._budget = budget
        self._rule = budget.plan.rule

    def run(self, turns: Sequence[Turn], folder: Path) -> None:
        """Run one session's turns; `folder` takes the blocks on their way from the workers."""
        before, current = read_state(), turns[0]
        pair_ns = self._budget.clock.now_ns()
        for turn in progress.track(turns, title="benchmark", total=len(turns)):
            if turn.round != current.round:
                before = self._note_round(current, before)
                if turn.round % 2 == 0:
                    pair_ns = self._keep_budget(turn.round, pair_ns)
            current = turn
            self._run_turn(turn, folder / f"block-{self._links[turn.contender].number}.npy")
        self._note_round(current, before)

    def _keep_budget(self, number: int, pair_ns: int) -> int:
        """Shrink the blocks from round `number` on if need be; returns the time now.

        `pair_ns` is when the last pair of rounds began.
        """
        now_ns = self._budget.clock.now_ns()
        needed_ns = (now_ns - pair_ns) / 2 * (self._rounds_count - number)
        left_ns = max(self._budget.deadline_ns - now_ns, 0)
        if needed_ns > left_ns:
            self._rule = shrink(self._rule, left_ns / needed_ns)
        return now_ns

    def _run_turn(self, turn: Turn, out: Path) -> None:
        link = self._links[turn.contender]
        reply = link.ask(
            "run_block",
            timeout_s=max(LEAST_TIMEOUT_S, SLOWNESS * self._budget.plan.expected_s),
            batch=turn.batch,
            rule=asdict(self._rule),
            out=str(out),
        )
        rows = np.load(out, allow_pickle=False)
        block = Block(turn=turn, worker=link.number, device=self._device, rows=rows)
        self._record.blocks.append(block)
        note = {"worker": link.number, "requests": self._rule.requests}
        self._record.block_notes.append(asdict(turn) | note | reply)

    def _note_round(self, turn: Turn, before: MachineState) -> MachineState:
        """Keep the machine's state around the round of `turn`; returns the state at its end."""
        after = read_state()
        states = {"before": before.to_json(), "after": after.to_json()}
        self._record.rounds.append({"session": turn.session, "round": turn.round} | states)
        return after
