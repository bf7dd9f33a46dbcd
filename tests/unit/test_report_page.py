"""The page: true to the metrics, offline, escaped, the same bytes every time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import unescape
from html.parser import HTMLParser

import pytest
from tests.report_inputs import REFERENCE, Inputs, build, change, load

from trtproof.reason import Reason
from trtproof.report.cells import Facts, format_number
from trtproof.report.page import render_page
from trtproof.report.texts import clean
from trtproof.report.theme import DARK, LIGHT

HOSTILE = (
    """<script>alert(1)</script> "quoted" & 'single' <img src=x onerror=y> | `a` [b](c)\n"""
    "{{ 7 * 7 }} \u202eright to left\u202c \u0000\u001b[31m zero\u200bwidth =cmd() "
    + "very_long"
    * 40
)
HOSTILE_NAME = HOSTILE.partition("{{")[0] + "\u202e\u200b" + "long" * 20
"""A variant is a folder too: no NUL, and not too long for a file system."""

TIMES = "\N{MULTIPLICATION SIGN}"
TEXT_COLOURS = (
    "fg",
    "muted",
    "accent",
    "ok",
    "bad",
    "warn",
    *(f"v{number}" for number in range(7)),
)


@dataclass
class Cell:
    attributes: dict[str, str | None]
    text: str = ""


class Reader(HTMLParser):
    """Collect table cells, all tags with attributes, and check that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[Cell] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "line", "rect", "path", "circle"}:
            self.open.append(tag)
        if tag == "td":
            self.cells.append(Cell(dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in {"rect", "circle", "path"} and self.open[-1] != tag:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if "td" in self.open:
            self.cells[-1].text += data


@dataclass
class Page:
    html: str
    facts: Facts
    reader: Reader = field(default_factory=Reader)


def make(inputs: Inputs) -> Page:
    build(inputs)
    findings, facts = load(inputs)
    page = Page(render_page(findings, facts), facts)
    page.reader.feed(page.html)
    return page


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        yield make(Inputs(budget={"top1_drop_pp": 0.5, "speedup_ratio": 2.0}))


@pytest.fixture
def hostile(tmp_path, monkeypatch) -> Page:
    monkeypatch.chdir(tmp_path)
    reason = Reason(HOSTILE, HOSTILE, HOSTILE)
    inputs = Inputs(
        model=HOSTILE,
        dataset=HOSTILE,
        profile=HOSTILE,
        requests=20,
        batches=(1,),
        user=HOSTILE,
        changed=(HOSTILE,),
        variables={"OMP_NUM_THREADS": HOSTILE},
    )
    inputs = change(inputs, "tensorrt-fp16", reason=reason)
    renamed = {
        HOSTILE_NAME if name == "onnxruntime-int8" else name: made
        for name, made in inputs.variants.items()
    }
    return make(replace(inputs, variants=renamed, slug="cpu-<b>slug</b>"))


def test_every_number_in_a_table_is_the_number_in_the_metrics(page):
    traced = [cell for cell in page.reader.cells if "data-metric" in cell.attributes]
    assert len(traced) > 80
    for cell in traced:
        variant, _, path = str(cell.attributes["data-metric"]).partition(":")
        value = page.facts.number(variant, *path.split("."))
        assert value is not None
        shown = re.match(r"-?[\d,.]+", cell.text)
        assert shown is not None
        assert float(shown.group().replace(",", "")) == value


def test_every_figure_of_the_metrics_is_on_the_page(page):
    """Plots and scores of every variant, good or bad."""
    for variant, metrics in page.facts.metrics.items():
        for name, value in metrics.get("scores", {}).items():
            path = f"{variant}:scores.{name}"
            texts = [
                cell.text
                for cell in page.reader.cells
                if cell.attributes.get("data-metric") == path
            ]
            assert texts, path
            assert texts[0].startswith(format_number(value))


def test_no_cell_is_blank(page):
    assert all(cell.text.strip() for cell in page.reader.cells)


def test_nothing_is_fetched_from_anywhere(page):
    for pattern in ("http:", "https:", "@import", "url(", "<link", "<iframe", "<img"):
        assert pattern not in page.html
    for tag, attributes in page.reader.tags:
        assert not {"src", "xlink:href", "srcset", "action"} & attributes.keys(), tag
        assert str(attributes.get("href", "#")).startswith("#"), tag


def test_tags_are_closed(page):
    assert page.reader.open == []


def test_a_speedup_stands_with_its_interval_its_reference_and_the_control(page):
    text = "".join(page.reader.text)
    key = "speedup_b1_ratio"
    slug = page.facts.slug
    for variant in ("onnxruntime-int8_cpu", "onnxruntime-int8"):
        low, high = (page.facts.number(variant, slug, key, end) for end in ("ci_lo", "ci_hi"))
        assert low is not None
        assert high is not None
        assert f"{format_number(low)} to {format_number(high, 'ratio')}" in text
    assert f"Speed, {REFERENCE} = 1" in text
    assert "against its own second run" in text
    assert "reference against itself" in text


SPEED = re.compile(rf"(?<!to )(?<!at least )(?<![\d.,])[\d.,]+{TIMES}(?P<after>.{{0,90}})")


def bare_speeds(text: str) -> list[str]:
    """Return the speed-ups of a text that stand without their interval."""
    return [
        found.group()
        for found in SPEED.finditer(text)
        if not re.search(rf"[\d.,]+ to [\d.,]+{TIMES}", found.group("after"))
    ]


def plain(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)))


