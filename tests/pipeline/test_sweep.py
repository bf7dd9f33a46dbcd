"""`python -m trtproof.sweep` on a real project: DVC's experiments, killed, stopped, resumed."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.pipeline import models
from tests.pipeline.project import RAN, Outcome, Project
from tests.pipeline.test_faults import processes_in, wait_for, wait_until_gone

SWEEP = (sys.executable, "-m", "trtproof.sweep")
SHORT = ("benchmark.throughput=null", "benchmark.sustained=null", "benchmark.cold=null")
GRID = (
    *("-m", "sweep.name=grid", "variant=[onnxruntime-fp32]", *SHORT),
    "variants.onnxruntime-fp32.build.workspace_mib=100",
    "dataset.evaluation.file=data/cut.npz,data/evaluation.npz,data/second.npz",
)
"""Three jobs: the first fails at its samples, the others share one plan that is not built yet."""


@pytest.fixture(autouse=True)
def _devices_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep apart from other sweeps of this machine, whose jobs a test need not wait for."""
    folder = tmp_path / "locks"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))


def sweep(project: Project, *words: str) -> Outcome:
    return project.command(*SWEEP, *words)


def record(project: Project, name: str = "grid") -> dict[str, Any]:
    return dict(project.json(f"artifacts/sweeps/{name}/sweep.json"))


def statuses(project: Project, name: str = "grid") -> list[str]:
    return [job["status"] for job in record(project, name)["jobs"]]


def ran(project: Project, name: str = "grid") -> list[str]:
    """Return every stage that ran in the last try of every job, once per job that ran it."""
    logs = sorted((project.root / f"artifacts/sweeps/{name}/logs").glob("*.log"))
    return [stage for log in logs for stage in RAN.findall(log.read_text())]


def state(project: Project) -> tuple[str, str, str]:
    """Return what a sweep must leave as it is: the workspace, the branch, the stash."""
    return (
        project.must("git", "status", "--porcelain", "--branch"),
        project.must("git", "diff", "HEAD"),
        project.must("git", "stash", "list"),
    )


def prepare(project: Project) -> None:
    """Add two sets of samples, one of them broken, and an edit that is only in the workspace."""
    models.tiny_npz(project.root / "data/second.npz", count=36, seed=3)
    whole = (project.root / "data/evaluation.npz").read_bytes()
    (project.root / "data/cut.npz").write_bytes(whole[:100])
    project.must("git", "add", "data")
    project.edit("conf/benchmark/smoke.yaml", "requests: 20", "requests: 21")


def test_a_killed_sweep_goes_on_and_builds_nothing_twice(
    onnx_project: Project, tmp_path: Path
) -> None:
    prepare(onnx_project)
    before = state(onnx_project)
    kill_at(onnx_project, "benchmark", tmp_path / "paused")
    assert state(onnx_project) == before
    assert statuses(onnx_project) == ["failed", "missing", "missing"]
    builds = [name for name in ran(onnx_project) if name.startswith("build@")]
    assert builds == ["build@onnxruntime-fp32"]

    outcome = sweep(onnx_project, *GRID)
    assert outcome.code == 1, outcome.output
    assert "conf/benchmark/smoke.yaml" in outcome.output  # is in every experiment
    assert "params.yaml is not what conf/ composes to" in outcome.output
    assert state(onnx_project) == before
    assert statuses(onnx_project) == ["failed", "done", "done"]
    assert not [name for name in ran(onnx_project) if name.startswith("build@")]
    assert ran(onnx_project).count("benchmark") == 2
    failed, *done = record(onnx_project)["jobs"]
    assert "cut.npz" in failed["reason"]
    assert failed["reason"] in (onnx_project.root / failed["log"]).read_text()
    check_experiments(onnx_project, done)

    logs = [(onnx_project.root / job["log"]).stat().st_mtime_ns for job in done]
    again = sweep(onnx_project, "sweep.resume=grid")
    assert again.code == 1
    assert "1 of 3 jobs to run" in again.output
    assert record(onnx_project)["jobs"][1:] == done
    assert [(onnx_project.root / job["log"]).stat().st_mtime_ns for job in done] == logs


