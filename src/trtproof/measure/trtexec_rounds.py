"""The scenario trtexec: every variant by trtexec's own protocols, one after the other.

No rounds and no second run of the reference: trtexec has none, so these figures have no interval
and no ratio. They are for comparing with what trtexec says of the same protocol. What a variant
cannot do of a protocol is noted with the reason instead of being timed otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from trtproof import progress
from trtproof.benchmark_config import TrtexecConfig
from trtproof.measure.answers import check_answers
from trtproof.measure.disturbed import RoundEvidence, find_causes
from trtproof.measure.launch import OPEN_TIMEOUT_S, Launcher
from trtproof.measure.link import Contender, WorkerLink
from trtproof.measure.machine import compare_states
from trtproof.measure.rounds import SLOWNESS, make_rule
from trtproof.measure.samples import TRTEXEC, Block
from trtproof.measure.schedule import Turn
from trtproof.measure.trtexec_loop import ProtocolRule
from trtproof.measure.trtexec_switches import DEFAULTS, Protocol, Switches
from trtproof.tensor import Feeds

HOST: Final = "cpu"
NO_EVENTS: Final = "it runs on the CPU, which has neither copies nor events"
NOT_CAPTURED: Final = "its launches could not be captured in a CUDA graph"
NOT_MARKED: Final = "its runner gives no times of the device"
NS_PER_MS: Final = 1e6

Note = dict[str, Any]


@dataclass
class TrtexecRecord:
    """Blocks of what was measured, and one note per protocol, variant and batch, measured or not.

    A note without `reason` was measured.
    """

    blocks: list[Block] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def run_trtexec(
    launcher: Launcher, config: TrtexecConfig, evaluated: Mapping[str, Feeds]
) -> TrtexecRecord:
    """Run every protocol over every variant.

    Raises:
        BackendError: a worker reports an error, crashes or hangs, or a plan answers otherwise than
            it was evaluated.
    """
    record = TrtexecRecord()
    todo = [
        (protocol, contender)
        for protocol in config.protocols
        for contender in launcher.inputs.variants
    ]
    for protocol, contender in progress.track(
        todo, title="benchmark, trtexec's protocols", total=len(todo)
    ):
        _Run(launcher, config, protocol, record).run(contender, evaluated)
    return record


def why_not(protocol: Protocol, switches: Switches, contender: Contender) -> str | None:
    """Return why a contender cannot be timed by a protocol, or None where it can."""
    options = contender.options
    if options.device == HOST:
        return NO_EVENTS
    if switches.cuda_graph and not options.cuda_graph:
        return f"{protocol} replays a CUDA graph, and its run.cuda_graph is false"
    if options.cuda_graph and not switches.cuda_graph:
        return f"{protocol} launches without a CUDA graph, and its run.cuda_graph is true"
    return None


@dataclass(frozen=True)
class _Run:
    """One protocol."""

    launcher: Launcher
    config: TrtexecConfig
    protocol: Protocol
    record: TrtexecRecord

    def run(self, contender: Contender, evaluated: Mapping[str, Feeds]) -> None:
        """Time one variant at every batch size, or note why not."""
        reason = why_not(self.protocol, DEFAULTS[self.protocol], contender)
        if reason is not None:
            self.record.notes += [
                self._head(contender, batch) | {"reason": reason}
                for batch in self.launcher.inputs.config.batches
            ]
            return
        marked = replace(contender, options=replace(contender.options, parts=True))
        with self.launcher.start(marked) as link:
            self.launcher.open(link)
            links = {contender.name: link}
            check_answers(self.launcher, links, evaluated)
            for batch in self.launcher.inputs.config.batches:
                self._time(link, batch)

    def _time(self, link: WorkerLink, batch: int) -> None:
        out = self.launcher.folder / f"trtexec-{link.number}.npy"
        read_machine, rule = self.launcher.inputs.read_machine, self._rule()
        timeout_s = OPEN_TIMEOUT_S + SLOWNESS * (rule.seconds + rule.warm_up_ms / 1e3)
        before = read_machine()
        reply = link.ask(
            "run_protocol", timeout_s=timeout_s, batch=batch, rule=asdict(rule), out=str(out)
        )
        evidence = compare_states(before, read_machine())
        note = self._head(link.contender, batch) | {"worker": link.number}
        reason = _why_void(reply, self._switches)
        if reason is not None:
            self.record.notes.append(note | {"reason": reason})
            return
        rows = np.load(out, allow_pickle=False)
        counted = int(rows[:, 0].sum())
        turn = Turn(0, 0, 0, batch, link.contender.name)
        device = self.launcher.inputs.device
        block = Block(turn, link.number, device, rows, scenario=TRTEXEC, protocol=self.protocol)
        self.record.blocks.append(block)
        disturbance = make_rule(self.launcher.inputs.config.disturbance)
        causes = find_causes(RoundEvidence(**asdict(evidence)), disturbance)
        self.record.notes.append(
            note
            | {
                "queries_count": counted,
                "warm_up_count": len(rows) - counted,
                "wall_ns": reply["wall_ns"],
                "causes": [cause.name.lower() for cause in causes],
            }
        )

    @property
    def _switches(self) -> Switches:
        return DEFAULTS[self.protocol]

    def _rule(self) -> ProtocolRule:
        return ProtocolRule(
            data_transfers=self._switches.data_transfers,
            spin_wait=self._switches.spin_wait,
            warm_up_ms=self.config.warm_up_ms,
            seconds=self.config.seconds,
            iterations=self.config.iterations,
        )

    def _head(self, contender: Contender, batch: int) -> Note:
        return {
            "contender": contender.name,
            "batch": batch,
            "protocol": self.protocol,
            "switches": asdict(self._switches),
            "rule": asdict(self._rule()),
        }


def _why_void(reply: Mapping[str, Any], switches: Switches) -> str | None:
    """Return why what was timed is not what the protocol times, or None."""
    facts = reply["facts"]
    if switches.cuda_graph and facts.get("cuda_graph_captured") != 1:
        failures = facts.get("cuda_graph_failures") or [facts.get("cuda_graph_failure")]
        why = "; ".join(str(failure) for failure in failures if failure)
        return f"{NOT_CAPTURED}: {why}" if why else NOT_CAPTURED
    return None if reply["is_marked"] else NOT_MARKED
