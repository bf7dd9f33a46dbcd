"""Which record a command goes on with."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec
import pytest

from trtproof.errors import ConfigError, InputError, MissingFileError
from trtproof.sweep import opening
from trtproof.sweep.app import Request
from trtproof.sweep.opening import open_record
from trtproof.sweep.record import Status, SweepRecord, write_record
from trtproof.sweep.snapshot import Snapshot

CELLS = (("model=a",), ("model=b",), ("model=c",))
GRID = Request(cells=CELLS, name="grid")
UNNAMED = Request(cells=CELLS)
BASE = "b" * 40


@pytest.fixture
def there(tmp_path, monkeypatch) -> dict[str, str]:
    """Return the experiments that DVC has: a test fills it."""
    found: dict[str, str] = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opening, "experiments", lambda base: dict(found))
    return found


def snapshot(sources: str = "s1", base: str = BASE) -> Snapshot:
    return Snapshot(Path(), PurePosixPath(), base, base, sources, frozenset(), ())


def begun(there: dict[str, str], request: Request = GRID, sources: str = "s1") -> SweepRecord:
    """Write the record of a sweep whose first job is done and whose second failed."""
    record = open_record(request, snapshot(sources))
    there[f"{record.name}-0"] = "r0"
    first, second, third = record.jobs
    done = msgspec.structs.replace(
        first, status=Status.DONE, experiment=f"{record.name}-0", revision="r0", seconds=3.0
    )
    failed = msgspec.structs.replace(second, status=Status.FAILED, reason="why")
    record = msgspec.structs.replace(record, jobs=(done, failed, third))
    write_record(record)
    return record


def statuses(record: SweepRecord) -> list[str]:
    return [job.status.value for job in record.jobs]


def test_a_new_sweep_has_nothing_yet(there) -> None:
    record = open_record(GRID, snapshot())
    assert (record.name, record.base, record.sources) == ("grid", BASE, "s1")
    assert [job.overrides for job in record.jobs] == list(CELLS)
    assert statuses(record) == ["missing"] * 3


@pytest.mark.parametrize("again", [GRID, Request(cells=((),), resume="grid")])
def test_the_same_command_and_resume_keep_what_is_done_and_nothing_else(there, again) -> None:
    begun(there)
    record = open_record(again, snapshot())
    assert statuses(record) == ["done", "missing", "missing"]
    assert record.jobs[0].seconds == 3.0
    assert record.jobs[1].reason is None


def test_an_unnamed_sweep_is_found_again_by_its_jobs_and_sources(there) -> None:
    name = begun(there, UNNAMED).name
    assert statuses(open_record(UNNAMED, snapshot())) == ["done", "missing", "missing"]
    others = [
        open_record(UNNAMED, snapshot("s2")),
        open_record(UNNAMED, snapshot(base="c" * 40)),
        open_record(Request(cells=CELLS[:2]), snapshot()),
    ]
    assert len({name, *(record.name for record in others)}) == 4


def test_other_constraints_judge_the_same_jobs(there) -> None:
    begun(there)
    record = open_record(Request(CELLS, "throughput_ips", ("p99_ms<=4",), "grid"), snapshot())
    assert (record.objective, record.constraints) == ("throughput_ips", ("p99_ms<=4",))
    assert statuses(record) == ["done", "missing", "missing"]


def test_a_resumed_sweep_keeps_its_question_unless_asked_another(there) -> None:
    write_record(open_record(Request(CELLS, "throughput_ips", ("p99_ms<=4",), "grid"), snapshot()))
    kept = open_record(Request(cells=((),), resume="grid"), snapshot())
    assert (kept.objective, kept.constraints) == ("throughput_ips", ("p99_ms<=4",))
    other = open_record(Request(((),), constraints=("p99_ms<=2",), resume="grid"), snapshot())
    assert (other.objective, other.constraints) == (None, ("p99_ms<=2",))


def test_a_removed_experiment_is_missing_again(there) -> None:
    begun(there)
    there.clear()
    assert statuses(open_record(GRID, snapshot())) == ["missing"] * 3


def test_an_experiment_that_ended_but_was_not_written_down_is_done(there) -> None:
    begun(there)
    there["grid-2"] = "r2"
    record = open_record(GRID, snapshot())
    assert statuses(record) == ["done", "missing", "done"]
    assert (record.jobs[2].experiment, record.jobs[2].revision) == ("grid-2", "r2")


def test_results_of_other_sources_are_not_mixed(there) -> None:
    begun(there)
    with pytest.raises(InputError, match=r"not those that sweep grid began with"):
        open_record(GRID, snapshot("s2"))


def test_a_sweep_without_results_begins_anew_with_other_sources(there) -> None:
    write_record(open_record(GRID, snapshot()))
    record = open_record(GRID, snapshot("s2", base="c" * 40))
    assert (record.sources, record.base) == ("s2", "c" * 40)


def test_a_resumed_sweep_keeps_its_commit(there) -> None:
    begun(there)
    assert open_record(GRID, snapshot(base="c" * 40)).base == BASE


def test_a_name_of_other_jobs_or_of_others_experiments_is_refused(there) -> None:
    begun(there)
    with pytest.raises(ConfigError, match="a sweep of other jobs"):
        open_record(Request(cells=CELLS[:2], name="grid"), snapshot())
    there["mine-1"] = "r"
    with pytest.raises(ConfigError, match=r"mine-1.*dvc exp remove"):
        open_record(Request(cells=CELLS, name="mine"), snapshot())


@pytest.mark.parametrize("name", ["a/b", "", "../x", "a b", "-n", "a.b"])
def test_a_name_has_to_be_one_of_a_folder_and_of_experiments(there, name: str) -> None:
    with pytest.raises(ConfigError, match=r"sweep\.name"):
        open_record(Request(cells=CELLS, name=name), snapshot())


def test_resuming_what_is_not_there_lists_what_is(there) -> None:
    begun(there)
    with pytest.raises(MissingFileError, match="grid"):
        open_record(Request(cells=((),), resume="other"), snapshot())
