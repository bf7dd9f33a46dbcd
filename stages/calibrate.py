"""Run the exported graph once over the calibration split and count all its activations.

Writes artifacts/calibrate/: histograms.npz, ranges.json and coverage.json. Ranges for a precision
are chosen from these by convert, without another data pass.
"""

from __future__ import annotations

from trtproof import artifacts, data, inputs, stage
from trtproof.config import CalibrateConfig, load_section
from trtproof.data_pass import collect
from trtproof.models.base import load_files
from trtproof.progress import note
from trtproof.registry import extend_path


def main() -> None:
    """Write artifacts/calibrate/."""
    config = load_section(CalibrateConfig, "calibrate")
    pythonpath = load_section(list[str], "pythonpath")
    extend_path(pythonpath)
    allowed = inputs.keyed_files(None, data.load_config(), pythonpath)
    stage.guard_opens(allowed, setting="dataset.files", pythonpath=pythonpath)

    model = load_files(artifacts.EXPORT)
    dataset = data.open_split("calibration")
    calibration = collect(model.onnx, dataset, batch=config.batch, threads=config.threads)
    with artifacts.replace_folder(artifacts.CALIBRATE) as folder:
        calibration.write(folder)
    note(f"calibrated {len(calibration.tensors)} tensors on {len(dataset)} samples")


if __name__ == "__main__":
    stage.run(main)
