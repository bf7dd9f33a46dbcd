"""A sweep from its request to its exit code, with planning, git and DVC replaced."""

from __future__ import annotations

import fcntl
from pathlib import Path, PurePosixPath

import pytest

from trtproof.config import load_params
from trtproof.errors import InputError
from trtproof.sweep import command, messages, opening
from trtproof.sweep.app import Request
from trtproof.sweep.command import INTERRUPTED, run_sweep
from trtproof.sweep.experiment import Order, Outcome
from trtproof.sweep.plan import Plan
from trtproof.sweep.record import Exhaustive, Job, folder, read_record
from trtproof.sweep.snapshot import Snapshot

PROJECT = Path(__file__).parents[2]
CELLS = (("x=0",), ("x=1",), ("x=2",))
REQUEST = Request(cells=CELLS, name="grid")


class World:
    """What a sweep meets: DVC's experiments, and what becomes of each job."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.failing: set[str] = set()
        self.ran: list[str] = []
        self.wrong: dict[tuple[str, ...], str] = {}

    def run(self, processes, order: Order, **_) -> Outcome:
        self.ran.append(order.name)
        if "interrupt" in self.failing:
            raise KeyboardInterrupt
        if order.name in self.failing:
            return Outcome(1.0, reason="planted")
        self.experiments[order.name] = f"commit of {order.name}"
        return Outcome(1.0, revision=self.experiments[order.name])


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    params = load_params(PROJECT / "params.yaml")
    made = World()
    snapshot = Snapshot(tmp_path, PurePosixPath(), "b", "b", "s", frozenset(), ("conf/a.yaml",))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "take_snapshot", lambda: snapshot)
    monkeypatch.setattr(opening, "experiments", lambda base: dict(made.experiments))
    monkeypatch.setattr(messages, "compose", lambda: "")

    def plan(job: Job) -> Plan | str:
        return made.wrong.get(job.overrides) or Plan(job, "text", params)

    for name, stand_in in {
        "plan_job": plan,
        "job_files": lambda params: [],
        "own_files": list,
        "require_tracked": lambda *_: None,
        "find_uuids": lambda targets: [],
        "hold": Held,
        "make_clone": lambda snapshot, base, place: place.mkdir(parents=True),
        "run_experiment": made.run,
    }.items():
        monkeypatch.setattr(command, name, stand_in)
    return made


class Held:
    """A device that nobody else wants."""

    def __init__(self, device: str, *, give_up) -> None:
        self.given_up = give_up()

    def __enter__(self) -> bool:
        return not self.given_up

    def __exit__(self, *_) -> None:
        return None


def statuses() -> list[str]:
    return [job.status.value for job in read_record("grid").jobs]


def test_a_failure_is_in_the_exit_code_and_only_it_runs_again(world, capsys) -> None:
    world.failing = {"grid-1"}
    assert run_sweep(REQUEST, Exhaustive()) == 1
    assert statuses() == ["done", "failed", "done"]
    said = capsys.readouterr().err
    assert "[2/3] x=1: failed: planted (artifacts/sweeps/grid/logs/1.log)" in said
    assert "conf/a.yaml" in said
    assert "params.yaml is not what conf/ composes to" in said

    world.failing, world.ran = set(), []
    assert run_sweep(Request(cells=((),), resume="grid"), Exhaustive()) == 0
    assert world.ran == ["grid-1"]
    assert statuses() == ["done", "done", "done"]

    world.ran = []
    assert run_sweep(REQUEST, Exhaustive()) == 0
    assert world.ran == []


def test_wrong_settings_of_one_job_are_recorded_and_the_others_run(world) -> None:
    world.wrong = {("x=0",): "x: wrong; correct it"}
    assert run_sweep(REQUEST, Exhaustive()) == 1
    assert world.ran == ["grid-1", "grid-2"]
    assert read_record("grid").jobs[0].reason == "x: wrong; correct it"


def test_an_interrupt_says_how_to_go_on(world, capsys) -> None:
    world.failing = {"interrupt"}
    assert run_sweep(REQUEST, Exhaustive()) == INTERRUPTED
    assert statuses() == ["missing"] * 3
    assert "sweep.resume=grid" in capsys.readouterr().err
    assert not list(Path(".dvc/tmp/trtproof/sweeps").iterdir())


def test_another_question_about_done_jobs_is_recorded(world) -> None:
    run_sweep(REQUEST, Exhaustive())
    asked = Request(CELLS, "throughput_ips", ("p99_ms<=4",), "grid")
    assert run_sweep(asked, Exhaustive()) == 0
    assert read_record("grid").constraints == ("p99_ms<=4",)


def test_a_second_command_on_one_sweep_is_refused(world) -> None:
    run_sweep(REQUEST, Exhaustive())
    with (folder("grid") / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="being run by another command"):
            run_sweep(REQUEST, Exhaustive())


def test_untracked_files_stop_it_before_anything_is_written(world, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise InputError("git add it")  # noqa: EM101

    monkeypatch.setattr(command, "require_tracked", refuse)
    with pytest.raises(InputError, match="git add it"):
        run_sweep(REQUEST, Exhaustive())
    assert world.ran == []
    assert not (folder("grid") / "sweep.json").exists()
