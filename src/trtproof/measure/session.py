"""The latency scenario: sessions of workers, their rounds, and when there are enough of them.

The orchestrator is not timed. All workers live while their session does, but only one of them works
at a time. No worker outlives this module's functions: leaving them ends every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Final

from trtproof import progress
from trtproof.cores import usable_cores
from trtproof.measure.answers import check_answers, collect_evaluated
from trtproof.measure.budget import plan_blocks, plan_warmup
from trtproof.measure.clock import Clock
from trtproof.measure.figures import find_widths
from trtproof.measure.launch import OPEN_TIMEOUT_S, Launcher, Links
from trtproof.measure.loop import BlockRule, WarmupRule
from trtproof.measure.machine import MachineState
from trtproof.measure.rounds import LEAST_TIMEOUT_S, SLOWNESS, Budget, RoundRunner, SessionRecord
from trtproof.measure.samples import make_samples
from trtproof.measure.schedule import list_sessions
from trtproof.measure.stopping import Extension, StopRule, decide_extension

BUSY_LOAD_PER_CORE: Final = 0.5
HARNESS_RULE: Final = BlockRule(requests=2000, seconds=0.0, warm_iterations=500, warm_seconds=0.0)


def run_sessions(launcher: Launcher, *, reference: str, clock: Clock) -> SessionRecord:
    """Run the whole schedule, and more of it while intervals are too wide.

    Raises:
        BackendError: a worker reports an error, crashes or hangs, or a plan answers otherwise than
            it was evaluated.
    """
    run = _Run(launcher, clock)
    config = launcher.inputs.config
    planned = list_sessions(config.rounds, config.restart_every_rounds)
    for number, slots in enumerate(planned):
        run.run_session(slots, later=planned[number + 1 :])
    slots_count = config.rounds
    while (step := run.decide_extension(reference, slots_count)).rounds_count:
        run.run_session(range(slots_count, slots_count + step.rounds_count), later=[])
        slots_count += step.rounds_count
    return run.record


def say_if_busy(state: MachineState) -> None:
    """Warn where others keep the machine busy before anything of ours runs."""
    if state.gpu and state.gpu.others_count:
        progress.note(
            f"{state.gpu.others_count} other process(es) are on this GPU: rounds in which they use "
            "it are left out by what the driver says (`nvidia-smi` names them)"
        )
    cores = len(usable_cores())
    if state.load_1min is not None and state.load_1min > BUSY_LOAD_PER_CORE * cores:
        progress.note(
            f"this machine is busy (load {state.load_1min:.1f} on {cores} cores): figures will be "
            "less certain; rounds that others disturb are left out by what the counters say"
        )


class _Run:
    """What lasts over the sessions of one run."""

    def __init__(self, launcher: Launcher, clock: Clock) -> None:
        self.record = SessionRecord()
        self._launcher = launcher
        self._config = launcher.inputs.config
        self._clock = clock
        self.record.start = launcher.inputs.read_state()
        gpu = launcher.inputs.gpu
        self.record.gpu = dict(gpu.facts) if gpu else None
        say_if_busy(self.record.start)
        self.record.evaluated = collect_evaluated(launcher)
        self._deadline_ns = clock.now_ns() + int(self._config.max_minutes * 60e9)
        self._sessions_count = 0
        self._setup_ns = 0

    def run_session(self, slots: range, *, later: Sequence[range]) -> None:
        """Start workers, measure these places of the schedule, and end the workers."""
        number, self._sessions_count = self._sessions_count, self._sessions_count + 1
        begun_ns = self._clock.now_ns()
        with ExitStack() as stack:
            links, notes = self._launcher.start_open(self._launcher.inputs.contenders, stack)
            self._check(links)
            if number == 0:
                self._time_harness(links)
            medians_s = self._warm_up(links, notes)
            self._setup_ns = max(self._setup_ns, self._clock.now_ns() - begun_ns)
            budget = Budget(
                clock=self._clock,
                deadline_ns=self._deadline_ns - self._setup_ns * len(later),
                rounds_left=len(slots) + sum(map(len, later)),
            )
            if self.record.plan is None:
                left_s = budget.left_ns() / 1e9
                self.record.plan = plan_blocks(self._config, medians_s, available_s=left_s)
            runner = RoundRunner(
                self._launcher, links, self.record, plan=self.record.plan, budget=budget
            )
            for slot in progress.track(slots, title="benchmark, rounds", total=len(slots)):
                runner.run_slot(number, slot)
            runner.rerun_disturbed(number)

    def decide_extension(self, reference: str, slots_count: int) -> Extension:
        """Return whether rounds are added, and note why; by widths and the budget alone."""
        left_out = self.record.select(self._config.disturbance).left_out
        samples = make_samples(self.record.blocks, left_out=left_out)
        rule = StopRule(most_rounds=self._config.most_rounds)
        last = [item.elapsed_ns for item in self.record.rounds[-rule.step_rounds :]]
        step_ns = self._setup_ns + rule.step_rounds * sum(last) / len(last)
        decided = decide_extension(
            find_widths(samples, self._config.figures, reference=reference),
            rule,
            rounds_done=slots_count,
            seconds_left=(self._deadline_ns - self._clock.now_ns()) / 1e9,
            seconds_per_step=step_ns / 1e9,
        )
        self.record.steps.append({"rounds_done": slots_count} | asdict(decided))
        return decided

    def _check(self, links: Links) -> None:
        """Compare the answers of these workers with the evaluated ones, before they are timed.

        Every generation of workers loads its plans anew; the worst of all is recorded.
        """
        outputs, errors = check_answers(self._launcher, links, self.record.evaluated)
        self.record.outputs = self.record.outputs or outputs
        for name, found in errors.items():
            worst = self.record.answer_errors.setdefault(name, found)
            self.record.answer_errors[name] = {
                output: max(error, worst[output]) for output, error in found.items()
            }

    def _time_harness(self, links: Links) -> None:
        """Time requests that do nothing."""
        first = next(iter(links.values()))
        self.record.harness = first.ask(
            "time_harness", timeout_s=LEAST_TIMEOUT_S, rule=asdict(HARNESS_RULE)
        )

    def _warm_up(
        self, links: Links, notes: Sequence[dict[str, Any]]
    ) -> dict[tuple[str, int], float]:
        """Return the seconds of one request by contender and batch after warming up all of them."""
        planned = len(list_sessions(self._config.rounds, self._config.restart_every_rounds))
        rule: WarmupRule = plan_warmup(self._config, contenders=len(links), sessions=planned)
        by_name = {note["contender"]: note | {"warmup": {}} for note in notes}
        self.record.workers += by_name.values()
        medians_s: dict[tuple[str, int], float] = {}
        todo = [(link, batch) for batch in self._config.batches for link in links.values()]
        for link, batch in progress.track(todo, title="warming up", total=len(todo)):
            timeout_s = OPEN_TIMEOUT_S + SLOWNESS * rule.cap_seconds
            reply = link.ask("warm_up", timeout_s=timeout_s, batch=batch, rule=asdict(rule))
            by_name[link.contender.name]["facts"] = reply.pop("facts")
            by_name[link.contender.name]["warmup"][str(batch)] = reply
            medians_s[link.contender.name, batch] = reply["median_ns"] / 1e9
        return medians_s
