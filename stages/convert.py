"""Convert the model to one recipe's precision; no data is run and no device is looked at.

Writes artifacts/convert/<recipe>/: model.onnx (with its external data, if any), signature.json as
of the source, and record.json: what the pass did, and how its graph is evaluated truthfully.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from trtproof import artifacts, stage
from trtproof.calibration import Calibration
from trtproof.config import RecipeConfig, load_section
from trtproof.models.base import ONNX_FILE, SIGNATURE_FILE, load_files
from trtproof.precision import PASSES
from trtproof.precision.base import RECORD_FILE
from trtproof.progress import note


def main(recipe: str) -> None:
    """Write artifacts/convert/<recipe>/."""
    config = load_section(RecipeConfig, "recipes", recipe)
    precision_pass = PASSES.load(config.pass_name)
    source = load_files(Path(config.source))
    folder = Path(config.calibration)
    calibration = Calibration.load(folder) if folder == artifacts.CALIBRATE else None

    with artifacts.replace_folder(artifacts.convert(recipe)) as folder:
        record = precision_pass(source.onnx, folder / ONNX_FILE, calibration, config.options)
        shutil.copyfile(source.folder / SIGNATURE_FILE, folder / SIGNATURE_FILE)
        artifacts.write_json(folder / RECORD_FILE, record.to_json())
    for line in (*record.notes, *record.warnings):
        note(f"{recipe}: {line}")


if __name__ == "__main__":
    stage.run(main)
