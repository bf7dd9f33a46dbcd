import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from trtproof import cli, disk
from trtproof.disk import OTHER, Garbage, Removal, collect, name_objects, own_caches, render
from trtproof.errors import PipelineError

OLD = 1_000_000_000


def test_objects_are_named_by_the_result_that_they_were(tmp_path):
    cache = tmp_path / "files/md5"
    (cache / "aa").mkdir(parents=True)
    (tmp_path / "runs/ab/abcd").mkdir(parents=True)
    outs = [{"path": "artifacts/build/x", "md5": "aa1.dir"}]
    (tmp_path / "runs/ab/abcd/1234").write_text(yaml.safe_dump({"outs": outs}))
    (tmp_path / "runs/ab/abcd/broken").write_text("{")
    (cache / "aa/1.dir").write_text(json.dumps([{"md5": "aa2", "relpath": "plan"}]))
    (cache / "aa/2").write_bytes(b"12345")
    (cache / "aa/3").write_bytes(b"1")
    found = {
        item.name: item
        for item in name_objects([cache / "aa/1.dir", cache / "aa/2", cache / "aa/3"], cache)
    }
    assert list(found["artifacts/build/x"].files) == [cache / "aa/1.dir", cache / "aa/2"]
    assert found[OTHER].size_bytes == 1


def test_the_largest_comes_first_with_the_sum(tmp_path):
    (tmp_path / "big").write_bytes(b"0" * 3_000_000)
    (tmp_path / "small").write_bytes(b"0" * 1_000_000)
    found = [
        Garbage("small", [tmp_path / "small"], "made again"),
        Garbage("none", [], "made again"),
        Garbage("big", [tmp_path / "big"], "made again"),
    ]
    lines = render(found, removed=False).splitlines()
    assert lines[0].startswith("big")
    assert "3.0 MB" in lines[0]
    assert lines[-1].startswith("4.0 MB: nothing was removed")
    assert not any("none" in line for line in lines[:-1])
    assert render(found, removed=True).endswith("4.0 MB: removed")
    assert render([], removed=False) == "nothing to remove"


def test_old_timings_and_notes_go_but_not_durations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    timings = tmp_path / "cache/trtproof/timing"
    (tmp_path / ".dvc/tmp/trtproof/seconds").mkdir(parents=True)
    timings.mkdir(parents=True)
    for path in ("files.json", "seconds/export.json"):
        (tmp_path / ".dvc/tmp/trtproof" / path).write_text("{}")
    for name in ("old.timing", "new.timing"):
        (timings / name).touch()
    os.utime(timings / "old.timing", (OLD, OLD))
    notes, kernels = own_caches()
    assert list(notes.files) == [Path(".dvc/tmp/trtproof/files.json")]
    assert list(kernels.files) == [timings / "old.timing"]


def test_a_cache_that_others_may_use_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(disk, "cache_folder", lambda: tmp_path.parent / "shared/files/md5")
    with pytest.raises(PipelineError, match="--projects"):
        collect([], Removal.YES)


def test_outside_of_a_project_it_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["gc"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


STAGE = """\
stages:
  make:
    cmd: mkdir made && cp value.txt made/value && cp value.txt made/again-${size}
    params: [size]
    deps: [value.txt]
    outs: [made]
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@localhost")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    (tmp_path / "dvc.yaml").write_text(STAGE)
    (tmp_path / "params.yaml").write_text("size: 1\n")
    (tmp_path / "value.txt").write_text("committed")
    (tmp_path / ".gitignore").write_text("/made/\n")
    run("git", "init", "-q")
    run("dvc", "init", "-q")
    return tmp_path


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def repro(text: str) -> None:
    Path("value.txt").write_text(text)
    run("dvc", "repro", "-q")


def cached() -> set[str]:
    """Return the content of every file in DVC's cache."""
    folder = Path(".dvc/cache/files/md5")
    return {path.read_text() for path in folder.glob("*/*") if path.suffix != ".dir"}


def test_commits_experiments_and_the_workspace_survive(project, monkeypatch):
    monkeypatch.setattr(disk, "load_params", lambda: pytest.fail("no settings of ours"))
    monkeypatch.setattr(disk, "PARAMS_FILE", project / "none.yaml")
    repro("committed")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "first")
    Path("value.txt").write_text("experiment")
    run("dvc", "exp", "run", "-q")
    run("git", "checkout", "-q", "--", ".")
    repro("lost")
    repro("workspace")
    assert cached() == {"committed", "experiment", "lost", "workspace"}
    shown = collect([], Removal.DRY)
    assert shown.startswith("made")
    assert "nothing was removed" in shown
    assert cached() == {"committed", "experiment", "lost", "workspace"}
    removed = collect([], Removal.YES)
    assert removed == shown.replace(
        "nothing was removed; `trtproof gc --yes` removes it", "removed"
    )
    assert cached() == {"committed", "experiment", "workspace"}
    assert collect([], Removal.DRY) == "nothing to remove"
