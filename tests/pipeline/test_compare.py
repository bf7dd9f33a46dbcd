"""`trtproof compare` and `trtproof check` on commits of a real project."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
import yaml
from onnx import helper, numpy_helper
from tests.pipeline import models
from tests.pipeline.conftest import bring_up, config
from tests.pipeline.project import REPOSITORY, Project, make_project

EXTRA_CONVOLUTIONS = 150
DETACHED = "[onnxruntime-fp32, onnxruntime-again, tensorrt-fp32]"


def steady_profile() -> str:
    """Return the smoke profile, long enough to decide and without regard to a busy machine."""
    text = (REPOSITORY / "conf/benchmark/smoke.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("profile: smoke", "profile: steady"),
        ("rounds: 6 ", "rounds: 12 "),  # and most_rounds
        ("restart_every_rounds: 0", "restart_every_rounds: 4"),
        ("max_minutes: 0.2", "max_minutes: 2.0"),
        ("pressure_share: 0.10", "pressure_share: 1.0"),
        ("steal_share: 0.01", "steal_share: 1.0"),
        ("foreign_share: 0.05", "foreign_share: 1.0"),
        ("reruns: 1", "reruns: 0"),
    ):
        assert old in text, f"conf/benchmark/smoke.yaml has no {old!r}"
        text = text.replace(old, new)
    head, _, _ = text.partition("throughput:")
    return f"{head}throughput: null\nsustained: null\ncold: null\ndevice: null\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with one commit: two variants of one plan, and one that is not here."""
    root = tmp_path_factory.mktemp("compare") / "project"
    variant = (REPOSITORY / "conf/variant/onnxruntime-fp32.yaml").read_text(encoding="utf-8")
    again = variant.replace("onnxruntime-fp32:", "onnxruntime-again:")
    assert again != variant
    project = make_project(
        root,
        {
            "conf/model/tiny.yaml": models.MODEL_YAML,
            "conf/dataset/columns.yaml": models.DATASET_YAML,
            "conf/variant/onnxruntime-again.yaml": again,
            "conf/benchmark/smoke.yaml": steady_profile(),
            "conf/config.yaml": config(
                model="tiny",
                recipes="fp32",
                variants=DETACHED.strip("[]"),
                reference="onnxruntime-fp32",
            ),
        },
    )
    models.tiny_onnx(root / "model/tiny.onnx")
    return bring_up(project)


@pytest.fixture
def project(base: Project, tmp_path: Path) -> Project:
    return base.copy_to(tmp_path / "project")


def plant_slow_model(path: Path) -> None:
    """Add convolutions that change nothing but the time."""
    model = onnx.load(path)
    kernel = np.zeros((8, 8, 3, 3), dtype=np.float32)
    kernel[np.arange(8), np.arange(8), 1, 1] = 1.0
    model.graph.initializer.append(numpy_helper.from_array(kernel, "identity"))
    first = next(node for node in model.graph.node if node.name == "block/Conv")
    place, source = list(model.graph.node).index(first), first.input[0]
    for number in range(EXTRA_CONVOLUTIONS):
        node = helper.make_node(
            "Conv", [source, "identity"], [f"slow{number}"], f"slow/{number}", pads=[1, 1, 1, 1]
        )
        source = f"slow{number}"
        model.graph.node.insert(place + number, node)
    first.input[0] = source
    onnx.save(model, path)


def commit(project: Project, message: str) -> None:
    project.must("git", "add", "-A")
    project.must("git", "commit", "-qm", message)


def found_in(project: Project, suffix: str = "") -> Any:
    """Return the one compare.json that a test's command wrote."""
    (path,) = project.root.glob(f"artifacts/compare/*{suffix}/compare.json")
    assert {"compare.md", "index.html"} <= {item.name for item in path.parent.iterdir()}
    return project.json(str(path.relative_to(project.root)))


def test_without_a_change_nothing_is_worse_and_the_pipeline_is_undisturbed(
    project: Project,
) -> None:
    outcome = project.command("trtproof", "compare")
    assert outcome.code == 0, outcome.output
    found = found_in(project)
    compared = {(item["variant"], item["figure"]) for item in found["times"]}
    assert compared >= {("onnxruntime-fp32", "wall_p10"), ("onnxruntime-again", "cpu_p50")}
    assert all(item["verdict"]["noise_floor"] > 0 for item in found["times"])
    assert {item["word"] for item in found["scores"]} == {"SAME"}
    assert [item["variant"] for item in found["absent"]] == ["tensorrt-fp32"]
    assert "artifacts/compare" not in project.must("git", "status", "--porcelain")
    again = project.repro()
    assert again.code == 0, again.output
    assert again.ran == {"probe"}
    assert (project.root / "artifacts/compare").is_dir()


