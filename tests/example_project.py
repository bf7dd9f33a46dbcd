"""The worked examples as their users have them: a package and one YAML put into a new project."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.pipeline.project import REPOSITORY, Project

EXAMPLES = REPOSITORY / "examples"
ADAPTER = ("model.py", "samples.py", "scorer.py")
"""The modules that exist for trtproof only; the rest of an example is its user's package."""

SMALL = (
    ("recipe: [fp32, fp16, int8_cpu]", "recipe: [fp32]"),
    (
        "[torch-fp32, onnxruntime-fp32, onnxruntime-int8_cpu, tensorrt-fp32, tensorrt-fp16]",
        "[torch-fp32, onnxruntime-fp32]",
    ),
    ("benchmark: quick", "benchmark: smoke"),
    ("exporter: dynamo", "exporter: legacy"),
)
"""Edits of conf/config.yaml that let a run take seconds."""

LATENCY_ONLY = """
benchmark: # every scenario more starts workers more, each of which imports torch
  throughput: null
  sustained: null
  cold: null
"""

PATIENCE_S = 900
"""For a whole run on a machine whose benchmarks wait for one another."""


@dataclass
class ExampleProject(Project):
    """A project with one example; `name` is its folder below examples/."""

    name: str

    def environment(self) -> dict[str, str]:
        """Return the environment of every command: trtproof comes from this source tree."""
        variables = super().environment()
        package = str(REPOSITORY / "src")
        return variables | {"PYTHONPATH": os.pathsep.join([variables["PYTHONPATH"], package])}

    @property
    def adapter_lines(self) -> int:
        """Return the adapter's lines that are not blank."""
        modules = [path for path in (EXAMPLES / self.name).glob("*/*.py") if path.name in ADAPTER]
        texts = [path.read_text(encoding="utf-8") for path in modules]
        return sum(bool(line.strip()) for text in texts for line in text.splitlines())

    @property
    def report(self) -> Path:
        """Return the report's page."""
        return self.root / "artifacts/report/index.html"

    def scores(self, variant: str) -> dict[str, float]:
        """Return a variant's scores by metric."""
        return dict(self.json(f"metrics/variants/{variant}.json")["scores"])


@dataclass(frozen=True)
class FirstReport:
    """An example's way to its first report: what `trtproof try` said, and how long it all took."""

    project: ExampleProject
    tried: str
    minutes: float

    def tell(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Print the example's two figures, whatever pytest captures."""
        with capsys.disabled():
            sys.stdout.write(
                f"\nexamples/{self.project.name}: {self.project.adapter_lines} lines of adapter, "
                f"{self.minutes:.1f} minutes to the first report\n"
            )


def reach_first_report(name: str, folder: Path) -> FirstReport:
    """Follow an example's README in an empty git repository, with a benchmark of seconds.

    `trtproof try` runs before any stage does.
    """
    root = folder / name
    project = ExampleProject(root, {}, name)
    root.mkdir()
    project.must("git", "init", "-q")
    started = time.monotonic()
    ignored = shutil.ignore_patterns("__pycache__", "README.md")
    shutil.copytree(EXAMPLES / name, root, ignore=ignored, dirs_exist_ok=True)
    project.must("trtproof", "init", ".")
    for old, new in (("optional experiment: null", f"experiment: {name}"), *SMALL):
        project.edit("conf/config.yaml", old, new)
    with (root / "conf/config.yaml").open("a", encoding="utf-8") as config:
        config.write(LATENCY_ONLY)
    project.compose()
    tried = project.must("trtproof", "try")
    outcome = project.command("dvc", "repro", timeout=PATIENCE_S)
    assert outcome.code == 0, outcome.output
    return FirstReport(project, tried, (time.monotonic() - started) / 60.0)
