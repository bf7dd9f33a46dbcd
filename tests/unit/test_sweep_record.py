"""sweep.json: written whole, read back the same, refused when it is not one."""

from __future__ import annotations

import pytest

from trtproof.errors import InputError, MissingFileError
from trtproof.sweep.record import (
    JobRecord,
    Status,
    SweepRecord,
    folder,
    list_names,
    read_record,
    write_record,
)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def record(name: str = "grid") -> SweepRecord:
    jobs = (
        JobRecord(number=0, overrides=("model=a",), status=Status.DONE, revision="0" * 40),
        JobRecord(number=1, overrides=("model=b", "x=[1,2]"), status=Status.FAILED, reason="why"),
    )
    return SweepRecord(
        name=name,
        objective="throughput_ips",
        constraints=("p99_ms<=4",),
        base="1" * 40,
        sources="2" * 16,
        jobs=jobs,
    )


def test_a_record_reads_back_as_it_was_written() -> None:
    write_record(record())
    assert read_record("grid") == record()


def test_an_unknown_sweep_names_those_there_are() -> None:
    write_record(record("first"))
    with pytest.raises(MissingFileError, match="first"):
        read_record("second")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"jobs": [{"status": "well"}]}'])
def test_a_file_that_is_no_record_is_refused_with_its_path(text: str) -> None:
    path = folder("grid") / "sweep.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(InputError, match=r"grid/sweep\.json is not the record of a sweep"):
        read_record("grid")


def test_another_version_is_refused() -> None:
    write_record(record())
    path = folder("grid") / "sweep.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 7'))
    with pytest.raises(InputError, match="schema_version 7"):
        read_record("grid")


def test_names_are_listed_the_latest_last() -> None:
    import os

    for number, name in enumerate(["b", "a", "c"]):
        write_record(record(name))
        os.utime(folder(name) / "sweep.json", ns=(number, number))
    assert list_names() == ["b", "a", "c"]
