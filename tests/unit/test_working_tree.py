"""What git says of the folder that a command runs in."""

from __future__ import annotations

import subprocess

import pytest

from trtproof.working_tree import describe_working_tree


def git(*words):
    subprocess.run(["git", *words], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    git("init", "-q")
    git("config", "user.name", "Ada Example")
    git("config", "user.email", "ada@localhost")
    for name in ("net.py", "über \n.py", "dvc.lock", "metrics/hardware.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1", encoding="utf-8")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return tmp_path


def test_an_unchanged_tree_names_its_commit_and_nothing_else(tree):
    found = describe_working_tree()
    assert len(found["commit"]) == 40
    assert found["changed"] == []
    assert found["user"] == "Ada Example"


def test_edited_and_staged_files_are_named_whatever_their_name(tree):
    (tree / "net.py").write_text("2", encoding="utf-8")
    (tree / "über \n.py").write_text("2", encoding="utf-8")
    git("add", "net.py")
    assert describe_working_tree()["changed"] == ["net.py", "über \n.py"]


def test_what_a_run_writes_and_untracked_files_are_no_change(tree):
    for name in ("dvc.lock", "metrics/hardware.json", "untracked.py"):
        (tree / name).write_text("2", encoding="utf-8")
    assert describe_working_tree()["changed"] == []


def test_names_are_relative_to_the_project_in_a_larger_repository(tree, monkeypatch):
    project = tree / "project"
    project.mkdir()
    (project / "net.py").write_text("1", encoding="utf-8")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    (project / "net.py").write_text("2", encoding="utf-8")
    (tree / "net.py").write_text("2", encoding="utf-8")
    monkeypatch.chdir(project)
    assert describe_working_tree()["changed"] == ["net.py"]


def test_without_a_commit_nothing_is_claimed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe_working_tree() == {"commit": None, "changed": None, "user": None}
    git("init", "-q")
    assert describe_working_tree() == {"commit": None, "changed": None, "user": None}


def test_without_git_nothing_is_claimed(tree, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert describe_working_tree() == {"commit": None, "changed": None, "user": None}
