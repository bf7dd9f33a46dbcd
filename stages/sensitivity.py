"""Quantise one layer of a recipe at a time and measure what it costs at the outputs.

Writes artifacts/sensitivity/<recipe>/sensitivity.json. Samples are the calibration split's: what
the evaluation split decided could not be judged on it afterwards.
"""

from __future__ import annotations

from trtproof import artifacts, data, inputs, stage
from trtproof.calibration import Calibration
from trtproof.config import RecipeConfig, load_section
from trtproof.models.base import load_files
from trtproof.registry import extend_path
from trtproof.sensitivity import SENSITIVITY_FILE, Bench, load_explicit, study


def main(recipe: str) -> None:
    """Write artifacts/sensitivity/<recipe>/."""
    config = load_section(RecipeConfig, "recipes", recipe)
    samples = load_section(int, "sensitivity", "samples")
    batch = load_section(int, "sensitivity", "batch")
    pythonpath = load_section(list[str], "pythonpath")
    extend_path(pythonpath)
    allowed = inputs.keyed_files(None, data.load_config(), pythonpath)
    stage.guard_opens(allowed, setting="dataset.files", pythonpath=pythonpath)

    model = load_files(artifacts.EXPORT).onnx
    calibration = Calibration.load(artifacts.CALIBRATE)
    bench = Bench(model, data.open_split("calibration"), samples=samples, batch=batch)
    quantiser = load_explicit(config.pass_name)
    found = study(model, quantiser, calibration, config.options, bench)
    stated = {"schema": 1, "recipe": recipe, "precision": quantiser.precision}
    with artifacts.replace_folder(artifacts.sensitivity(recipe)) as folder:
        artifacts.write_json(folder / SENSITIVITY_FILE, stated | found.to_json())


if __name__ == "__main__":
    stage.run(main)
