"""Record what this machine is and what the results depend on; the only stage that always runs.

`metrics/hardware.json` and `metrics/inputs.json` are what later stages are keyed by. Results of
recipes and variants that are no longer configured are removed here, before any stage hashes them.
"""

from __future__ import annotations

import os

from trtproof import artifacts, stage
from trtproof.config import load_params
from trtproof.inputs import make_inputs
from trtproof.leftovers import remove_leftovers
from trtproof.probing import probe

KEEP = "TRTPROOF_KEEP_HARDWARE"
"""Set it on a machine that only makes the report: the recorded facts stay as they are."""


def main() -> None:
    """Write both files, unless this machine shall keep those that another one recorded."""
    params = load_params()
    if os.environ.get(KEEP):
        artifacts.require(artifacts.HARDWARE, made_by="probe")
        artifacts.require(artifacts.INPUTS, made_by="probe")
    else:
        hardware, inputs = probe(params.target), make_inputs(params)
        artifacts.write_json(artifacts.HARDWARE, hardware.to_json())
        artifacts.write_json(artifacts.INPUTS, inputs)
    remove_leftovers(params.recipes, params.variants, studied=params.sensitivity.recipes)


if __name__ == "__main__":
    stage.run(main)