def test_a_planted_slowdown_is_a_regression_between_its_two_commits(project: Project) -> None:
    plant_slow_model(project.root / "model/tiny.onnx")
    stale = project.command("trtproof", "compare")
    assert stale.code == 1
    assert "is not up to date in the workspace" in stale.output
    assert "run `dvc repro` first" in stale.output

    assert project.repro().code == 0
    commit(project, "slower")
    outcome = project.command("trtproof", "compare", "--base", "HEAD~1", "--strict")
    assert outcome.code == 5, outcome.output
    assert "Regression: onnxruntime-fp32, onnxruntime-again." in outcome.output
    found = found_in(project)
    slower = {item["variant"] for item in found["times"] if item["verdict"]["word"] == "SLOWER"}
    assert slower == {"onnxruntime-fp32", "onnxruntime-again"}
    assert {item["word"] for item in found["scores"]} == {"SAME"}
    layers = next(item for item in found["sizes"] if item["what"] == "layers")
    assert layers["word"] == "LARGER"

    recorded = project.command("trtproof", "compare", "--base", "HEAD~1", "--stored")
    assert recorded.code == 4, recorded.output  # the yardstick itself changed
    names = {item["name"] for item in found_in(project, "-stored")["refused"]}
    assert names == {"reference plan plan_sha256"}

    remove_from_cache(project, "HEAD~1", "build@onnxruntime-fp32")
    lost = project.command("trtproof", "compare", "--base", "HEAD~1")
    assert lost.code == 1
    (error,) = lost.errors
    assert "artifacts/build/onnxruntime-fp32 of HEAD~1 (" in error
    assert "`dvc fetch --all-commits`" in error
    assert "dvc repro build@onnxruntime-fp32`" in error


def remove_from_cache(project: Project, revision: str, stage: str) -> None:
    """Lose what DVC's cache has of a stage's output at a revision."""
    lock = yaml.safe_load(project.must("git", "show", f"{revision}:dvc.lock"))
    digest = lock["stages"][stage]["outs"][0]["md5"]
    (project.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()


def test_recorded_sessions_of_one_machine_are_compared_and_of_another_refused(
    project: Project,
) -> None:
    assert project.repro("-f", "-s", "benchmark").code == 0
    same = project.command("trtproof", "compare", "--stored")
    assert same.code == 0, same.output
    found = found_in(project, "-stored")
    assert {item["variant"] for item in found["times"]} == {"onnxruntime-again"}
    assert not found["refused"]
    assert "yardstick" in same.output

    project.host["cpu"] = "Another CPU @ 9.99GHz"
    assert project.repro().code == 0
    other = project.command("trtproof", "compare", "--stored")
    assert other.code == 4, other.output
    assert "Not comparable" in other.output
    refused = found_in(project, "-stored")["refused"]
    assert any("Another CPU" in item["after"] for item in refused)

    plans = project.command("trtproof", "compare")
    assert plans.code == 4, plans.output
    assert "Another CPU" in plans.output
    (path,) = (item for item in project.root.glob("artifacts/compare/*") if "-" not in item.name)
    assert not project.json(f"artifacts/compare/{path.name}/compare.json")["times"]


def test_the_budget_is_judged_for_ci(project: Project) -> None:
    nothing = project.command("trtproof", "check")
    assert nothing.code == 0, nothing.output
    assert "No budget is declared" in nothing.output

    project.edit("conf/budget/none.yaml", "latency_p50_ms: null", "latency_p50_ms: 1000.0")
    project.compose()
    assert project.repro().code == 0
    kept = project.command("trtproof", "check", "--junit", "reports/junit.xml")
    assert kept.code == 0, kept.output
    cases = read_junit(project.root / "reports/junit.xml")
    assert cases == {"onnxruntime-again": "", "tensorrt-fp32": "skipped"}
    assert project.command("trtproof", "check", "--strict").code == 3

    project.edit("conf/budget/none.yaml", "latency_p50_ms: 1000.0", "latency_p50_ms: 0.000001")
    project.compose()
    assert project.repro().code == 0
    missed = project.command("trtproof", "check", "--junit", "reports/junit.xml", "--base", "HEAD")
    assert missed.code == 5, missed.output
    cases = read_junit(project.root / "reports/junit.xml")
    assert cases["onnxruntime-again"] == "failure"
    assert "not slower than HEAD (" in (project.root / "reports/junit.xml").read_text()


def read_junit(path: Path) -> dict[str, str]:
    """Return what became of the first case of each variant: the name of its element."""
    suites = ET.parse(path).getroot()  # noqa: S314 - our own file
    assert suites.tag == "testsuites"
    (suite,) = suites
    assert int(suite.attrib["tests"]) == len(suite)
    found: dict[str, str] = {}
    for case in suite:
        tags = [item.tag for item in case if item.tag != "system-out"]
        found.setdefault(case.attrib["classname"], tags[0] if tags else "")
    return found
