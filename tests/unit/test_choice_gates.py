"""Which jobs of a sweep run first, and which need not run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.sweep_made import (
    REFERENCE,
    MadeJob,
    MadeResults,
    Variant,
    record_job,
    settings,
    with_variant,
)

from trtproof.choice.figures import make_vocabulary
from trtproof.choice.gates import Gates, make_strategy
from trtproof.choice.question import parse_question
from trtproof.errors import ConfigError
from trtproof.sweep.record import Exhaustive, Job, JobRecord, Status

FAST = "onnxruntime-int8"
BASE = MadeJob(
    {REFERENCE: Variant(p50_ms=4.0), FAST: Variant(recipe="int8", drop_pp=0.5)}, streams=(1,)
)
LIMITS = ("p99_ms<=4", "top1_drop_pp<=1")


class Sweep:
    """A sweep of made jobs, run one by one."""

    def __init__(self, jobs: Sequence[MadeJob], limits: Sequence[str] = LIMITS) -> None:
        self.made = jobs
        self.jobs = [
            Job(number=number, overrides=record_job(number, job).overrides)
            for number, job in enumerate(jobs)
        ]
        by_overrides = {job.overrides: made for job, made in zip(self.jobs, jobs, strict=True)}
        question = parse_question("throughput_ips", limits, make_vocabulary(["top1"]))
        self.gates = Gates(
            question,
            results=MadeResults(jobs),
            compose_job=lambda words: yaml.safe_dump(settings(by_overrides[tuple(words)])),
        )

    def run(self) -> dict[int, str | None]:
        """Return why each job was skipped, in the order of running."""
        finished: list[JobRecord] = []
        found: dict[int, str | None] = {}
        for job in self.gates.order(self.jobs):
            why = self.gates.should_skip(job, sorted(finished, key=lambda item: item.number))
            found[job.number] = why
            made = self.made[job.number]
            status = Status.SKIPPED if why else made.status
            finished.append(record_job(job.number, replace(made, status=status)))
        return found


def test_the_lightest_loads_come_first_whatever_the_command_lines_order():
    jobs = [replace(BASE, batches=(size,), streams=(s,)) for size in (8, 1, 4) for s in (2, 1)]
    assert list(Sweep(jobs, ["top1_drop_pp<=1"]).run()) == [3, 2, 5, 4, 1, 0]


def test_every_recipes_accuracy_is_known_before_anything_is_timed_twice():
    fp16 = replace(BASE, variants={REFERENCE: Variant(), "onnxruntime-fp16": Variant("fp32")})
    jobs = [replace(job, batches=(size,)) for job in (BASE, fp16) for size in (1, 2)]
    assert list(Sweep(jobs).run()) == [0, 2, 1, 3]


def test_a_recipe_that_missed_its_accuracy_is_not_timed_again():
    wrong = with_variant(BASE, FAST, drop_pp=3.0)
    jobs = [replace(wrong, batches=(size,)) for size in (1, 2, 4)]
    found = Sweep(jobs).run()
    assert found[0] is None
    assert found[1] == found[2] == "recipe int8 missed top1_drop_pp<=1 in job 0"


def test_another_calibration_is_another_recipe():
    wrong = with_variant(BASE, FAST, drop_pp=3.0)
    assert Sweep([wrong, replace(wrong, method="entropy")]).run() == {0: None, 1: None}


def test_more_threads_do_not_mend_a_recipes_accuracy():
    wrong = with_variant(BASE, FAST, drop_pp=3.0)
    found = Sweep([wrong, with_variant(wrong, FAST, threads=2)]).run()
    assert found[1] is not None


def test_an_undecided_accuracy_skips_nothing():
    unsure = with_variant(BASE, FAST, drop_pp=1.0)
    assert Sweep([replace(unsure, batches=(size,)) for size in (1, 2)]).run() == {0: None, 1: None}


def test_loads_beyond_the_first_that_missed_its_latency_are_skipped():
    # P99 is 1.1 (0.5 + 0.5 batch) (0.5 + 0.5 streams): 4 is broken at batch 8 with one stream
    loads = [(8, 2), (16, 1), (1, 1), (8, 1), (4, 1), (1, 4), (16, 4)]
    jobs = [replace(BASE, batches=(batch,), streams=(streams,)) for batch, streams in loads]
    found = Sweep(jobs).run()
    skipped = {loads[number] for number, why in found.items() if why}
    assert skipped == {(8, 2), (16, 1), (16, 4)}
    assert found[1] is not None
    assert "missed p99_ms<=4 at batch 8 with 1 stream in job 3" in found[1]


def test_a_job_is_skipped_only_where_all_of_its_loads_are_too_heavy():
    jobs = [replace(BASE, batches=(8,)), replace(BASE, batches=(2, 16))]
    assert Sweep(jobs).run() == {0: None, 1: None}


def test_batch_sizes_that_every_job_times_beside_its_grid_keep_no_job_alive():
    def job(batch: int) -> MadeJob:
        grid = {"batches": [batch], "streams": [1], "rounds": 4}
        benchmark = {"profile": "full", "rounds": 8, "batches": [1, 16], "throughput": grid}
        return replace(BASE, batches=(1, 16, batch), extra={"benchmark": benchmark})

    jobs = [job(batch) for batch in (1, 8, 32)]
    assert list(Sweep(jobs).run()) == [0, 1, 2]
    assert Sweep(jobs).run()[1] is None
    assert Sweep(jobs).run()[2] is not None


def test_other_threads_may_be_fast_enough():
    slow = replace(BASE, batches=(8,))
    assert Sweep([slow, with_variant(slow, FAST, threads=2)]).run() == {0: None, 1: None}


def test_a_job_with_one_variant_that_may_pass_runs():
    wrong = with_variant(BASE, FAST, drop_pp=3.0)
    mixed = replace(wrong, variants={**wrong.variants, "onnxruntime-fp32": Variant()})
    found = Sweep([wrong, replace(mixed, batches=(2,))]).run()
    assert found == {0: None, 1: None}


def test_a_failed_job_says_nothing_about_others():
    wrong = with_variant(BASE, FAST, drop_pp=3.0)
    jobs = [replace(wrong, status=Status.FAILED), replace(wrong, batches=(2,))]
    assert Sweep(jobs).run() == {0: None, 1: None}


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([1, 2, 4])),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    st.floats(0.5, 40),
)
def test_what_is_skipped_would_have_missed_its_limit(loads, limit):
    jobs = [replace(BASE, batches=(batch,), streams=(streams,)) for batch, streams in loads]
    found = Sweep(jobs, [f"p99_ms<={limit:g}"]).run()
    for number, why in found.items():
        batch, streams = loads[number]
        p99_ms = 1.1 * (0.5 + 0.5 * batch) * (0.5 + 0.5 * streams)
        assert not why or p99_ms > limit


def test_without_an_objective_every_job_runs_and_constraints_alone_are_refused():
    assert isinstance(make_strategy(None, []), Exhaustive)
    with pytest.raises(ConfigError, match="add what is to be best"):
        make_strategy(None, ["p99_ms<=4"])