def test_every_speedup_stands_with_reference_interval_and_noise_floor(page):
    body = re.sub(r"<title>.*?</title>", "", page.html.partition("<main>")[2])
    parts = [plain(part) for part in re.split(r'<section class="card|<div class="tile">', body)]
    with_speeds = [part for part in parts if SPEED.search(part)]
    assert len(with_speeds) >= 6  # verdict, tile, bars and tables of two batch sizes
    for part in with_speeds:
        assert bare_speeds(part) == []
        assert REFERENCE in part
        assert re.search(r"second run|reference against itself", part)


def test_the_scan_finds_a_bare_speedup():
    assert bare_speeds(f"one is 3.2{TIMES} as fast") == [f"3.2{TIMES} as fast"]
    assert bare_speeds(f"3.2{TIMES} (3.1 to 3.3{TIMES})") == []


def test_a_slower_variant_is_called_slower(page):
    chips = [cell.text for cell in page.reader.cells]
    assert (
        sum(text.startswith("SLOWER decides;") for text in chips) == 4
    )  # P10, CPU time; two batches
    assert sum(text.startswith("FASTER decides;") for text in chips) == 8


def test_hostile_texts_stay_texts(hostile):
    assert "<script>alert" not in hostile.html
    assert "<img" not in hostile.html
    assert "<b>slug" not in hostile.html
    assert hostile.reader.open == []
    assert "".join(hostile.reader.text).count(clean(HOSTILE)) >= 12
    assert not set(hostile.html) & set("\u202e\u202c\u200b\x00\x1b")
    assert "49 \\u{202e}" not in hostile.html
    assert [tag for tag, _ in hostile.reader.tags].count("script") == 1


def test_a_rebuild_has_the_same_bytes(tmp_path, monkeypatch):
    pages = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        pages.append(make(Inputs(requests=30)).html)
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"synthetic": True}, "Synthetic inputs"),
        ({"random_weights": True}, "Random weights"),
        ({"profile": "quick"}, "Profile quick: indicative"),
        ({"profile": "smoke"}, "Profile smoke: indicative"),
    ],
)
def test_what_weakens_the_figures_is_said_at_the_top(tmp_path, monkeypatch, changes, text):
    monkeypatch.chdir(tmp_path)
    with_warning = make(replace(Inputs(requests=20, batches=(1,)), **changes))
    assert text in with_warning.html.partition("<main>")[0].partition("<body>")[2]


def test_a_full_run_on_real_data_carries_no_warning(page):
    assert 'class="warning"' not in page.html


def test_the_first_screen_says_what_where_when_and_how_to_repeat(page):
    header = page.html.partition("</header>")[0].partition("<header>")[2]
    for text in ("digits_resnet", "digits", "cpu-example-8c", "2026-11-22 09:42:17 UTC", "full",
                 "abba/1", "4f2c9ab81d0e", "dvc repro", "360 real evaluation samples",
                 "by Ada Example", "9 rounds", "no tracked file differed from it",
                 "OMP_NUM_THREADS=2"):  # fmt: skip
        assert text in header


BLOCKS = (
    "targets met", "Latency, batch 1", "Before and after, batch 1",
    "Latency by percentile, batch 1", "Distribution, batch 1", "Where the time goes",
    "Throughput against tail latency", "Accuracy",
    "Engines and what they cost", "Against the parent commit", "Was the machine quiet?",
    "Environment", "Where the figures come from", "Reproduce", "Read this before quoting a figure",
)  # fmt: skip


def test_the_blocks_stand_in_the_order_of_their_questions(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page.html)
    places = [
        next(place for place, text in enumerate(headings) if block in text) for block in BLOCKS
    ]
    assert places == sorted(places)


def test_what_this_version_cannot_measure_says_so(page):
    for text in ("not measured: this session did not run the parent commit",
                 "not measured: profile full leaves it out (benchmark.device is null)",
                 "Energy and memory of the GPU"):  # fmt: skip
        assert text in unescape(page.html)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (None, "whether files differed from it was not recorded"),
        ((), "no tracked file differed from it"),
        (("a.py",), "1 tracked file differed from it: a.py"),
        (("a", "b", "c", "d", "e"), "5 tracked files differed from it: a, b, c and 2 more"),
    ],
)
def test_a_dirty_tree_is_said(tmp_path, monkeypatch, changed, text):
    monkeypatch.chdir(tmp_path)
    made = make(Inputs(requests=20, batches=(1,), changed=changed))
    assert text in made.html.partition("</header>")[0]
    assert ("Measured with uncommitted changes" in made.html) == bool(changed)
    assert ("that were never committed" in made.html) == bool(changed)


def test_a_session_from_elsewhere_is_said_and_its_figures_stay_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = Inputs(requests=20, batches=(1,), measured_on="gpu-other-machine")
    made = make(inputs)
    assert "Restored, not measured here: measured on gpu-other-machine" in made.html
    assert made.facts.slug == "gpu-other-machine"
    assert "gpu-other-machine" in made.facts.metrics[REFERENCE]
    assert inputs.slug not in made.facts.metrics[REFERENCE]


def test_an_older_kernel_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = make(Inputs(requests=20, batches=(1,), measured_on="cpu-example-8c", kernel="6.1"))
    assert "measured with kernel 6.1 (now 6.18)" in made.html


def test_without_targets_there_is_no_verdict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "No targets declared" in make(Inputs(requests=20, batches=(1,))).html


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_have_enough_contrast(theme):
    pairs = [(name, ground) for name in TEXT_COLOURS for ground in ("card", "page")]
    pairs += [(name, f"{name}bg") for name in ("ok", "bad", "warn")] + [("muted", "code")]
    weak = {pair for pair in pairs if contrast(theme[pair[0]], theme[pair[1]]) < 4.5}
    assert weak == set()


def test_both_themes_name_the_same_colours():
    assert LIGHT.keys() == DARK.keys()
