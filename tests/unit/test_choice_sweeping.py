"""A sweep with a question: its strategy, and the last session when its jobs are done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest
from tests.session_made import MadeSession
from tests.sweep_made import REFERENCE, MadeJob, Variant, commit_job, git, record_job, record_sweep

from trtproof.choice import sweeping
from trtproof.choice.gates import Gates
from trtproof.choice.sweeping import run_question
from trtproof.sweep.app import Request
from trtproof.sweep.command import INTERRUPTED
from trtproof.sweep.record import (
    Exhaustive,
    Status,
    Strategy,
    SweepRecord,
    folder,
    write_record,
)

INT8 = "onnxruntime-int8"
JOB = MadeJob({REFERENCE: Variant(p50_ms=4.0), INT8: Variant("int8", drop_pp=0.5)}, ("job",))
SESSION = MadeSession({REFERENCE: 4.0, INT8: 1.0}, windows=8, requests=20)
LIMITS = ("p99_ms<=4",)


@dataclass
class Runs:
    """Takes the place of `run_sweep`: every job ends as the made one does."""

    job: MadeJob = JOB
    codes: Sequence[int] = (0, 0)
    requests: list[Request] = field(default_factory=list)
    strategies: list[Strategy] = field(default_factory=list)

    def __call__(self, request: Request, strategy: Strategy) -> int:
        self.requests.append(request)
        self.strategies.append(strategy)
        name = request.name or request.resume or "made"
        if self.job.status is Status.DONE:
            done = commit_job(0, self.job, name=name)
        else:
            done = record_job(0, self.job)
        job = msgspec.structs.replace(done, overrides=request.cells[0])
        write_record(
            SweepRecord(
                name=name,
                objective=request.objective,
                constraints=request.constraints,
                base="0" * 40,
                sources="1",
                jobs=(job,),
            )
        )
        return self.codes[len(self.requests) - 1]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    commit_job(0, JOB, name="base")
    made = Runs()

    def begin(request: Request, _: object) -> SweepRecord:
        return record_sweep([JOB], request.objective, request.constraints)

    for name, fake in (
        ("run_sweep", made),
        ("open_record", begin),
        ("take_snapshot", lambda: None),
        ("open_session", lambda _: SESSION.make()),
    ):
        monkeypatch.setattr(sweeping, name, fake)
    return made


def ask(objective: str | None = "throughput_ips", limits: Sequence[str] = LIMITS) -> Request:
    return Request((("job",),), objective, tuple(limits), name="made")


def test_without_a_question_there_is_one_sweep_and_no_last_session(runs: Runs) -> None:
    assert run_question(ask(None, ())) == 0
    assert [type(one) for one in runs.strategies] == [Exhaustive]
    assert not (folder("made") / "choice.json").exists()


def test_the_best_are_measured_in_a_sweep_of_their_own_and_the_winner_is_written(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_question(ask()) == 0
    assert [type(one) for one in runs.strategies] == [Gates, Exhaustive]
    last = runs.requests[1]
    assert (last.name or "").startswith("made-final-")
    assert last.cells == (
        (
            "job",
            "benchmark.batches=[1]",
            "benchmark.throughput.batches=[1]",
            "benchmark.throughput.streams=[1,2]",
            "++benchmark.repetition=1",
        ),
    )
    group = json.loads((folder("made") / "choice.json").read_text("utf-8"))["groups"][0]
    assert [item["variant"] for item in group["recommended"]] == [INT8]
    assert "dvc exp apply made-0" in capsys.readouterr().err


def test_a_failure_in_either_sweep_is_the_exit_code(runs: Runs) -> None:
    runs.codes = (1, 0)
    assert run_question(ask()) == 1
    runs.requests.clear()
    runs.codes = (0, 1)
    assert run_question(ask()) == 1


def test_an_interrupted_sweep_has_no_last_session(runs: Runs) -> None:
    runs.codes = (INTERRUPTED,)
    assert run_question(ask()) == INTERRUPTED
    assert len(runs.requests) == 1


def test_where_nothing_may_win_there_is_no_last_session(runs: Runs) -> None:
    assert run_question(ask(limits=["p99_ms<=0.1"])) == 0
    assert len(runs.requests) == 1
    group = json.loads((folder("made") / "choice.json").read_text("utf-8"))["groups"][0]
    assert group["verdict"].startswith("no winner: every configuration")


def test_a_sweep_of_which_no_job_is_done_says_so_and_keeps_its_code(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.job, runs.codes = replace(JOB, status=Status.FAILED, reason="no memory"), (1,)
    assert run_question(ask()) == 1
    assert "no job is done, so that nothing can be chosen" in capsys.readouterr().err
