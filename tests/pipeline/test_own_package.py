"""A package of the user's own through the whole pipeline: the example of docs/adapter.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.own_package import documented_files
from tests.pipeline.conftest import config
from tests.pipeline.project import REPOSITORY, Project, make_project

VARIANTS = {"torch-fp32", "onnxruntime-fp32", "onnxruntime-int8_cpu"}
RECIPES = {"fp32", "int8_cpu"}
PATIENCE_S = 900
"""For a whole run on a machine that others use too."""


def at(stage: str, items: set[str]) -> set[str]:
    return {f"{stage}@{item}" for item in items}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    settings = config(
        model="own",
        recipes=", ".join(sorted(RECIPES)),
        variants=", ".join(sorted(VARIANTS)),
        reference="torch-fp32",
    )
    for old, new in (
        ("dataset: columns", "dataset: own"),
        ("pythonpath: []", "pythonpath: [.]"),
        ("scorers: [top1, top5]", 'scorers: ["own.scorer:LetterErrors"]'),
        ("exporter: legacy", "exporter: dynamo"),
    ):
        assert old in settings
        settings = settings.replace(old, new)
    root = tmp_path_factory.mktemp("own") / "project"
    made = make_project(root, documented_files() | {"conf/config.yaml": settings})
    shutil.copytree(
        REPOSITORY / "src/trtproof",
        root / "src/trtproof",
        ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"),
    )
    return made


def test_the_documented_adapter_is_at_most_forty_lines() -> None:
    lines = [
        line
        for path, text in documented_files().items()
        if path.endswith(".py")
        for line in text.splitlines()
        if line.strip()
    ]
    assert len(lines) <= 40


def files_of(project: Project) -> list[Path]:
    """Return the project's files without caches."""
    found = (path for path in project.root.rglob("*") if "__pycache__" not in path.parts)
    return sorted(path for path in found if not path.is_relative_to(project.root / ".dvc/tmp"))


def test_try_shows_each_part_and_writes_nothing(project: Project) -> None:
    before = files_of(project)
    shown = project.must("trtproof", "try", "--export")
    for text in (
        "Tagger, ",
        "ids  int64 [batch, sequence]  batch 1..8..16, sequence 4..8..16",
        "mask  uint8 [batch, sequence]",
        "40 samples; the first: ids [",
        "logits  float32 [batch, ",
        "error_ratio ",
        "differs by at most",
    ):
        assert text in shown
    assert files_of(project) == before


def test_texts_of_any_length_reach_the_report_and_an_edit_re_runs_what_depends_on_it(
    project: Project,
) -> None:
    project.compose()
    outcome = project.command("dvc", "repro", timeout=PATIENCE_S)
    assert outcome.code == 0, outcome.output
    assert "the calibration set differs" not in outcome.output
    scores = project.json("artifacts/evaluate/onnxruntime-fp32/scores.json")
    assert scores["samples_count"] == 40
    assert 0 < scores["scores"]["own.scorer:LetterErrors"]["error_ratio"] < 1
    stored = project.json("artifacts/evaluate/onnxruntime-fp32/predictions.json")
    texts = stored["predictions"]["own.scorer:LetterErrors"]
    assert [len(text) for text in texts] == [len(label) for label in stored["labels"]]
    metrics = project.json("metrics/variants/onnxruntime-fp32.json")
    assert "error_ratio" in str(metrics)

    project.edit("own/scorer.py", "sum(letters) / len", "2 * sum(letters) / len")
    outcome = project.command("dvc", "repro", timeout=PATIENCE_S)
    assert outcome.code == 0, outcome.output
    scored = at("audit", RECIPES) | at("evaluate", VARIANTS)
    assert outcome.ran == {"probe", "report"} | scored, outcome.output

    keys = project.json("metrics/inputs.json")
    project.edit("own/samples.py", "def pad(samples):", "def pad(samples, value=0):")
    assert project.repro("probe").code == 0
    others = project.json("metrics/inputs.json")
    changed = {name for name in keys if keys[name] != others[name]}
    assert changed == {"calibration", "evaluation"}  # and not "parity": the samples are the same

    project.edit("own/model.py", "(1, 8)", "(1, 9)")
    assert project.repro("probe").code == 0
    latest = project.json("metrics/inputs.json")
    changed = {name for name in keys if others[name] != latest[name]}
    assert changed == {"model", "code"}
    assert others["code"]["build"]["onnxruntime"] == latest["code"]["build"]["onnxruntime"]


def test_an_adapter_that_breaks_is_one_line_in_try_and_in_the_stage(project: Project) -> None:
    broken = project.copy_to(Path(str(project.root) + "-broken"))
    broken.edit("own/model.py", '"logits": self.head(hidden)}', '"logits": (hidden, hidden)}')
    told = (
        "error: own.model:Tagger: output 0 ('logits') is a tuple of 2; return a tensor, a flat "
        "tuple of tensors, or a dictionary of tensors by output name"
    )
    tried = broken.command("trtproof", "try")
    assert tried.code == 1
    assert tried.output.strip().endswith(told)
    broken.compose()
    assert broken.repro("export").errors == [told]

    broken.edit("own/samples.py", "    random = ", '    open("notes.txt").read()\n    random = ')
    (broken.root / "notes.txt").write_text("", encoding="utf-8")
    told = "opened notes.txt, which is not in the key; add it to model.files or dataset.files"
    assert broken.command("trtproof", "try").output.strip().endswith(f"error: {told}")
