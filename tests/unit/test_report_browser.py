"""The page in a real browser: no console message, no request, nothing wider than a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.report_inputs import Inputs, build, load

from trtproof.report.page import render_page

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=2000",
)  # fmt: skip
PHONE_PX = 390
PAPER_PX = 703
"""A4 without its margins: 210 - 2 * 12 mm at 96 dots per inch."""

LEAST_CONTRAST = 4.5
MEASURE = (Path(__file__).parent / "report_measure.js").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    long = "quite_a_long_name" * 9
    inputs = Inputs(
        requests=130,
        model=long,
        profile="quick",
        synthetic=True,
        budget={"speedup_ratio": 2.0, "top1_drop_pp": 0.5, "latency_p99_ms": 0.5},
        user=long,
        changed=(f"{long}.py",),
        variables={"OMP_NUM_THREADS": long},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        build(inputs)
        return render_page(*load(inputs))


@pytest.fixture(scope="module")
def desktop(tmp_path_factory, page) -> dict[str, Any]:
    return measure(tmp_path_factory.mktemp("desktop"), page, 1120)


def run_chromium(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *FLAGS, profile, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def measure(tmp_path: Path, page: str, width: int, *flags: str) -> dict[str, Any]:
    """Return what the script finds of a page in a frame of some width."""
    framed = f'<iframe width="{width}" height="900" srcdoc="{html.escape(page)}"></iframe>'
    path = tmp_path / "framed.html"
    path.write_text(
        f"<!doctype html><body>{framed}<script>{MEASURE}</script></body>", encoding="utf-8"
    )
    done = run_chromium(tmp_path, *flags, "--dump-dom", path.as_uri())
    text = re.search(r'data-found="([^"]*)"', done.stdout)
    assert text is not None, done.stdout[-2000:]
    assert "CONSOLE" not in done.stderr
    return dict(json.loads(html.unescape(text.group(1))))


def test_it_fits_a_phone_asks_for_nothing_and_logs_nothing(tmp_path, page):
    found = measure(tmp_path, page, PHONE_PX)
    assert found["wide"] == []
    assert found["scroll"] <= found["client"] <= PHONE_PX
    assert found["requests"] == 0
    assert "quite_a_long" in found["heading"]
    assert found["dark"]["ground"] != found["light"]["ground"]


def test_every_text_has_enough_contrast_as_it_is_rendered(desktop):
    for theme in ("light", "dark"):
        assert desktop[theme]["texts"] > 300
        assert desktop[theme]["least"] >= LEAST_CONTRAST, desktop[theme]["weakest"]


def test_no_text_of_a_chart_is_cut(desktop):
    assert desktop["cut"] == []


def test_the_systems_dark_colours_are_used_without_a_click(tmp_path, page, desktop):
    dark = measure(tmp_path, page, 1120, "--blink-settings=preferredColorScheme=0")
    assert dark["own"] == dark["dark"]["ground"]
    assert desktop["own"] == desktop["light"]["ground"]
    assert dark["own"] != desktop["own"]


def test_on_paper_nothing_is_wider_than_the_sheet(tmp_path, page):
    """Its print rules, applied to a frame of a sheet's width: paper does not scroll."""
    printed = page.replace("@media print {", "@media all {")
    assert printed != page
    found = measure(tmp_path, printed, PAPER_PX)
    assert found["wide_anywhere"] == []
    assert found["scroll"] <= PAPER_PX


def test_the_measurement_finds_what_is_wrong(tmp_path, page):
    """A wide element and a weak colour: each is found."""
    wrong = page.replace("<main>", '<main><p style="width:900px;color:#999">weak and wide</p>')
    found = measure(tmp_path, wrong, PHONE_PX)
    assert any("weak and wide" in item for item in found["wide"])
    assert found["light"]["least"] < LEAST_CONTRAST


def test_it_prints(tmp_path, page):
    path, printed = tmp_path / "index.html", tmp_path / "page.pdf"
    path.write_text(page, encoding="utf-8")
    run_chromium(tmp_path, f"--print-to-pdf={printed}", "--no-pdf-header-footer", path.as_uri())
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/MediaBox [0 0 594" in content or b"/MediaBox [0 0 595" in content
