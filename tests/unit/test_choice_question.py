"""Objectives and constraints as they are written on the command line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.choice.figures import make_vocabulary
from trtproof.choice.question import parse_constraint, parse_question
from trtproof.errors import ConfigError
from trtproof.measure.verdict import Better

WORDS = make_vocabulary(["top1"])


def test_the_example_of_the_documentation_is_understood():
    question = parse_question("throughput_ips", ["p99_ms<=4", "top1_drop_pp <= 1"], WORDS)
    assert question.objective.better is Better.HIGHER
    assert [(item.figure.name, item.limit) for item in question.constraints] == [
        ("p99_ms", 4.0),
        ("top1_drop_pp", 1.0),
    ]
    assert str(question) == "most throughput_ips with p99_ms<=4 and top1_drop_pp<=1"


def test_the_budgets_names_mean_the_same_figures():
    assert parse_constraint("latency_p99_ms<=4", WORDS) == parse_constraint("p99_ms<=4", WORDS)


def test_a_minimised_objective_says_so():
    assert str(parse_question("p50_ms", [], WORDS)) == "least p50_ms"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99_s<=4", "there is no figure 'p99_s'"),
        ("p99_s<=4", "p99_ms (P99 latency of a cell)"),
        ("top5_drop_pp<=1", "there is no figure 'top5_drop_pp'"),
        ("p99_ms<4", "'<' is no comparison here"),
        ("p99_ms==4", "'==' is no comparison here"),
        ("p99_ms>=4", "the better p99_ms is the lower, so '>=' sets no limit"),
        ("throughput_ips<=900", "write throughput_ips>=NUMBER"),
        ("p99_ms<=4ms", "'4ms' is not a number"),
        ("p99_ms<=4ms", "it is in ms"),
        ("p99_ms<=", "'' is not a number"),
        ("p99_ms<=nan", "'nan' is no limit"),
        ("p99_ms<=0", "give a number above 0"),
        ("top1_drop_pp<=-1", "give a number at least 0"),
        ("p99_ms", "'p99_ms' has no limit; write p99_ms<=NUMBER"),
        ("<=4", "'<=4' names no figure"),
        ("", "'' names no figure"),
    ],
)
def test_a_wrong_word_is_named_with_the_repair(text, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_constraint(text, WORDS)


def test_two_limits_of_one_figure_contradict_each_other():
    with pytest.raises(ConfigError, match="p99_ms has a limit already"):
        parse_question("throughput_ips", ["p99_ms<=4", "latency_p99_ms<=5"], WORDS)


def test_a_wrong_objective_lists_every_figure_with_its_unit():
    with pytest.raises(ConfigError) as caught:
        parse_question("speed", [], WORDS)
    assert all(name in str(caught.value) for name in WORDS.figures)


@given(st.sampled_from(sorted(WORDS.figures)), st.floats(0.001, 1e6))
def test_a_constraint_reads_back_as_it_is_shown(name, limit):
    figure = WORDS.figures[name]
    sign = "<=" if figure.better is Better.LOWER else ">="
    shown = str(parse_constraint(f"{name}{sign}{limit:g}", WORDS))
    assert str(parse_constraint(shown, WORDS)) == shown


@given(st.text(max_size=20).filter(lambda text: "=" not in text))
def test_a_text_without_a_comparison_is_one_line_for_the_user(text):
    with pytest.raises(ConfigError, match="constraints: "):
        parse_constraint(text, WORDS)


def test_a_scorer_that_counts_errors_is_better_lower(tmp_path, monkeypatch):
    (tmp_path / "own_scorer.py").write_text(
        "class Silent:\n"
        "    def predictions(self, outputs, batch):\n        return []\n"
        "    def score(self, predictions, labels):\n        return {}\n"
        "class WER(Silent):\n    metrics = ('wer_pct',)\n    lower_is_better = ('wer_pct',)\n"
        "WER = WER()\nSILENT = Silent()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    words = make_vocabulary(["own_scorer:WER"])
    assert words.figures["wer_pct"].better is Better.LOWER
    assert words.figures["wer_drop_pp"].better is Better.LOWER
    silent = make_vocabulary(["own_scorer:SILENT"])
    with pytest.raises(ConfigError, match="own_scorer:SILENT names no metrics"):
        parse_constraint("map_pct>=40", silent)
