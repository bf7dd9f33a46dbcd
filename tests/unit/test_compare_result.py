"""Exit codes, words of plain figures, and what the texts and the page say."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from trtproof.artifacts import to_json as as_text
from trtproof.compare.forest import draw_forest
from trtproof.compare.output import to_json
from trtproof.compare.page import render_page
from trtproof.compare.pairs import Absent
from trtproof.compare.result import (
    Comparison,
    Difference,
    Mode,
    ScoreChange,
    ScoreWord,
    SizeChange,
    SizeWord,
    Strictness,
    Subject,
    TimeChange,
    exit_code,
)
from trtproof.compare.tables import summary_line
from trtproof.compare.texts import render_markdown, render_text
from trtproof.measure.ratios import Ratio
from trtproof.measure.verdict import Verdict, Word

SUBJECT = Subject(Mode.PAIRED, "HEAD (abc)", "workspace", "abc", "full", "cpu-x", "today")
SHOWN = Ratio(0.9, 0.89, 0.91, rounds_count=12, sessions_count=3)
HOSTILE = "<script>alert(1)</script>|`x`"


def time(word: Word, *, decides: bool = True, gates: bool = True, **changes) -> TimeChange:
    verdict = Verdict(
        word=word,
        gates=gates,
        reason="a reason",
        shown=changes.pop("shown", SHOWN),
        shown_all=None,
        gate=SHOWN,
        control=None,
        noise_floor=0.004,
        delta=0.02,
    )
    return TimeChange(
        variant=changes.pop("variant", "onnxruntime-fp32"),
        batch=1,
        figure="wall_p50",
        title="wall median",
        verdict=verdict,
        decides=decides,
        before_ms=1.0,
        after_ms=1.1,
    )


def score(word: ScoreWord) -> ScoreChange:
    return ScoreChange("a", "top1_pct", 98.0, 97.0, 1.0, word, "why", 0.5, (0.6, 1.4), (0.5, 1.5))


def found(*times: TimeChange, **parts) -> Comparison:
    return Comparison(SUBJECT, times=times, **parts)


@pytest.mark.parametrize(
    ("comparison", "lenient", "strict"),
    [
        (found(time(Word.SAME)), 0, 0),
        (found(time(Word.FASTER)), 0, 0),
        (found(time(Word.INCONCLUSIVE)), 0, 3),
        (found(time(Word.INCONCLUSIVE, decides=False), time(Word.SAME)), 0, 0),
        (found(time(Word.SLOWER)), 5, 5),
        (found(time(Word.SLOWER, decides=False), time(Word.SAME)), 0, 0),
        (found(time(Word.SLOWER, decides=False, gates=False)), 0, 3),  # quick never gates
        (found(time(Word.SAME), scores=[score(ScoreWord.WORSE)]), 5, 5),
        (found(time(Word.SAME), scores=[score(ScoreWord.INCONCLUSIVE)]), 0, 3),
        (found(time(Word.SAME), absent=[Absent("b", "other inputs", blocks=True)]), 4, 4),
        (found(time(Word.SAME), absent=[Absent("b", "unavailable", blocks=False)]), 0, 0),
        (found(time(Word.SLOWER), absent=[Absent("b", "other inputs", blocks=True)]), 5, 5),
        (found(scores=[score(ScoreWord.SAME)], refused=[Difference("a", "1", "2")]), 4, 4),
        (found(), 4, 4),
    ],
)
def test_the_exit_code_is_the_gravest_finding(comparison, lenient, strict):
    assert exit_code(comparison, Strictness.LENIENT) == lenient
    assert exit_code(comparison, Strictness.STRICT) == strict


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (100.0, 100.4, SizeWord.SAME),
        (100.0, 101.0, SizeWord.LARGER),
        (100.0, 99.0, SizeWord.SMALLER),
        (0.0, 1.0, SizeWord.LARGER),
        (0.0, 0.0, SizeWord.SAME),
    ],
)
def test_a_plain_figure_changes_from_its_smallest_effect_on(before, after, word):
    assert SizeChange("a", "plan", "MiB", before, after, 0.005).word is word


def test_a_larger_plan_is_shown_and_decides_nothing():
    comparison = found(time(Word.SAME), sizes=[SizeChange("a", "plan", "MiB", 1.0, 2.0, 0.005)])
    assert exit_code(comparison, Strictness.STRICT) == 0
    assert "LARGER" in render_text(comparison)


@pytest.mark.parametrize(
    ("comparison", "line"),
    [
        (found(time(Word.SLOWER)), "Regression: onnxruntime-fp32"),
        (found(time(Word.SAME)), "No regression"),
        (found(), "Not comparable"),
        (
            found(time(Word.SLOWER, decides=False, gates=False)),
            "Indicative only: this run cannot decide whether anything became slower",
        ),
        (
            found(time(Word.INCONCLUSIVE)),
            "No regression found; 1 of its verdicts are inconclusive",
        ),
    ],
)
def test_the_summary_says_what_the_exit_code_says(comparison, line):
    assert summary_line(comparison) == line
    assert line in render_text(comparison)
    assert line in render_page(comparison)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)


def test_names_that_are_markup_stay_text():
    comparison = found(
        time(Word.SAME, variant=HOSTILE),
        refused=[Difference(HOSTILE, HOSTILE, HOSTILE)],
        notes=[HOSTILE],
    )
    page = Tags(render_page(comparison))
    assert page.names.count("script") == 1  # the theme's own
    markdown = render_markdown(comparison)
    assert "<script>" not in markdown
    rows = [line for line in markdown.splitlines() if "alert" in line and line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {10, 4}


def test_the_page_is_one_file_without_network():
    page = render_page(found(time(Word.SLOWER)))
    assert "http" not in page
    assert "src=" not in page
    assert "<svg" in page
    assert "too short to decide" not in page
    assert "too short to decide" in render_page(found(time(Word.SAME, gates=False)))


def test_the_zone_holds_small_changes_and_not_large_ones():
    """A change lies inside the shaded zone of its row exactly where it is below what counts."""
    for value, inside in ((1.019, True), (1.021, False), (1 / 1.019, True), (1 / 1.03, False)):
        shown = Ratio(value, value, value, rounds_count=12, sessions_count=3)
        drawn = draw_forest([time(Word.SAME, shown=shown)])
        bar = drawn.partition("<rect ")[2]
        left, width = (
            float(bar.partition(f'{key}="')[2].partition('"')[0]) for key in ("x", "width")
        )
        dot = float(drawn.partition('cx="')[2].partition('"')[0])
        assert (left < dot < left + width) is inside


def test_a_change_of_many_times_is_drawn_inside_of_the_picture():
    shown = Ratio(12.0, 11.0, 13.0, rounds_count=12, sessions_count=3)
    drawn = draw_forest([time(Word.FASTER, shown=shown)])
    dot = float(drawn.partition('cx="')[2].partition('"')[0])
    assert 330 < dot < 850


def test_too_few_rounds_have_no_interval_to_draw():
    short = replace(SHOWN, low=None, high=None)
    comparison = found(time(Word.INCONCLUSIVE, shown=short))
    assert "too few rounds" in render_text(comparison)
    assert "<circle" in render_page(comparison)


def test_json_keeps_everything_and_no_nan():
    comparison = found(
        time(Word.SAME),
        scores=[score(ScoreWord.SAME)],
        sizes=[SizeChange("a", "plan", "MiB", 0.0, 2.0, 0.005)],
    )
    data = to_json(comparison)
    assert data["summary"] == "No regression"
    assert data["sizes"][0]["change"] is None
    assert data["times"][0]["verdict"]["delta"] == 0.02
    assert as_text(data)