def kill_at(project: Project, stage: str, marker: Path) -> None:
    """Start the grid and kill its command, and nothing else, when a stage is nearly done."""
    project.host["pause"] = {"stage": stage, "marker": str(marker)}
    command = project.start(*SWEEP, *GRID)
    family = (
        {int(wait_for(marker, seconds=300))}
        | processes_in(project.root)
        | clones_processes(project)
    )
    os.kill(command.pid, signal.SIGKILL)
    command.communicate(timeout=120)
    assert len(family) > 2
    assert not wait_until_gone(family)
    project.host.clear()


def clones_processes(project: Project) -> set[int]:
    """Return every live process that works below the project's clones."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            place = (entry / "cwd").readlink() if entry.name.isdigit() else Path()
        except OSError:
            continue
        if place.is_relative_to(project.root / ".dvc/tmp"):
            found.add(int(entry.name))
    return found


def check_experiments(project: Project, done: list[dict[str, Any]]) -> None:
    """Check that DVC's own commands work on the results."""
    for job in done:
        made = yaml.safe_load(project.must("git", "show", f"{job['revision']}:params.yaml"))
        assert made["benchmark"]["requests"] == 21
        assert (
            f"dataset.evaluation.file={made['dataset']['evaluation']['file']}" in job["overrides"]
        )
    names = [job["experiment"] for job in done]
    assert names == ["grid-1", "grid-2"]
    shown = project.must("dvc", "exp", "show", "--csv")
    assert all(re.search(rf"^{name},", shown, re.MULTILINE) for name in names)
    diff = json.loads(project.must("dvc", "exp", "diff", *names, "--json"))
    changed = diff["params"]["params.yaml"]["dataset.evaluation.file"]
    assert (changed["old"], changed["new"]) == ("data/evaluation.npz", "data/second.npz")
    metrics = json.loads(project.must("dvc", "metrics", "diff", *names, "--json"))
    assert "metrics/variants/onnxruntime-fp32.json" in metrics
    project.must("dvc", "exp", "branch", names[0], "kept")
    assert project.must("git", "rev-parse", "kept").strip() == done[0]["revision"]


def test_an_interrupted_run_of_one_job_leaves_what_can_be_resumed_and_applied(
    onnx_project: Project, tmp_path: Path
) -> None:
    marker = tmp_path / "paused"
    onnx_project.host["pause"] = {"stage": "probe", "marker": str(marker)}
    before = state(onnx_project)
    first = onnx_project.start(*SWEEP, "sweep.name=one", "budget=example")
    stage = int(wait_for(marker, seconds=300))
    family = clones_processes(onnx_project) | {stage}
    os.kill(first.pid, signal.SIGINT)
    output, _ = first.communicate(timeout=300)
    assert first.returncode == 130, output
    assert "python -m trtproof.sweep sweep.resume=one" in output
    assert not wait_until_gone(family)
    assert state(onnx_project) == before
    assert statuses(onnx_project, "one") == ["missing"]

    onnx_project.host.clear()
    outcome = sweep(onnx_project, "sweep.resume=one")
    assert outcome.code == 0, outcome.output
    assert statuses(onnx_project, "one") == ["done"]
    assert not {"build@onnxruntime-fp32", "benchmark"} & set(ran(onnx_project, "one"))
    assert not list((onnx_project.root / ".dvc/tmp/trtproof/sweeps").iterdir())

    onnx_project.must("dvc", "exp", "apply", "one-0")
    params = yaml.safe_load((onnx_project.root / "params.yaml").read_text())
    assert params["budget"] == yaml.safe_load(
        (onnx_project.root / "conf/budget/example.yaml").read_text()
    )


def test_what_git_does_not_know_is_named_before_the_first_job(torch_project: Project) -> None:
    root = torch_project.root
    (root / "tinynet/more.py").write_text("FACTOR = 2.0\n")
    torch_project.edit(
        "tinynet/layers.py",
        "from torch import nn",
        "from torch import nn\nfrom tinynet import more",
    )
    (root / "tinynet/extra.json").write_text("{}\n")
    (root / "conf/benchmark/mine.yaml").write_text((root / "conf/benchmark/smoke.yaml").read_text())
    outcome = sweep(torch_project, "-m", "benchmark=smoke,mine")
    assert outcome.code == 1
    (error,) = outcome.errors
    named = "conf/benchmark/mine.yaml tinynet/extra.json tinynet/more.py"
    assert f"`git add {named}`" in error
    assert not list(root.glob("artifacts/sweeps/*/sweep.json"))
    assert not torch_project.must("git", "for-each-ref", "refs/exps")
