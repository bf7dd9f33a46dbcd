import subprocess
from pathlib import Path

import pytest

from trtproof.errors import InputError
from trtproof.scaffold.place import find_place
from trtproof.scaffold.writing import require_free, write_all


def everything(root: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


def test_all_files_are_written_and_lines_are_appended(tmp_path):
    (tmp_path / ".gitignore").write_text("mine")
    write_all(
        tmp_path, {"a/b.txt": b"1"}, appended={".gitignore": "/artifacts/\n"}, new_repository=False
    )
    assert (tmp_path / "a/b.txt").read_bytes() == b"1"
    assert (tmp_path / ".gitignore").read_text() == "mine\n/artifacts/\n"
    assert not (tmp_path / ".git").exists()


def test_a_repository_is_made_where_there_is_none(tmp_path):
    write_all(tmp_path / "new", {"a": b"1"}, appended={}, new_repository=True)
    assert (tmp_path / "new/.git").is_dir()


def test_an_error_leaves_everything_as_it_was(tmp_path):
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "kept2").write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(InputError, match="nothing was left behind"):
        write_all(
            tmp_path,
            {"a/b.txt": b"1", "z": b"2", "kept2": b"3"},
            appended={"kept": "more\n"},
            new_repository=True,
        )
    assert everything(tmp_path) == before


def test_an_interrupt_leaves_everything_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "kept").write_text("mine")
    before = everything(tmp_path)

    def stop(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr("trtproof.scaffold.writing._append", stop)
    with pytest.raises(KeyboardInterrupt):
        write_all(tmp_path, {"a/b": b"1"}, appended={"kept": "x"}, new_repository=True)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("taken", ["dvc.yaml", "conf/model/x.yaml"])
def test_what_is_there_is_named_and_never_overwritten(tmp_path, taken):
    (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / taken).write_text("mine")
    with pytest.raises(InputError, match=taken):
        require_free(tmp_path, ["dvc.yaml", "conf/model/x.yaml"])


def test_a_file_where_a_folder_must_be_is_named(tmp_path):
    (tmp_path / "conf").write_text("a file")
    with pytest.raises(InputError, match="conf/config"):
        require_free(tmp_path, ["conf/config.yaml"])


def test_a_long_list_is_cut(tmp_path):
    names = [f"f{number}" for number in range(9)]
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="f5 and 3 more"):
        require_free(tmp_path, names)


def test_a_place_knows_the_repository_around_it_and_the_users_packages(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "src/pkg").mkdir(parents=True)
    (tmp_path / "src/pkg/net.py").touch()
    monkeypatch.chdir(tmp_path)
    place = find_place(tmp_path / "deep/project")
    assert place.repository == tmp_path.resolve()
    assert place.folder_of("pkg.net") == "../../src"
    assert place.folder_of("other") is None
    assert place.relative(tmp_path / "model.onnx") == "../../model.onnx"
    assert place.relative(Path("/elsewhere/model.onnx")) == "/elsewhere/model.onnx"


def test_a_folder_in_no_repository_has_none(tmp_path):
    assert find_place(tmp_path / "new").repository is None


def test_a_file_is_no_place(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        find_place(tmp_path / "file")
