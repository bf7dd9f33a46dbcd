"""Who wins the last session, and when nobody may be named alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.session_made import MadeSession
from tests.sweep_made import REFERENCE, MadeJob, MadeResults, Variant, make_result, record_sweep

from trtproof.choice.cells import Cell
from trtproof.choice.choose import choose
from trtproof.choice.duel import Duel, settle
from trtproof.choice.figures import make_vocabulary
from trtproof.choice.finals import plan_final
from trtproof.choice.question import Question, parse_question
from trtproof.choice.winner import Winner, find_winner
from trtproof.measure.samples import OUT_OF_TIME, THROUGHPUT
from trtproof.measure.verdict import Word

WORDS = make_vocabulary(["top1"])
A, B = "onnxruntime-int8", "onnxruntime-fp32"
JOB = MadeJob(
    {REFERENCE: Variant(p50_ms=4.0), A: Variant("int8", p50_ms=1.0), B: Variant(p50_ms=1.2)},
    batches=(1,),
    streams=(1, 2),
)
CLEAR = MadeSession({REFERENCE: 4.0, A: 1.0, B: 1.2})
EQUAL = MadeSession({REFERENCE: 4.0, A: 1.0, B: 1.001})


def duel(made: MadeSession, figure: str, *, streams: int = 1, first: str = A) -> Duel:
    result = make_result(0, JOB)
    cells = [Cell(result, name, 1, streams) for name in (first, B if first == A else A)]
    return settle(cells[0], cells[1], WORDS.figures[figure], made.make())


def question(*limits: str, objective: str = "throughput_ips") -> Question:
    return parse_question(objective, limits, WORDS)


def won(made: MadeSession, asked: Question, job: MadeJob = JOB, final: MadeJob = JOB) -> Winner:
    plan = plan_final(choose(record_sweep([job]), asked, MadeResults([job])).groups[0])
    assert plan is not None
    return find_winner(plan, asked, make_result(7, final), lambda _: made.make())


@pytest.mark.parametrize(("figure", "streams"), [("throughput_ips", 1), ("throughput_ips", 2)])
def test_a_twentieth_more_throughput_is_clear_and_its_ratio_is_told(figure, streams):
    found = duel(CLEAR, figure, streams=streams)
    assert found.is_clear
    assert found.ratio == pytest.approx(1.2, rel=0.01)
    assert found.bounds is not None
    assert found.bounds[0] < 1.2 < found.bounds[1] + 0.01


@pytest.mark.parametrize(("figure", "streams"), [("p50_ms", 1), ("p50_ms", 2), ("p99_ms", 2)])
def test_less_latency_is_clear_with_one_stream_and_with_several(figure, streams):
    found = duel(CLEAR, figure, streams=streams)
    assert found.is_clear
    assert found.ratio == pytest.approx(1.2, rel=0.02)


def test_the_slower_one_is_never_clear():
    assert duel(CLEAR, "throughput_ips", first=B).word is Word.SLOWER
    assert duel(CLEAR, "p50_ms", first=B).word is Word.SLOWER


@pytest.mark.parametrize("figure", ["throughput_ips", "p50_ms"])
@pytest.mark.parametrize("streams", [1, 2])
def test_a_thousandth_is_no_difference(figure, streams):
    assert not duel(EQUAL, figure, streams=streams).is_clear


def test_a_noisy_session_finds_nothing():
    noisy = replace(CLEAR, noise=0.3)
    assert not duel(noisy, "throughput_ips", streams=2).is_clear
    assert not duel(noisy, "p50_ms").is_clear


def test_a_disturbed_session_and_too_few_windows_decide_nothing():
    assert not duel(replace(CLEAR, mostly_disturbed=True), "p50_ms").is_clear
    assert not duel(replace(CLEAR, windows=1), "throughput_ips", streams=2).is_clear
    none = duel(replace(CLEAR, windows=0), "throughput_ips", streams=2)
    assert none.reason == "no round or window that both have"


def test_a_session_without_its_throughput_says_why():
    session = CLEAR.make()
    reason = "benchmark.scenario_minutes (1) were over before it could start"
    for scenarios, why in (
        ({THROUGHPUT: [{"code": OUT_OF_TIME, "reason": reason}]}, reason),
        ({}, "profile full leaves it out (benchmark.throughput is null)"),
    ):
        cells = [Cell(make_result(0, JOB), name, 1, 2) for name in (A, B)]
        short = replace(session, record=dict(session.record) | {"scenarios": scenarios})
        found = settle(cells[0], cells[1], WORDS.figures["throughput_ips"], short)
        assert (found.word, found.reason) == (Word.INCONCLUSIVE, why)


def test_sizes_are_compared_by_what_they_are():
    job = replace(JOB, variants={**JOB.variants, A: Variant("int8", plan_mib=1.0)})
    cells = [Cell(make_result(0, job), name, 1, 1) for name in (A, B)]
    found = settle(cells[0], cells[1], WORDS.figures["plan_mib"], CLEAR.make())
    assert found.is_clear
    same = settle(cells[0], replace(cells[0]), WORDS.figures["plan_mib"], CLEAR.make())
    assert same.word is Word.SAME
    scores = settle(cells[0], cells[1], WORDS.figures["top1_drop_pp"], CLEAR.make())
    assert scores.word is Word.INCONCLUSIVE


def test_a_clear_winner_is_named_alone():
    found = won(replace(CLEAR, windows=8), question("p99_ms<=1.2"))
    assert [(cell.variant, cell.streams) for cell in found.best] == [(A, 1)]
    assert found.verdict == f"{A}, batch 1, 1 stream"


def test_without_a_clear_difference_both_are_named():
    close = replace(JOB, variants={**JOB.variants, B: Variant(p50_ms=1.001)})
    found = won(EQUAL, question("p99_ms<=1.2"), close, close)
    assert found.verdict == (
        f"{A}, batch 1, 1 stream or {B}, batch 1, 1 stream: no difference found"
    )
    assert not found.is_clear


def test_only_the_last_session_decides_who_keeps_the_constraints():
    slower = {**JOB.variants, A: Variant("int8", p50_ms=1.5)}
    found = won(CLEAR, question("p99_ms<=1.4"), final=replace(JOB, variants=slower))
    assert [cell.variant for cell in found.best] == [B]
    none = won(CLEAR, question("p99_ms<=1.2"), final=replace(JOB, variants=slower))
    assert none.best == ()
    assert none.verdict.startswith("no winner: none of the finalists kept every constraint")


def test_who_is_undecided_in_the_last_session_cannot_win():
    unsure = {**JOB.variants, A: Variant("int8", p50_ms=1.0)}
    found = won(CLEAR, question("p99_ms<=1.105"), final=replace(JOB, variants=unsure))
    assert {item.cell.variant: item.word for item in found.judged}[A] == "inconclusive"
    assert A not in {cell.variant for cell in found.best}


def test_a_short_session_names_a_winner_with_that_word():
    quick = replace(JOB, profile="quick")
    found = won(replace(CLEAR, profile="quick", windows=8), question("p99_ms<=1.2"), quick, quick)
    assert found.verdict.endswith("(indicative: a short run)")


def overlapping(seeds: Sequence[int]) -> int:
    """Count how often one of two equal loads is said to be clearly better."""
    alarms = 0
    for seed in seeds:
        made = MadeSession({REFERENCE: 4.0, A: 1.0, B: 1.0}, noise=0.01, seed=seed, rates_only=True)
        session, result = made.make(), make_result(0, JOB)
        cells = [Cell(result, name, 1, 2) for name in (A, B)]
        alarms += settle(cells[0], cells[1], WORDS.figures["throughput_ips"], session).is_clear
    return alarms


def test_equal_loads_are_hardly_ever_told_apart():
    assert overlapping(range(200)) <= 4
