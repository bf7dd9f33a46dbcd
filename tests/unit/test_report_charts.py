"""Charts: golden files for the whole drawing, and the properties that make them honest.

After a deliberate change write the golden files again with `TRTPROOF_WRITE_GOLDEN=1 pytest FILE`,
and look at the difference.
"""

from __future__ import annotations

import os
import re
from html import escape
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.report import theme
from trtproof.report.charts import (
    Bar,
    Limit,
    Series,
    latency_bars,
    log_ticks,
    nines,
    percentile_curves,
    round_lines,
)
from trtproof.report.load_charts import LoadLine, load_lines
from trtproof.report.score_charts import Change, score_changes
from trtproof.report.shape_charts import Spread, Stack, distribution_ridges, stacked_bars
from trtproof.report.svg import Panel, ticks, to_file
from trtproof.report.texts import clean, fit, shorten

HIDDEN = set("\u202e\u202c\u2066\u200b\u200f\x00\x1b\x7f\n\ufeff")
GOLDEN = Path(__file__).parents[1] / "golden"
REASON = "not measured: TensorRT is not installed; install trtproof[tensorrt] on a GPU"

BARS = [
    Bar("torch-fp32", "v0", 0.62, p99=0.7, text="0.62000 ms", note="reference", bounds=(0.6, 0.65)),
    Bar("slower", "v1", median=0.93, p99=None, text="0.93000 ms", note="median"),
    Bar("faster", "v2", median=0.21, p99=0.25, text="0.21000 ms", note="median"),
    Bar("tensorrt-fp16", "v3", median=None, p99=None, text="", note=REASON),
]
CURVES = [
    Series("torch-fp32", "v0", [(0.0, 0.58), (0.5, 0.62), (0.9, 0.65), (0.99, 0.7)]),
    Series("faster", "v2", [(0.0, 0.2), (0.5, 0.21), (0.9, 0.22), (0.99, 0.6901)]),
]
ROUNDS = [
    Series("torch-fp32", "v0", [(0.0, -0.4), (1.0, 0.3), (2.0, 0.0)]),
    Series("faster", "v2", [(0.0, 1.2), (2.0, -2.6)]),
]
CHANGES = [
    Change("better", "v1", drop=-0.2, text="drop -0.20000 pp", bounds=(-0.5, 0.1)),
    Change("worse", "v2", drop=0.5, text="drop 0.50000 pp"),
    Change("tensorrt-fp16", "v3", drop=None, text=REASON),
]
SPREADS = [
    Spread("torch-fp32", "v0", np.sort(np.random.default_rng(1).lognormal(0, 0.05, 400))),
    Spread("two humps", "v1", np.concatenate([np.full(60, 1.0), np.full(40, 1.2)])),
]
STACKS = [
    Stack("torch-fp32", (300.0, 1700.0, 150.0, 200.0), "2350.0 ms"),
    Stack("tensorrt-fp16", (), "", note=REASON),
]
LOADS = [
    LoadLine("torch-fp32, b1", "v0", [(90.0, 12.0, 1), (120.0, 18.0, 2)]),
    LoadLine("faster, b8", "v2", [(900.0, 8.0, 1), (1500.0, 9.5, 2), (1600.0, 20.0, 4)]),
]
LIMIT = Limit(0.64, "P99 target 0.64 ms")
DRAWINGS = {
    "latency_bars": lambda: latency_bars(BARS, "Latency", limit=LIMIT),
    "percentile_curves": lambda: percentile_curves(CURVES, "Percentiles", limit=LIMIT),
    "distribution_ridges": lambda: distribution_ridges(SPREADS, "Distribution"),
    "stacked_bars": lambda: stacked_bars(STACKS, ("a", "b", "c", "a long one"), "Cold start"),
    "load_lines": lambda: load_lines(LOADS, "Load", tail="P99"),
    "round_lines": lambda: round_lines(ROUNDS, "Rounds"),
    "score_changes": lambda: score_changes(CHANGES, "Score", limit=0.5),
}


