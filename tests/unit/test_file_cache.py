import json
import os
from pathlib import Path

import pytest

from trtproof.file_cache import FOLDER, FileCache

LONG_AGO_NS = 1_000_000_000_000_000_000


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def write_old(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return path


def age_cache(project: Path, kind: str = "kind") -> None:
    """Make the cache younger than the files' change times by more than the racy interval."""
    path = project / FOLDER / f"{kind}.json"
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 10_000_000_000))


def read_with_cache(project: Path, path: Path, version: str = "") -> tuple[str, list[Path]]:
    computed: list[Path] = []

    def compute(file: Path) -> str:
        computed.append(file)
        return file.read_text(encoding="utf-8")

    cache = FileCache(project, "kind", version)
    value = cache.value(path, compute)
    cache.save()
    return value, computed


def test_an_unchanged_file_is_computed_once(project):
    path = write_old(project / "a.txt", "one")
    assert read_with_cache(project, path) == ("one", [path])
    age_cache(project)
    assert read_with_cache(project, path) == ("one", [])


def test_a_file_of_another_size_is_computed_again(project):
    path = write_old(project / "a.txt", "one")
    read_with_cache(project, path)
    age_cache(project)
    write_old(path, "longer")
    assert read_with_cache(project, path) == ("longer", [path])


def test_an_edit_that_restores_size_and_time_is_seen(project):
    path = write_old(project / "a.txt", "one")
    read_with_cache(project, path)
    age_cache(project)
    write_old(path, "two")
    assert read_with_cache(project, path) == ("two", [path])


def test_a_file_written_about_when_the_cache_was_is_not_trusted(project):
    path = project / "a.txt"
    path.write_text("one", encoding="utf-8")
    read_with_cache(project, path)
    assert read_with_cache(project, path) == ("one", [path])


def test_another_version_drops_what_was_computed(project):
    path = write_old(project / "a.txt", "one")
    read_with_cache(project, path)
    age_cache(project)
    assert read_with_cache(project, path, version="2") == ("one", [path])


@pytest.mark.parametrize(
    "broken", ["", "[]", "{", '{"version": ""}', '{"version": "", "entries": {"a": 1}}']
)
def test_a_broken_cache_is_an_empty_one(project, broken):
    path = write_old(project / "a.txt", "one")
    (project / FOLDER).mkdir(parents=True)
    (project / FOLDER / "kind.json").write_text(broken, encoding="utf-8")
    assert read_with_cache(project, path) == ("one", [path])


def test_a_file_that_is_used_no_more_leaves_the_cache(project):
    first, second = write_old(project / "a.txt", "one"), write_old(project / "b.txt", "two")
    read_with_cache(project, first)
    read_with_cache(project, second)
    data = json.loads((project / FOLDER / "kind.json").read_text(encoding="utf-8"))
    assert list(data["entries"]) == [str(second)]


def test_nothing_is_written_outside_a_dvc_project(tmp_path):
    path = write_old(tmp_path / "a.txt", "one")
    read_with_cache(tmp_path, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
