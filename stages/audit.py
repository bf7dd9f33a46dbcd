"""Compare one recipe's graph with the fp32 export on the evaluation split, without its hardware.

Writes artifacts/audit/<recipe>/: audit.json with the error of every output, and the task's scores
where samples are labelled; outputs.npz, the first samples' outputs for the report's ladder.
"""

from __future__ import annotations

from trtproof import artifacts, data, inputs, stage
from trtproof.audit import AUDIT_FILE, OUTPUTS_FILE, Comparison, Kept, audit
from trtproof.config import EvaluateConfig, load_section
from trtproof.models.base import load_files
from trtproof.precision.base import RECORD_FILE
from trtproof.registry import extend_path
from trtproof.scoring import load_scorer


def main(recipe: str) -> None:
    """Write artifacts/audit/<recipe>/."""
    config = load_section(EvaluateConfig, "evaluate")
    pythonpath = load_section(list[str], "pythonpath")
    extend_path(pythonpath)
    allowed = inputs.keyed_files(None, data.load_config(), pythonpath, config.scorers)
    stage.guard_opens(allowed, setting="dataset.files", pythonpath=pythonpath)
    converted = load_files(artifacts.convert(recipe))
    record = artifacts.read_json(converted.folder / RECORD_FILE, made_by=f"convert@{recipe}")
    comparison = Comparison(
        reference=load_files(artifacts.EXPORT).onnx,
        converted=converted.onnx,
        executor=record["executor"],
    )
    scorers = {name: load_scorer(name) for name in config.scorers}
    dataset = data.open_split("evaluation")
    kept = Kept(config.keep_outputs)
    found = audit(comparison, dataset, batch=config.batch, scorers=scorers, kept=kept)
    stated = {name: record[name] for name in ("precision", "executor")}

    with artifacts.replace_folder(artifacts.audit(recipe)) as folder:
        artifacts.write_json(folder / AUDIT_FILE, {"schema": 1, "recipe": recipe} | stated | found)
        kept.write(folder / OUTPUTS_FILE)


if __name__ == "__main__":
    stage.run(main)