@pytest.mark.parametrize("name", list(DRAWINGS))
def test_the_drawing_is_the_golden_one(name):
    drawn, path = DRAWINGS[name]() + "\n", GOLDEN / f"{name}.svg"
    if os.environ.get("TRTPROOF_WRITE_GOLDEN"):
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(DRAWINGS))
def test_the_drawing_is_well_formed_and_coloured_by_the_theme_alone(name):
    drawn = DRAWINGS[name]()
    parse(drawn)
    assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawn)) <= {"none"} | set(
        re.findall(r"var\(--c-[a-z0-9]+\)", drawn)
    )


def parse(drawn):
    return ET.fromstring(drawn)  # noqa: S314 - our own drawing


def rectangles(drawn):
    return [
        (float(item.attrib["x"]), float(item.attrib["width"])) for item in parse(drawn).iter("rect")
    ]


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=6))
def test_bars_start_at_zero_and_are_proportional(medians):
    bars = [Bar(f"v{n}", "v1", value, None, "", "") for n, value in enumerate(medians)]
    found = rectangles(latency_bars(bars, "x"))
    assert {start for start, _ in found} == {1.0}
    longest = max(width for _, width in found)
    for (_, width), median in zip(found, medians, strict=True):
        assert width == pytest.approx(longest * median / max(medians), abs=0.2)


def test_what_was_not_measured_has_no_bar_but_its_row():
    drawn = latency_bars(BARS, "x")
    assert len(rectangles(drawn)) == 3
    assert "tensorrt-fp16" in drawn
    assert "not measured: TensorRT is not installed" in drawn


def test_no_bar_at_all_can_be_drawn():
    drawn = latency_bars([BARS[3]], "x")
    assert rectangles(drawn) == []


def test_names_are_escaped():
    evil = "<script>\"&'{{1}} \u202e\u200b\x00\x1b \n" + "long" * 60
    for drawn in (
        latency_bars([Bar(evil, "v1", 1.0, 2.0, evil, evil)], evil),
        percentile_curves([Series(evil, "v1", [(0.0, 1.0), (0.9, 2.0)])], evil),
        round_lines([Series(evil, "v1", [(0.0, 1.0)])], evil),
        score_changes([Change(evil, "v1", 1.0, evil)], evil, limit=None),
        distribution_ridges([Spread(evil, "v1", np.arange(1.0, 9.0))], evil),
        stacked_bars([Stack(evil, (1.0,), evil), Stack(evil, (), "", evil)], (evil,), evil),
        load_lines([LoadLine(evil, "v1", [(1.0, 1.0, 1)])], evil, tail=evil),
        to_file([Panel(evil, (evil,), latency_bars(BARS, evil))], theme.LIGHT),
    ):
        parse(drawn)
        assert "<script>" not in drawn
        assert not set(drawn.replace("\n", "")) & HIDDEN


@given(st.text())
def test_cleaned_text_is_one_visible_line_of_legal_xml(text):
    cleaned = clean(text)
    assert len(cleaned.splitlines()) <= 1
    assert not set(cleaned) & HIDDEN
    parse(f"<a>{escape(cleaned)}</a>")
    assert clean(cleaned) == cleaned


def test_plain_text_is_not_touched():
    for text in ("onnxruntime-int8_cpu", "Größe 3 \N{MICRO SIGN}s", "日本語", "עברית"):
        assert clean(text) == text


@given(st.text(min_size=1, max_size=300), st.floats(30, 1000), st.floats(8, 20))
def test_fitted_text_is_within_its_width(text, width, size):
    assert len(fit(text, width, size)) <= max(4, width / (size * 0.6))


def test_a_file_has_fixed_colours_and_its_own_ground():
    drawn = to_file([Panel("Latency", ("here",), latency_bars(BARS, "x"))] * 2, theme.LIGHT)
    root = parse(drawn)
    assert "var(" not in drawn
    assert root.attrib["viewBox"].split()[2:] == [root.attrib["width"], root.attrib["height"]]
    ground = root[0]
    assert (ground.attrib["fill"], ground.attrib["x"]) == (theme.LIGHT["card"], "0.5")
    assert drawn.count("<svg") == 3


