"""Become `dvc`, and die with the sweep that started it: no job outlives a killed sweep."""

from __future__ import annotations

import os
import sys

from trtproof.stage import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    os.execv(sys.executable, [sys.executable, "-m", "dvc", *sys.argv[1:]])  # noqa: S606 - no shell
