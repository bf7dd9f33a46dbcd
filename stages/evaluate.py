"""Score one variant's plan on the evaluation split.

Writes artifacts/evaluate/VARIANT/: scores.json, predictions.json and outputs.npz; for a variant
without a plan scores.json with the reason only.
"""

from __future__ import annotations

from trtproof import artifacts, stage
from trtproof.config import EvaluateConfig, RunConfig, load_section
from trtproof.data import open_split
from trtproof.device_choice import use_device
from trtproof.hardware import load_hardware
from trtproof.registry import extend_path
from trtproof.scoring import evaluation
from trtproof.sidecar import read_record, verify_plan


def main(variant: str) -> None:
    """Write artifacts/evaluate/VARIANT/."""
    config = load_section(EvaluateConfig, "evaluate")
    run = load_section(RunConfig, "variants", variant, "run")
    pythonpath = load_section(list[str], "pythonpath")
    extend_path(pythonpath)

    built = artifacts.build(variant)
    record = read_record(built)
    with artifacts.replace_folder(artifacts.evaluate(variant)) as folder:
        if record.plan is None:
            described = evaluation.describe_record(record)
            artifacts.write_json(folder / evaluation.SCORES_FILE, described)
            return
        hardware = load_hardware()
        use_device(hardware)
        verify_plan(built, hardware.engine.get(record.backend, {}))
        evaluation.guard_inputs(pythonpath, config.scorers)
        scorers = evaluation.load_scorers(config.scorers)
        dataset = open_split("evaluation")
        plan = evaluation.OpenablePlan(built, record, run, pythonpath)
        result = evaluation.evaluate_plan(plan, dataset, scorers, config)
        evaluation.say_not_finite(result, variant)
        scores = evaluation.score(result, scorers)
        evaluation.write_evaluation(folder, record, result, scores, synthetic=dataset.synthetic)


if __name__ == "__main__":
    stage.run(main)
