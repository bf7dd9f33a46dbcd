"""A comparison's own page, in the report's style: one file, readable without network or script."""

from __future__ import annotations

from trtproof.compare.forest import draw_forest
from trtproof.compare.result import Comparison
from trtproof.compare.tables import make_tables, summary_line
from trtproof.compare.texts import subject_lines
from trtproof.report import theme
from trtproof.report.page import make_environment

TEMPLATE = "compare.html.j2"


def render_page(found: Comparison) -> str:
    """Return the page; every text in it is escaped."""
    context = {
        "light": theme.to_css(theme.LIGHT),
        "dark": theme.to_css(theme.DARK),
        "found": found,
        "summary": summary_line(found),
        "subject": subject_lines(found),
        "tables": make_tables(found),
        "forest": draw_forest(found.times) if found.times else "",
        "indicative": any(not item.verdict.gates for item in found.times),
    }
    return make_environment().get_template(TEMPLATE).render(context)