def test_a_bars_interval_is_drawn_around_its_end():
    bar = Bar("a", "v1", 2.0, None, "", "", bounds=(1.5, 4.0))
    drawn = latency_bars([bar], "x")
    (_, end), *_ = rectangles(drawn)
    lines = [item.attrib for item in parse(drawn).iter("line")]
    whisker = next(line for line in lines if "fg" in line["stroke"])
    low, high = float(whisker["x1"]) - 1, float(whisker["x2"]) - 1
    assert low == pytest.approx(end * 0.75, abs=0.2)
    assert high == pytest.approx(end * 2, abs=0.2)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=200))
def test_any_latencies_have_a_distribution_inside_the_picture(latencies):
    drawn = distribution_ridges([Spread("a", "v1", np.sort(np.array(latencies)))], "x")
    path = next(parse(drawn).iter("path")).attrib["d"]
    for x, y in re.findall(r"([-\d.]+) ([-\d.]+)", path):
        assert 0 <= float(x) <= 420
        assert 0 <= float(y) <= 106


def test_equal_latencies_have_a_distribution():
    root = parse(distribution_ridges([Spread("a", "v1", np.full(9, 3.0))], "x"))
    assert any(item.attrib.get("d") for item in root.iter("path"))


@given(st.lists(st.tuples(st.floats(0.5, 1e5), st.floats(0.01, 1e4)), min_size=1, max_size=5))
def test_any_loads_lie_inside_the_picture(points):
    line = LoadLine("a", "v1", [(rate, ms, n) for n, (rate, ms) in enumerate(points)])
    for dot in parse(load_lines([line], "x", tail="P99")).iter("circle"):
        assert 64 <= float(dot.attrib["cx"]) <= 770
        assert 22 <= float(dot.attrib["cy"]) <= 314


def test_stacked_parts_follow_each_other_without_a_gap():
    drawn = stacked_bars([STACKS[0]], ("a", "b", "c", "d"), "x")
    bars = rectangles(drawn)[4:]  # the first four are the legend's
    assert bars[0][0] == 1.0
    for (x, width), (following, _) in pairwise(bars):
        assert following == pytest.approx(x + width, abs=0.2)


def test_names_beside_line_ends_do_not_overlap():
    series = [Series(f"line {n}", "v1", [(0.0, 1.0), (0.9, 2.0 + n / 1000)]) for n in range(5)]
    root = parse(percentile_curves(series, "x"))
    places = sorted(
        float(item.attrib["y"])
        for item in root.iter("text")
        if (item.text or "").startswith("line")
    )
    assert len(places) == 5
    assert min(b - a for a, b in pairwise(places)) >= 14.9


@pytest.mark.parametrize("latency_ms", [0.001, 1.0, 5000.0])
def test_one_equal_latency_everywhere_can_be_drawn(latency_ms):
    series = [Series("a", "v0", [(0.0, latency_ms), (0.5, latency_ms)])]
    drawn = percentile_curves(series, "x")
    assert "a" in [item.text for item in parse(drawn).iter("text")]
    assert not re.search(r"\b(nan|inf)\b", drawn)


@given(st.floats(1e-4, 1e6))
def test_ticks_are_round_and_within(highest):
    found = ticks(highest)
    assert found[0] == 0
    assert 2 <= len(found) <= 7
    assert found[-1] <= highest * 1.001


@given(st.floats(1e-3, 1e5), st.floats(1.15, 1e4))
def test_a_log_axis_has_marks_within_its_limits(low, factor):
    found = log_ticks(low, low * factor)
    assert all(low < value < low * factor for value in found)
    assert len(found) >= 1 or factor < 1.4


def test_the_tail_is_stretched():
    assert [round(nines(share), 6) for share in (0.0, 0.9, 0.99)] == [0, 1, 2]


def test_long_reasons_are_cut_visibly():
    assert shorten("a" * 200, 10) == "a" * 9 + "…"
    assert shorten("short", 10) == "short"
