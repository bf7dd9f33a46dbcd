"""What the GPU's own clock says: launches with the inputs resident, and the parts of requests.

Marks cost time, so these blocks have workers of their own, in the same mirrored rounds as latency,
the reference twice. What runs on the CPU has no such clock: it is noted with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np

from trtproof import progress
from trtproof.benchmark_config import DeviceConfig
from trtproof.measure.answers import check_answers
from trtproof.measure.disturbed import Cause, choose_rounds, find_causes
from trtproof.measure.launch import OPEN_TIMEOUT_S, Launcher, Links
from trtproof.measure.link import Contender, WorkerLink
from trtproof.measure.loop import BlockRule, WarmupRule
from trtproof.measure.machine import compare_states
from trtproof.measure.rounds import SLOWNESS, make_rule
from trtproof.measure.samples import DEVICE, PARTS, Block
from trtproof.measure.schedule import RoundPlace, Turn, list_sessions, list_turns
from trtproof.tensor import Feeds

HOST: Final = "cpu"
NO_CLOCK: Final = "it runs on the CPU, which has neither copies nor a clock of its own"
BLOCK_KINDS: Final = {DEVICE: "launches", PARTS: "parts"}
"""Scenario -> what its blocks are made of, as the worker calls it."""

Note = dict[str, Any]


def run_device_rounds(
    launcher: Launcher, config: DeviceConfig, evaluated: Mapping[str, Feeds]
) -> tuple[list[Block], dict[str, list[Note]]]:
    """Return the blocks of both scenarios, and by scenario what run.json says of them.

    Raises:
        BackendError: a worker reports an error, crashes or hangs, or a plan answers otherwise than
            it was evaluated.
    """
    absent: list[Note] = [
        {"contender": item.name, "reason": NO_CLOCK}
        for item in launcher.inputs.contenders
        if item.options.device == HOST
    ]
    contenders = [
        replace(item, options=replace(item.options, parts=True))
        for item in launcher.inputs.contenders
        if item.options.device != HOST
    ]
    if not contenders:
        return [], dict.fromkeys(BLOCK_KINDS, absent)
    rounds = _DeviceRounds(launcher, config, contenders)
    restart = launcher.inputs.config.restart_every_rounds
    for session, slots in enumerate(list_sessions(config.rounds, restart)):
        rounds.run_session(session, slots, evaluated)
    blocks, notes = rounds.finish()
    return blocks, {scenario: absent + notes[scenario] for scenario in BLOCK_KINDS}


class _DeviceRounds:
    """Run rounds; each has the blocks of both scenarios."""

    def __init__(
        self, launcher: Launcher, config: DeviceConfig, contenders: Sequence[Contender]
    ) -> None:
        self._launcher = launcher
        self._config = config
        self._contenders = contenders
        self._batches = launcher.inputs.config.batches
        self._read_machine = launcher.inputs.read_machine
        self._disturbance = make_rule(launcher.inputs.config.disturbance)
        self._causes: dict[int, Sequence[Cause]] = {}
        self._blocks: list[Block] = []
        self._notes: dict[str, list[Note]] = {scenario: [] for scenario in BLOCK_KINDS}

    def run_session(self, session: int, slots: range, evaluated: Mapping[str, Feeds]) -> None:
        """Start workers, check their answers, warm them up, and run these rounds."""
        with ExitStack() as stack:
            links, _ = self._launcher.start_open(self._contenders, stack)
            check_answers(self._launcher, links, evaluated)
            self._warm_up(links)
            for slot in progress.track(slots, title="benchmark, device", total=len(slots)):
                self._run_round(links, RoundPlace(session=session, round=slot, slot=slot))

    def finish(self) -> tuple[list[Block], dict[str, list[Note]]]:
        """Return everything, with the disturbed rounds marked as left out."""
        chosen = choose_rounds(list(self._causes), self._causes, self._disturbance)
        blocks = [
            replace(block, disturbed=block.turn.round in chosen.left_out) for block in self._blocks
        ]
        for notes in self._notes.values():
            for note in notes:
                note["causes"] = [cause.name.lower() for cause in self._causes[note["round"]]]
                note["left_out"] = note["round"] in chosen.left_out
                note["mostly_disturbed"] = chosen.mostly_disturbed
        return blocks, self._notes

    def _warm_up(self, links: Links) -> None:
        """Warm up all workers: as long as for latency at the first batch, then for each shape."""
        warmup = self._launcher.inputs.config.warmup
        for link in links.values():
            for batch in self._batches:
                seconds = warmup.seconds if batch == self._batches[0] else warmup.block_seconds
                rule = WarmupRule(seconds, max(seconds, warmup.cap_seconds), warmup.iterations)
                timeout_s = OPEN_TIMEOUT_S + SLOWNESS * rule.cap_seconds
                link.ask("warm_up", timeout_s=timeout_s, batch=batch, rule=asdict(rule))

    def _run_round(self, links: Links, place: RoundPlace) -> None:
        before = self._read_machine()
        for scenario in BLOCK_KINDS:
            for turn in list_turns(list(links), self._batches, place):
                self._run_turn(links[turn.contender], turn, scenario)
        evidence = compare_states(before, self._read_machine())
        self._causes[place.round] = find_causes(evidence, self._disturbance)

    def _run_turn(self, link: WorkerLink, turn: Turn, scenario: str) -> None:
        out = self._launcher.folder / f"marked-{link.number}.npy"
        reply = link.ask(
            "run_block",
            timeout_s=OPEN_TIMEOUT_S,
            batch=turn.batch,
            rule=asdict(self._rule(scenario)),
            out=str(out),
            kind=BLOCK_KINDS[scenario],
        )
        rows = np.load(out, allow_pickle=False)
        device = self._launcher.inputs.device
        self._blocks.append(Block(turn, link.number, device, rows, scenario=scenario))
        self._notes[scenario].append(asdict(turn) | {"worker": link.number} | reply)

    def _rule(self, scenario: str) -> BlockRule:
        warmup, config = self._launcher.inputs.config.warmup, self._config
        whole = scenario == PARTS
        return BlockRule(
            requests=config.parts_requests if whole else config.requests,
            seconds=0.0 if whole else config.seconds,
            warm_iterations=warmup.block_iterations,
            warm_seconds=warmup.block_seconds,
        )
