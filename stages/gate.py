"""Stop everything when params.yaml is not what conf/ composes to, or its settings contradict.

The output is constant, so that passing invalidates nothing. Inside `dvc exp run` DVC has just
composed params.yaml itself, with its overrides; only the settings are checked there.
"""

from __future__ import annotations

import os

from trtproof import artifacts, stage
from trtproof.compose import require_composed
from trtproof.config import load_params
from trtproof.settings_check import check_settings

COMPOSED_BY_DVC = "DVC_EXP_BASELINE_REV"
"""DVC sets it for the stages of an experiment."""


def main() -> None:
    """Write the constant file that probe and export depend on."""
    if COMPOSED_BY_DVC not in os.environ:
        require_composed()
    check_settings(load_params())
    with artifacts.replace_folder(artifacts.GATE) as folder:
        artifacts.write_text(folder / "params.ok", "ok\n")


if __name__ == "__main__":
    stage.run(main)
