"""A commit's results out of git and DVC's cache, on a small project that real dvc has run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trtproof.compare.revision import (
    Revision,
    fetch_folder,
    fetch_sources,
    open_revision,
    resolve_commit,
)
from trtproof.errors import InputError, PipelineError

PIPELINE = """
stages:
  build:
    foreach: {a: {}, b: {}}
    do:
      cmd: mkdir -p artifacts/build/${key}/deep && cp model.txt artifacts/build/${key}/deep/plan
      deps: [model.txt]
      outs: ["artifacts/build/${key}"]
"""
PERSON = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "test"), ("EMAIL", "test@localhost"))
}


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, env=os.environ | PERSON)


def dvc(*words: str) -> None:
    command(sys.executable, "-m", "dvc", *words)


def commit(text: str) -> None:
    """Change the model and the package, run the pipeline, and commit."""
    Path("model.txt").write_text(text, encoding="utf-8")
    Path("own").mkdir(exist_ok=True)
    Path("own/net.py").write_text(f"NAME = {text!r}\n", encoding="utf-8")
    dvc("repro", "-q")
    command("git", "add", "-A")
    command("git", "commit", "-qm", text)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A project below a git repository's top, with two commits."""
    root = tmp_path_factory.mktemp("repository") / "below"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        command("git", "init", "-q", "..")
        dvc("init", "-q", "--subdir")
        dvc("config", "core.analytics", "false")
        Path("dvc.yaml").write_text(PIPELINE, encoding="utf-8")
        Path("params.yaml").write_text("variants: {}\n", encoding="utf-8")
        Path(".gitignore").write_text("/artifacts/\n", encoding="utf-8")
        command("git", "add", "-A")
        command("git", "commit", "-qm", "nothing built yet")
        commit("first")
        commit("second")
    return root


@pytest.fixture
def project(finished: Path, monkeypatch) -> Path:
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def first(project: Path, tmp_path: Path) -> Revision:
    return open_revision("HEAD~1", tmp_path)


def test_a_commit_is_laid_out_as_a_project(first: Revision) -> None:
    assert (first.root / "params.yaml").read_text() == "variants: {}\n"
    folder = fetch_folder(first, Path("artifacts/build/a"))
    assert folder == first.root / "artifacts/build/a"
    assert (folder / "deep/plan").read_text() == "first"
    assert Path("artifacts/build/a/deep/plan").read_text() == "second"


def test_only_the_wanted_files_are_copied(first: Revision) -> None:
    folder = fetch_folder(first, Path("artifacts/build/b"), only=("other",))
    assert not (folder / "deep").exists()


def test_people_see_the_name_they_gave_and_the_commit(first: Revision) -> None:
    assert first.title == f"HEAD~1 ({first.commit[:12]})"
    assert Revision(first.commit[:8], first.commit, Path()).title == first.commit[:12]
    assert Revision("workspace", "", Path()).title == "workspace"


def test_what_was_never_made_is_said(first: Revision) -> None:
    with pytest.raises(InputError, match="artifacts/benchmark was never made at HEAD~1"):
        fetch_folder(first, Path("artifacts/benchmark"))


@pytest.mark.parametrize("lost", ["listing", "file"])
def test_a_cache_that_lacks_an_object_names_what_brings_it(first: Revision, tmp_path, lost) -> None:
    bare = tmp_path / "cache"
    digest = first.lock["artifacts/build/a"]["md5"]
    if lost == "file":
        (bare / digest[:2]).mkdir(parents=True)
        listing = (first.cache / digest[:2] / digest[2:]).read_bytes()
        (bare / digest[:2] / digest[2:]).write_bytes(listing)
    revision = Revision(first.name, first.commit, first.root, bare, first.lock)
    repair = (
        rf"`dvc fetch --all-commits` .* `git checkout {first.commit[:12]} && dvc repro build@a`"
    )
    with pytest.raises(InputError, match=repair):
        fetch_folder(revision, Path("artifacts/build/a"))


def test_a_commit_before_the_first_build_has_nothing_to_compare(project: Path, tmp_path) -> None:
    with pytest.raises(InputError, match=r"has no dvc.lock: nothing was built"):
        open_revision("HEAD~2", tmp_path)


@pytest.mark.parametrize("name", ["nonsense", "--all", "", "HEAD:dvc.yaml"])
def test_what_is_no_commit_is_refused(project: Path, name: str) -> None:
    with pytest.raises(InputError, match="git knows no revision"):
        resolve_commit(name)


def test_the_users_package_comes_as_it_was(first: Revision) -> None:
    (own, everything, absolute) = fetch_sources(first, ("own", ".", "/usr/lib/own"))
    assert (Path(own) / "net.py").read_text() == "NAME = 'first'\n"
    assert (Path(everything) / "own/net.py").read_text() == "NAME = 'first'\n"
    assert not (Path(everything) / "below").exists()
    assert absolute == "/usr/lib/own"
    with pytest.raises(InputError, match="pythonpath 'elsewhere' is not in git"):
        fetch_sources(first, ("elsewhere",))


def test_outside_of_git_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(PipelineError, match="git knows no revision"):
        open_revision("HEAD", tmp_path)
