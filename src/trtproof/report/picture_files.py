"""metrics/*.svg: the pictures that a repository's page and a pull request can show."""

from __future__ import annotations

from typing import Final

from trtproof.report import pictures, theme
from trtproof.report.cells import Facts
from trtproof.report.controls import control_text
from trtproof.report.findings import Findings, Run
from trtproof.report.pictures import Picture
from trtproof.report.svg import Drawing, Panel, Type, to_file
from trtproof.report.texts import fit

BARS: Final = "latency.svg"
CURVES: Final = "percentiles.svg"
SCORES: Final = "scores.svg"
CURVES_WIDTH: Final = 1000.0


def render_pictures(findings: Findings, facts: Facts) -> dict[str, str]:
    """Return file name -> SVG text with fixed colours; what is not measured says so in it."""
    sizes, reference = findings.batches, findings.reference.name
    bars = [
        _panel(
            pictures.draw_bars(findings, facts, size),
            f"{_origin(findings)}; speed: {reference} = 1",
            f"{reference} against its own second run: {control_text(findings, facts, size)}",
        )
        for size in sizes
    ]
    curves = [
        _panel(pictures.draw_percentiles(findings, size), _origin(findings)) for size in sizes
    ]
    scores = _panel(pictures.draw_scores(findings, facts), _origin(findings))
    return {
        BARS: to_file(bars or [_absent(findings, "Latency")], theme.LIGHT),
        CURVES: to_file(
            curves or [_absent(findings, "Latency by percentile")], theme.LIGHT, width=CURVES_WIDTH
        ),
        SCORES: to_file([scores], theme.LIGHT),
    }


def _panel(picture: Picture, *leads: str) -> Panel:
    svg = picture.svg or _draw_absence(f"not measured: {picture.absent}")
    return Panel(picture.title, leads, svg)


def _absent(findings: Findings, title: str) -> Panel:
    run = findings.run
    why = "the benchmark left no samples" if isinstance(run, Run) else run.reason
    return Panel(title, (findings.hardware.slug,), _draw_absence(f"not measured: {why}"))


def _draw_absence(text: str) -> str:
    drawing = Drawing(580, 30, text)
    drawing.text((1, 20), fit(text, 580, 11), Type("warn", size=13))
    return drawing.finish()


def _origin(findings: Findings) -> str:
    """Return where and when, and what weakens the figures, in few words."""
    run = findings.run
    parts = [findings.hardware.slug]
    if isinstance(run, Run):
        parts.append(run.when.partition(" ")[0])
        parts += ["indicative"] if run.indicative else []
    parts += ["synthetic samples"] if findings.synthetic else []
    parts += ["random weights"] if findings.settings.random_weights else []
    return ", ".join(parts)
