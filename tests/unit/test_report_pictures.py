"""metrics/*.svg: pictures that read on a light and on a dark page, and say what they lack."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.report_inputs import REFERENCE, SLUG, Inputs, build, load
from tests.unit.test_report_page import HOSTILE, HOSTILE_NAME, bare_speeds, contrast

from trtproof.report import theme
from trtproof.report.picture_files import BARS, CURVES, SCORES, render_pictures

INPUTS = Inputs(requests=130, budget={"top1_drop_pp": 0.5, "latency_p99_ms": 0.5})
NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def draw(inputs: Inputs) -> dict[str, ET.Element]:
    build(inputs)
    files = render_pictures(*load(inputs))
    return {name: ET.fromstring(text) for name, text in files.items()}  # noqa: S314 - our own


def texts(root: ET.Element) -> list[str]:
    return [item.text or "" for item in root.iter(f"{NAMESPACE}text")]


def test_there_are_three_with_a_panel_per_batch_size():
    roots = draw(INPUTS)
    assert set(roots) == {BARS, CURVES, SCORES}
    for name, title in ((BARS, "Latency, batch"), (CURVES, "Latency by percentile, batch")):
        assert [text for text in texts(roots[name]) if text.startswith(title)] == [
            f"{title} 1",
            f"{title} 8",
        ]
    assert all(SLUG in " ".join(texts(root)) for root in roots.values())


def test_colours_are_fixed_and_read_on_the_pictures_own_ground():
    for root in draw(INPUTS).values():
        ground = root.find(f"{NAMESPACE}rect")
        assert ground is not None
        assert ground.attrib["fill"] == theme.LIGHT["card"]
        assert "fill-opacity" not in ground.attrib
        for item in root.iter(f"{NAMESPACE}text"):
            assert contrast(item.attrib["fill"], ground.attrib["fill"]) >= 4.5


def test_every_speedup_in_a_picture_has_its_interval_and_the_noise_floor():
    shown = texts(draw(INPUTS)[BARS])
    assert bare_speeds(" ".join(shown)) == []
    assert sum(text.startswith(f"{REFERENCE} against its own second run") for text in shown) == 2


def test_nothing_is_fetched_and_hostile_texts_stay_texts():
    made = {HOSTILE_NAME if name == "onnxruntime-int8" else name: one
            for name, one in INPUTS.variants.items()}  # fmt: skip
    inputs = replace(INPUTS, variants=made, model=HOSTILE, profile=HOSTILE, slug="<b>&\u202e")
    for root in draw(inputs).values():
        tags = {item.tag.removeprefix(NAMESPACE) for item in root.iter()}
        assert tags <= {"svg", "rect", "text", "line", "path", "circle", "title"}
        for item in root.iter():
            assert not {"href", "onload", "onclick", "style"} & item.attrib.keys()
            assert "\u202e" not in (item.text or "")


def test_a_second_drawing_has_the_same_bytes():
    build(INPUTS)
    assert render_pictures(*load(INPUTS)) == render_pictures(*load(INPUTS))


def test_what_is_not_measured_says_so_in_the_picture():
    build(INPUTS)
    shutil.rmtree(Path("artifacts/benchmark"))
    shutil.rmtree(Path("artifacts/evaluate"))
    for text in render_pictures(*load(INPUTS)).values():
        assert re.search(r">not measured: (no benchmark has run|no labels)", text)


def test_what_weakens_the_figures_stands_in_every_picture():
    roots = draw(replace(INPUTS, profile="quick", synthetic=True, random_weights=True))
    for root in roots.values():
        joined = " ".join(texts(root))
        for word in ("indicative", "synthetic samples", "random weights"):
            assert word in joined
