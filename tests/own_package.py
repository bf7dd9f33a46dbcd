"""The example of docs/adapter.md as files, so that what is documented is what runs."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
BLOCK = re.compile(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)


def documented_files() -> dict[str, str]:
    """Return path -> text of every file that the page shows."""
    page = (REPOSITORY / "docs/adapter.md").read_text(encoding="utf-8")
    return dict(BLOCK.findall(page))
