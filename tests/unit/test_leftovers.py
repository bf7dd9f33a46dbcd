import os
import subprocess
import sys
from pathlib import Path

import pytest

from trtproof.leftovers import remove_leftovers

KEPT = (
    "artifacts/convert/fp32/model.onnx",
    "artifacts/audit/fp32/audit.json",
    "artifacts/sensitivity/int8/sensitivity.json",
    "artifacts/build/torch-fp32/engine.json",
    "artifacts/evaluate/torch-fp32/scores.json",
    "artifacts/export/model.onnx",
    "metrics/variants/torch-fp32.json",
    "metrics/report.md",
)
REMOVED = (
    "artifacts/convert/int8/model.onnx",
    "artifacts/audit/int8/audit.json",
    "artifacts/sensitivity/fp8/sensitivity.json",
    "artifacts/build/torch-int8/engine.json",
    "artifacts/build/.hidden",
    "artifacts/evaluate/torch-int8/scores.json",
    "metrics/variants/torch-int8.json",
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (*KEPT, *REMOVED):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    return tmp_path


def files(project: Path) -> set[str]:
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


def test_what_is_no_longer_configured_goes_and_all_else_stays(project, capsys):
    remove_leftovers(["fp32"], ["torch-fp32"], ["int8"])
    assert files(project) == set(KEPT)
    assert (
        "removed artifacts/build/torch-int8, which is no longer configured"
        in capsys.readouterr().err
    )


def test_what_a_dead_process_left_goes_and_a_living_ones_stays(project):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for number in (dead.pid, os.getpid()):
        (project / "artifacts" / ".tmp" / f"build-x-{number}").mkdir(parents=True)
    (project / "artifacts" / ".tmp" / "noise").mkdir()
    remove_leftovers(["fp32"], ["torch-fp32"])
    left = [path.name for path in (project / "artifacts" / ".tmp").iterdir()]
    assert left == [f"build-x-{os.getpid()}"]


def test_a_fresh_clone_has_nothing_to_remove(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert remove_leftovers(["fp32"], ["torch-fp32"]) == []


def test_a_link_is_removed_and_not_followed(project, tmp_path_factory):
    target = tmp_path_factory.mktemp("elsewhere")
    (target / "precious").write_text("x", encoding="utf-8")
    (project / "artifacts" / "build" / "linked").symlink_to(target)
    remove_leftovers(["fp32"], ["torch-fp32"])
    assert (target / "precious").exists()
    assert not (project / "artifacts" / "build" / "linked").is_symlink()
