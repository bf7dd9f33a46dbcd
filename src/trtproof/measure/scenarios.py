"""What is measured beside latency: device time, throughput, cold start, one variant for long.

Each scenario starts its own workers, one session each, and only one worker works at a time. What
disturbs a throughput pass leaves it out (load_passes.py); cold starts and sustained load are single
measurements, whose machine state and causes are recorded beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np

from trtproof import progress
from trtproof.benchmark_config import (
    ColdConfig,
    DeviceConfig,
    EnergyConfig,
    SustainedConfig,
    ThroughputConfig,
    TrtexecConfig,
)
from trtproof.measure.answers import check_answers, refuse_other_answers, relative_error
from trtproof.measure.budget import FEWEST_REQUESTS
from trtproof.measure.clock import Clock
from trtproof.measure.device_rounds import run_device_rounds
from trtproof.measure.disturbed import Cause, RoundEvidence, find_causes
from trtproof.measure.energy import measure_energy
from trtproof.measure.launch import OPEN_TIMEOUT_S, Launcher
from trtproof.measure.link import Contender, WorkerLink
from trtproof.measure.load_passes import (
    Load,
    choose_passes,
    find_load_causes,
    list_loads,
    mark_blocks,
    mark_notes,
)
from trtproof.measure.loop import BlockRule, WarmupRule
from trtproof.measure.machine import compare_states
from trtproof.measure.memory_ledger import measure_memory
from trtproof.measure.rounds import SLOWNESS, describe_gpu, make_rule
from trtproof.measure.samples import (
    COLD,
    DEVICE,
    ENERGY,
    MEMORY,
    ON_GPU_ONLY,
    OUT_OF_TIME,
    PARTS,
    SUSTAINED,
    THROUGHPUT,
    TRTEXEC,
    Block,
)
from trtproof.measure.schedule import Turn, order_round
from trtproof.measure.streams import StreamRule
from trtproof.measure.trtexec_rounds import run_trtexec
from trtproof.tensor import Array, Feeds

NS_PER_S: Final = 1e9


@dataclass
class ScenarioRecord:
    """What the scenarios gave: samples, and by scenario what run.json says of it."""

    blocks: list[Block] = field(default_factory=list)
    notes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def run_scenarios(
    launcher: Launcher, *, clock: Clock, evaluated: Mapping[str, Feeds]
) -> ScenarioRecord:
    """Run the configured scenarios; the one that heats the machine comes last.

    None starts once benchmark.scenario_minutes are over; its note then says so.

    Args:
        launcher: starts the workers.
        clock: of the orchestrator.
        evaluated: variant -> its answers to every item (answers.collect_evaluated).

    Raises:
        BackendError: a worker reports an error, crashes or hangs, or a plan answers otherwise than
            it was evaluated.
    """
    record = ScenarioRecord()
    runner = _ScenarioRunner(launcher, record, clock, evaluated)
    minutes, begun_ns = launcher.inputs.config.scenario_minutes, clock.now_ns()
    for names, run in runner.list_wanted():
        over = minutes is not None and clock.now_ns() - begun_ns >= minutes * 60 * NS_PER_S
        if over and not (launcher.inputs.gpu is None and ON_GPU_ONLY.issuperset(names)):
            reason = f"benchmark.scenario_minutes ({minutes:g}) were over before it could start"
            progress.note(f"left out: {', '.join(names)}; {reason}")
            record.notes |= {name: [{"code": OUT_OF_TIME, "reason": reason}] for name in names}
        else:
            run()
    return record


class _ScenarioRunner:
    """Run scenarios one after the other; each returns its notes and adds its blocks."""

    def __init__(
        self,
        launcher: Launcher,
        record: ScenarioRecord,
        clock: Clock,
        evaluated: Mapping[str, Feeds],
    ) -> None:
        self._launcher = launcher
        self._record = record
        self._clock = clock
        self._evaluated = evaluated
        self._rule = make_rule(launcher.inputs.config.disturbance)
        self._read_machine = launcher.inputs.read_state

    def list_wanted(self) -> Iterator[tuple[Sequence[str], Callable[[], None]]]:
        """Yield the configured scenarios in their order: their names in run.json, and the call."""
        config = self._launcher.inputs.config
        if config.device:
            yield (DEVICE, PARTS), partial(self._run_device, config.device)
        if config.throughput:
            yield (THROUGHPUT,), partial(self._run_throughput, config.throughput)
        if config.cold:
            yield (COLD,), partial(self._run_cold, config.cold)
        if config.memory_ledger:
            yield (MEMORY,), self._run_memory
        if config.energy:
            yield (ENERGY,), partial(self._run_energy, config.energy)
        if config.trtexec:
            yield (TRTEXEC,), partial(self._run_trtexec, config.trtexec)
        if config.sustained:
            yield (SUSTAINED,), partial(self._run_sustained, config.sustained)

    def _run_device(self, config: DeviceConfig) -> None:
        blocks, notes = run_device_rounds(self._launcher, config, self._evaluated)
        self._record.blocks += blocks
        self._record.notes |= notes

    def _run_memory(self) -> None:
        self._record.notes[MEMORY] = measure_memory(self._launcher)

    def _run_energy(self, config: EnergyConfig) -> None:
        self._record.notes[ENERGY] = measure_energy(self._launcher, config)

    def _run_trtexec(self, config: TrtexecConfig) -> None:
        timed = run_trtexec(self._launcher, config, self._evaluated)
        self._record.blocks += timed.blocks
        self._record.notes[TRTEXEC] = timed.notes

    def _run_throughput(self, config: ThroughputConfig) -> None:
        """Measure every contender under every load, in mirrored rounds, the reference twice."""
        loads = list_loads(config)
        rule = StreamRule(warm_seconds=config.warm_seconds, seconds=config.seconds)
        causes: dict[Load, Sequence[Cause]] = {}
        notes: list[dict[str, Any]] = []
        blocks: list[Block] = []
        with ExitStack() as stack:
            links, _ = self._launcher.start_open(self._launcher.inputs.contenders, stack)
            for load in progress.track(loads, title="benchmark, throughput", total=len(loads)):
                before = self._read_machine()
                for position, name in enumerate(order_round(list(links), load.round)):
                    turn = Turn(0, load.round, position, load.batch, name)
                    note, windows = self._run_window(links[name], turn, load.streams, rule)
                    notes.append(note)
                    blocks += windows
                evidence = compare_states(before, self._read_machine())
                causes[load] = find_load_causes(evidence, self._rule)
        left_out, mostly = choose_passes(causes, self._rule)
        self._record.blocks += mark_blocks(blocks, left_out)
        self._record.notes[THROUGHPUT] = mark_notes(notes, causes, left_out, mostly)

    def _run_cold(self, config: ColdConfig) -> None:
        """Start every variant in fresh processes, in mirrored rounds, up to its first answer."""
        variants = self._launcher.inputs.variants
        turns = [
            (number, position, contender)
            for number in range(config.processes)
            for position, contender in enumerate(order_round(variants, number))
        ]
        self._record.notes[COLD] = [
            self._start_cold(number, position, contender)
            for number, position, contender in progress.track(
                turns, title="benchmark, cold starts", total=len(turns)
            )
        ]

    def _run_sustained(self, config: SustainedConfig) -> None:
        """Run one variant at a time, alone on the machine, for long, then measure a block."""
        variants = self._launcher.inputs.variants
        notes: list[dict[str, Any]] = []
        for contender in progress.track(
            variants, title="benchmark, sustained", total=len(variants)
        ):
            with self._launcher.start(contender) as link:
                self._launcher.open(link)
                check_answers(self._launcher, {contender.name: link}, self._evaluated)
                notes += [self._sustain(link, batch, config) for batch in config.batches]
        self._record.notes[SUSTAINED] = notes

    def _run_window(
        self, link: WorkerLink, turn: Turn, streams: int, rule: StreamRule
    ) -> tuple[dict[str, Any], list[Block]]:
        """Return what is to be said of one window, and the requests of every stream."""
        out = self._launcher.folder / f"streams-{link.number}.npz"
        request = {"batch": turn.batch, "streams": streams, "rule": asdict(rule), "out": str(out)}
        reply = self._watch(link, "run_streams", request)
        blocks = []
        with np.load(out, allow_pickle=False) as stored:
            for stream in range(streams):
                block = self._block(turn, link, stored[str(stream)], THROUGHPUT)
                blocks.append(replace(block, streams=streams, stream=stream))
                self._check_last(link.contender, blocks[-1], stored)
        rate = reply["completed_count"] * turn.batch * NS_PER_S / reply["window_ns"]
        note = {"worker": link.number, "streams": streams, "samples_per_s": rate}
        return asdict(turn) | note | reply, blocks

    def _check_last(self, contender: Contender, block: Block, stored: Mapping[str, Array]) -> None:
        """Compare what a stream answered last, with the others at work, with the evaluated ones.

        Raises:
            BackendError: it is further away than benchmark.answer_tolerance.
        """
        errors = {}
        for place, (name, expected) in enumerate(self._evaluated[contender.variant].items()):
            item = (block.stream + len(block.rows) - 1) % len(expected)
            answer = stored[f"{block.stream}.{place}"]
            errors[name] = relative_error(np.roll(expected, -item, axis=0), [answer])
        refuse_other_answers(
            errors,
            f"{contender.name}, stream {block.stream + 1} of {block.streams},",
            block.turn.batch,
            tolerance=self._launcher.inputs.config.answer_tolerance,
        )

    def _start_cold(self, number: int, position: int, contender: Contender) -> dict[str, Any]:
        """Return the phases of one process; `rest_ns` is what lies between them."""
        batch = max(self._launcher.inputs.config.batches[0], contender.least_batch)
        turn = Turn(number, number, position, batch, contender.name)
        begun_ns = self._clock.now_ns()
        with self._launcher.start(contender) as link:
            opened = self._launcher.open(link)
            answered = link.ask("answer_first", timeout_s=OPEN_TIMEOUT_S, batch=batch)
        total_ns = answered["end_ns"] - begun_ns
        phases = {
            "process_ns": opened["born_ns"] - begun_ns,
            "import_ns": opened["import_ns"],
            "open_ns": opened["open_ns"],
            "first_ns": answered["first_ns"],
        }
        if opened["context_ns"] is not None:
            phases["context_ns"] = opened["context_ns"]
        rows = np.array([(1, begun_ns, total_ns, answered["cpu_ns"])], dtype=np.int64)
        self._record.blocks.append(self._block(turn, link, rows, COLD))
        rest = {"rest_ns": total_ns - sum(phases.values()), "total_ns": total_ns}
        return asdict(turn) | {"worker": link.number} | phases | rest

    def _sustain(self, link: WorkerLink, batch: int, config: SustainedConfig) -> dict[str, Any]:
        """Return how one variant settled, and measure it."""
        turn = Turn(0, 0, 0, batch, link.contender.name)
        settle = WarmupRule(config.seconds, config.cap_seconds, iterations=1)
        timeout_s = OPEN_TIMEOUT_S + SLOWNESS * config.cap_seconds
        settled = link.ask("warm_up", timeout_s=timeout_s, batch=batch, rule=asdict(settle))
        settled.pop("facts")
        out = self._launcher.folder / f"sustained-{link.number}.npy"
        rule = BlockRule(FEWEST_REQUESTS, config.block_seconds, warm_iterations=0, warm_seconds=0.0)
        request = {"batch": batch, "rule": asdict(rule), "out": str(out)}
        reply = self._watch(link, "run_block", request)
        causes = find_causes(RoundEvidence(**reply["machine"]["evidence"]), self._rule)
        rows = np.load(out, allow_pickle=False)
        self._record.blocks.append(self._block(turn, link, rows, SUSTAINED))
        note = {
            "worker": link.number,
            "settled": settled,
            "causes": [cause.name.lower() for cause in causes],
        }
        return asdict(turn) | note | reply

    def _watch(self, link: WorkerLink, command: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return a worker's reply, with what the machine's counters say of the time it took."""
        before = self._read_machine()
        reply = link.ask(command, timeout_s=OPEN_TIMEOUT_S, **request)
        after = self._read_machine()
        evidence = asdict(compare_states(before, after))
        state: dict[str, Any] = {
            "load_1min": after.load_1min,
            "frequency_mhz": after.frequency_mhz,
            "gpu": describe_gpu(before, after),
        }
        return reply | {"machine": state | {"evidence": evidence}}

    def _block(self, turn: Turn, link: WorkerLink, rows: Array, scenario: str) -> Block:
        device = self._launcher.inputs.device
        return Block(turn, worker=link.number, device=device, rows=rows, scenario=scenario)
