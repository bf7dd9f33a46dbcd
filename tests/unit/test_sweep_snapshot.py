"""The tracked files as they lie now, and what jobs would miss, in real git repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from trtproof.errors import InputError
from trtproof.sweep import tracked
from trtproof.sweep.snapshot import (
    Snapshot,
    experiments,
    fetch_experiment,
    own_environment,
    take_snapshot,
)
from trtproof.sweep.tracked import own_files, require_tracked


def git(*words: str, cwd: Path | None = None) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def write(path: str, text: str = "x\n") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture(params=[".", "below/deeper"])
def project(request, tmp_path, monkeypatch) -> Path:
    """Return a project that is git's folder, or lies below it; it is the working folder."""
    top = tmp_path / "top"
    place = top / request.param
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    git("init", "-q", cwd=top)
    for name in ("dvc.yaml", ".dvc/config", "conf/config.yaml", "stages/a.py", "params.yaml"):
        write(name)
    write(".gitignore", "/ignored/\n")
    git("add", "-A", cwd=top)
    git("commit", "-qm", "base")
    return place


def state() -> tuple[str, str, str]:
    return git("status", "--porcelain"), git("rev-parse", "HEAD"), git("stash", "list")


def test_a_snapshot_has_the_changes_and_leaves_the_workspace_alone(project) -> None:
    write("conf/config.yaml", "changed\n")
    (project / "stages/a.py").unlink()
    write("conf/new.yaml", "new\n")
    git("add", "-N", "conf/new.yaml")
    write("conf/untracked.yaml")
    before = state()
    found = take_snapshot()
    assert state() == before
    names = git("ls-tree", "-r", "--name-only", found.commit).splitlines()
    assert "conf/new.yaml" in names
    assert not {"stages/a.py", "conf/untracked.yaml"} & set(names)
    assert git("show", f"{found.commit}:./conf/config.yaml") == "changed"
    assert found.base == git("rev-parse", "HEAD")
    assert found.changed == ("conf/config.yaml", "conf/new.yaml", "stages/a.py")


def test_a_clean_tree_is_its_own_snapshot(project) -> None:
    found = take_snapshot()
    assert found.commit == found.base
    assert found.changed == ()


def test_sources_change_with_what_the_user_writes_and_not_with_what_a_run_writes(project) -> None:
    before = take_snapshot().sources
    for name in ("params.yaml", "dvc.lock", "metrics/variants/a.json"):
        write(name, "run\n")
    git("add", "-A")
    assert take_snapshot().sources == before
    git("commit", "-qm", "a run's results")
    assert take_snapshot().sources == before
    write("conf/config.yaml", "edit\n")
    edited = take_snapshot().sources
    assert edited != before
    git("commit", "-qam", "the edit")
    assert take_snapshot().sources == edited


def test_what_cannot_be_frozen_is_refused_with_the_repair(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no DVC project"):
        take_snapshot()
    write("dvc.yaml")
    write(".dvc/config")
    with pytest.raises(InputError, match="git init"):
        take_snapshot()
    git("init", "-q")
    with pytest.raises(InputError, match="git commit"):
        take_snapshot()


def test_an_unfinished_merge_is_refused(project) -> None:
    git("checkout", "-qb", "other")
    write("conf/config.yaml", "other\n")
    git("commit", "-qam", "other")
    git("checkout", "-q", "-")
    write("conf/config.yaml", "mine\n")
    git("commit", "-qam", "mine")
    subprocess.run(["git", "merge", "other"], capture_output=True, check=False)
    with pytest.raises(InputError, match="merge"):
        take_snapshot()


def test_an_experiment_comes_home_from_a_clone_and_replaces_one_of_its_name(
    project, tmp_path
) -> None:
    found = take_snapshot()
    clone = tmp_path / "clone"
    git("clone", "-q", str(found.top), str(clone))
    for text in ("first", "second"):
        tree = git("rev-parse", "HEAD^{tree}", cwd=clone)
        commit = git("commit-tree", tree, "-p", found.base, "-m", text, cwd=clone)
        reference = f"refs/exps/{found.base[:2]}/{found.base[2:]}/grid-0"
        git("update-ref", reference, commit, cwd=clone)
        assert experiments(found.base, clone) == {"grid-0": commit}
        fetch_experiment(found, found.base, clone, "grid-0")
        assert experiments(found.base) == {"grid-0": commit}


def test_another_commands_repository_is_not_taken_for_ours(monkeypatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("DVC_STAGE", "build@x")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    found = own_environment({"A": "b"})
    assert not {"GIT_DIR", "DVC_STAGE"} & found.keys()
    assert (found["A"], found["DVC_NO_ANALYTICS"]) == ("b", "1")


def check(*files: str | Path, folders: tuple[str, ...] = ()) -> Snapshot:
    found = take_snapshot()
    require_tracked(found, map(Path, files), folders)
    return found


def test_untracked_files_are_named_with_the_command_that_repairs_it(project) -> None:
    check(*own_files())
    write("conf/model/mine.yaml")
    write("ignored/data.npz")
    with pytest.raises(InputError) as raised:
        check(*own_files(), "ignored/data.npz")
    text = str(raised.value)
    assert "`git add conf/model/mine.yaml`" in text
    assert "`dvc add ignored/data.npz`" in text
    git("add", "conf/model/mine.yaml")
    git("add", "-f", "ignored/data.npz")
    check(*own_files(), "ignored/data.npz")


def test_byte_code_is_no_input(project) -> None:
    write("stages/__pycache__/a.cpython-311.pyc")
    assert not [path for path in own_files() if path.suffix == ".pyc"]


def test_what_dvc_tracks_as_it_lies_is_known_and_changed_is_not(project, monkeypatch) -> None:
    write("data/big.npz")
    write("data/big.npz.dvc", "outs:\n- path: big.npz\n  md5: 0\n")
    write("folder/inner/file.bin")
    write("folder.dvc", "outs:\n- path: folder\n  md5: 0\n")
    write("dvc.lock", "stages:\n  train:\n    outs:\n    - path: weights\n      md5: 0\n")
    write("weights/model.onnx")
    git("add", "data/big.npz.dvc", "folder.dvc", "dvc.lock")
    monkeypatch.setattr(tracked, "_dvc_state", lambda file: None)
    check("data/big.npz", "folder/inner/file.bin", "weights/model.onnx")
    monkeypatch.setattr(tracked, "_dvc_state", lambda file: "modified")
    with pytest.raises(InputError, match=r"dvc commit .*data/big\.npz\.dvc"):
        check("data/big.npz")


def test_paths_that_lead_out_of_the_repository_have_to_be_absolute(project, tmp_path) -> None:
    outside = tmp_path / "outside.onnx"
    outside.write_text("x")
    check(outside)
    relative = Path(*[".."] * (len(project.relative_to(tmp_path).parts)), "outside.onnx")
    assert relative.is_file()
    with pytest.raises(InputError, match="absolute path"):
        check(project / relative)
    with pytest.raises(InputError, match="absolute path"):
        check(folders=(str(relative.parent),))
