"""Charts: golden files for the whole drawing, and the properties that make them honest.

After a deliberate change write the golden files again with `TRTPROOF_WRITE_GOLDEN=1 pytest FILE`,
and look at the difference.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.report.charts import (
    Bar,
    Change,
    Series,
    latency_bars,
    log_ticks,
    nines,
    percentile_curves,
    round_lines,
    score_changes,
    shorten,
)
from trtproof.report.svg import ticks

GOLDEN = Path(__file__).parents[1] / "golden"
REASON = "not measured: TensorRT is not installed; install trtproof[tensorrt] on a GPU"

BARS = [
    Bar("torch-fp32", "v0", median=0.62, p99=0.7, text="0.62000 ms", note="median"),
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
    Change("better", "v1", drop=-0.2, text="drop -0.20000 pp"),
    Change("worse", "v2", drop=0.5, text="drop 0.50000 pp"),
    Change("tensorrt-fp16", "v3", drop=None, text=REASON),
]
DRAWINGS = {
    "latency_bars": lambda: latency_bars(BARS, "Latency"),
    "percentile_curves": lambda: percentile_curves(CURVES, "Percentiles"),
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
    evil = '<script>"&'
    for drawn in (
        latency_bars([Bar(evil, "v1", 1.0, 2.0, evil, evil)], evil),
        percentile_curves([Series(evil, "v1", [(0.0, 1.0), (0.9, 2.0)])], evil),
        round_lines([Series(evil, "v1", [(0.0, 1.0)])], evil),
        score_changes([Change(evil, "v1", 1.0, evil)], evil, limit=None),
    ):
        parse(drawn)
        assert "<script>" not in drawn


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
    parse(percentile_curves([Series("a", "v0", [(0.0, latency_ms), (0.5, latency_ms)])], "x"))


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
