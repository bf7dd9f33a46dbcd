"""The page in a real browser: no console message, no request, nothing wider than a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

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
MEASURE = """
<script>
const frame = document.querySelector("iframe");
const messages = [];
frame.addEventListener("load", () => {
  const page = frame.contentDocument;
  const root = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter((item) =>
    item.getBoundingClientRect().right > root.clientWidth + 1 &&
    !item.closest(".scroll, .wide, pre"));
  const found = {
    scroll: root.scrollWidth,
    client: root.clientWidth,
    wide: wide.map((item) => item.outerHTML.slice(0, 120)),
    requests: frame.contentWindow.performance.getEntriesByType("resource").length,
    heading: page.querySelector("h1").textContent,
  };
  page.querySelector("[data-choice=dark]").click();
  found.dark = getComputedStyle(page.body).backgroundColor;
  page.querySelector("[data-choice=light]").click();
  found.light = getComputedStyle(page.body).backgroundColor;
  document.body.dataset.found = JSON.stringify(found);
});
</script>
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")


@pytest.fixture
def page(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    inputs = Inputs(requests=130, model="a_model_with_quite_a_long_name" * 3, profile="quick",
                    synthetic=True, budget={"speedup_ratio": 2.0, "top1_drop_pp": 0.5})  # fmt: skip
    build(inputs)
    return render_page(*load(inputs))


def run_chromium(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *FLAGS, profile, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_it_fits_a_phone_asks_for_nothing_and_logs_nothing(tmp_path, page):
    framed = f'<iframe width="{PHONE_PX}" height="900" srcdoc="{html.escape(page)}"></iframe>'
    path = tmp_path / "framed.html"
    path.write_text(f"<!doctype html><body>{MEASURE}{framed}</body>".replace(
        MEASURE + framed, framed + MEASURE), encoding="utf-8")  # fmt: skip
    done = run_chromium(tmp_path, "--dump-dom", path.as_uri())
    text = re.search(r'data-found="([^"]*)"', done.stdout)
    assert text is not None, done.stdout[-2000:]
    found = json.loads(html.unescape(text.group(1)))
    assert found["wide"] == []
    assert found["scroll"] <= found["client"] <= PHONE_PX
    assert found["requests"] == 0
    assert "a_model_with" in found["heading"]
    assert found["dark"] != found["light"]
    assert "CONSOLE" not in done.stderr


def test_it_prints(tmp_path, page):
    path, printed = tmp_path / "index.html", tmp_path / "page.pdf"
    path.write_text(page, encoding="utf-8")
    run_chromium(tmp_path, f"--print-to-pdf={printed}", "--no-pdf-header-footer", path.as_uri())
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/MediaBox [0 0 594" in content or b"/MediaBox [0 0 595" in content
