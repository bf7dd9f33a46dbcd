"""metrics/report.md: small, complete, escaped."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report_inputs import Inputs, build, change, load

from trtproof.reason import Reason
from trtproof.report.markdown import BAR_CELLS, bar, escape, render_markdown

INPUTS = Inputs(requests=125)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def render(inputs):
    build(inputs)
    return render_markdown(*load(inputs))


def test_it_is_small_and_names_every_variant():
    text = render(replace(INPUTS, budget={"speedup_ratio": 2.0, "top1_drop_pp": 0.5}))
    assert len(text.encode()) < 3600
    for variant in INPUTS.variants:
        assert escape(variant) in text


def test_tables_have_as_many_cells_in_every_row():
    for block in render(INPUTS).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1


def test_a_slower_variant_stands_like_a_faster_one():
    text = render(INPUTS)
    lines = {line.split(" | ")[0][2:]: line for line in text.splitlines() if "| " in line}
    assert "| SLOWER |" in text
    assert "| FASTER |" in text
    assert "█" in lines["onnxruntime-int8"] or "onnxruntime-int8 |" in text


def test_the_noise_of_the_run_is_stated():
    number = r"[01]\.\d+"
    times = "\N{MULTIPLICATION SIGN}"
    interval = rf"95 % {number} to {number}{times}; half-width at 99 % {number} %"
    noise = rf"batch \d {number}{times} \({interval}\)"
    text = render(INPUTS)
    assert re.search(rf"torch-fp32 against its own second run: {noise}, {noise}\.", text)
    assert "Rounds left out: none of 9." in text
    assert "Harness: 0.85 \N{MICRO SIGN}s for a request that does nothing" in text


def test_a_speedup_stands_with_its_interval_and_the_noise():
    text = render(INPUTS)
    times = "\N{MULTIPLICATION SIGN}"
    speeds = [line for line in text.splitlines() if line.startswith("|") and times in line]
    assert len(speeds) == 6
    for line in speeds:
        cells = [cell.strip() for cell in line.split("|")]
        assert re.fullmatch(rf"[\d.]+{times}", cells[4])
        assert re.fullmatch(rf"[\d.]+ to [\d.]+{times}", cells[5])
    assert "torch-fp32 against its own second run" in text
    assert "1 (reference)" in text


def test_the_numbers_are_those_of_the_metrics():
    build(INPUTS)
    findings, facts = load(INPUTS)
    text = render_markdown(findings, facts)
    for variant in ("torch-fp32", "onnxruntime-fp32", "onnxruntime-int8"):
        p50 = facts.on_device(variant, "latency_b1_ms", "p50")
        line = next(line for line in text.splitlines() if line.startswith(f"| {variant} |"))
        assert float(line.split("|")[2].split()[0]) == p50


def test_hidden_characters_are_shown():
    assert escape("a\u202eb\x00c\u200b") == "a\\\\u{202e}b\\\\u{0}c\\\\u{200b}"


def test_hostile_texts_cannot_make_a_row_a_tag_or_a_link():
    evil = "| x |\n<img src=x> [a](http://b) `c` *d*"
    inputs = change(INPUTS, "tensorrt-fp16", reason=Reason("evil", evil, "-"))
    text = render(replace(inputs, model=evil))
    assert "<img" not in text
    assert "http://" not in text
    assert "\\| x \\| &lt;img src=x\\> \\[a\\](http&#58;//b) \\`c\\` \\*d\\*" in text


@given(st.text())
def test_escaped_text_is_one_line_without_a_tag(text):
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert "<" not in escaped
    assert escaped.count("|") == escaped.count("\\|")


@given(st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_bars_start_at_zero_and_keep_proportion(one, other):
    highest = max(one, other)
    for value in (one, other):
        drawn = bar(value, highest)
        assert 1 <= len(drawn) <= BAR_CELLS
        assert abs(drawn.count("█") - value / highest * BAR_CELLS) <= 1.1


def test_the_longest_bar_is_full():
    assert bar(3.0, 3.0) == "█" * BAR_CELLS
    assert bar(1.5, 3.0) == "█" * (BAR_CELLS // 2)
