"""Run the exported graph over the calibration split and count all its activations.

A second pass over the evaluation inputs (without their labels) tells whether the calibration
samples represent them. A file in `calibrate.from` gives the ranges instead of the first pass.
Writes artifacts/calibrate/: histograms.npz, ranges.json, coverage.json and float16.json. Ranges for
a precision are chosen from these by convert, without another data pass.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from trtproof import artifacts, data, inputs, stage
from trtproof.backends.onnxruntime_library import PROVIDERS
from trtproof.calibration.coverage import describe_evaluation, hash_samples
from trtproof.calibration.files import FLOAT16_FILE
from trtproof.calibration.given import read_given, say_calibrated
from trtproof.calibration_check import compare
from trtproof.calibration_verdict import judge
from trtproof.config import CalibrateConfig, load_section
from trtproof.data_pass import choose_evaluation, collect, describe_graph, multiplied_tensors
from trtproof.models.base import load_files
from trtproof.precision.graph import load_model
from trtproof.precision.range_report import describe_float16
from trtproof.progress import note
from trtproof.registry import extend_path


def main() -> None:
    """Write artifacts/calibrate/."""
    config = load_section(CalibrateConfig, "calibrate")
    pythonpath = load_section(list[str], "pythonpath")
    extend_path(pythonpath)
    allowed = inputs.keyed_files(None, data.load_config(), pythonpath)
    allowed += [Path(config.given)] if config.given else []
    stage.guard_opens(allowed, setting="dataset.files", pythonpath=pythonpath)

    model = load_files(artifacts.EXPORT).onnx
    graph = load_model(model)
    run = partial(collect, model, batch=config.batch, threads=config.threads, device=config.device)
    if config.given:
        calibration = read_given(Path(config.given), describe_graph(graph))
    else:
        calibration = run(data.open_split("calibration"))
    others = data.open_split("evaluation")
    evaluation = run(choose_evaluation(model, others, config.check_count), split="evaluation")

    comparison = compare(calibration, evaluation, multiplied_tensors(graph))
    hashes = hash_samples(others, config.batch)
    coverage = dict(calibration.coverage) | {
        "executor": {"device": config.device, "provider": PROVIDERS[config.device]},
        "evaluation": describe_evaluation(calibration.samples, hashes, evaluation.samples),
        "comparison": comparison.to_json() if comparison else None,
    }
    verdict = judge(comparison, coverage)
    if config.harmful == "stop":
        verdict.refuse_harm()

    with artifacts.replace_folder(artifacts.CALIBRATE) as folder:
        replace(calibration, coverage=coverage | verdict.to_json()).write(folder)
        artifacts.write_json(folder / FLOAT16_FILE, describe_float16(graph, calibration))
    for line in (*say_calibrated(calibration), *verdict.lines()):
        note(line)


if __name__ == "__main__":
    stage.run(main)
