"""engine.json: sealed, and the gate before every plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from trtproof import artifacts
from trtproof.errors import (
    MissingFileError,
    PlanCorruptError,
    PlanForeignError,
    PlanMissingError,
)
from trtproof.reason import Reason
from trtproof.sidecar import EngineRecord, read_record, verify_plan, write_record

FACTS = {"device": "cuda", "gpu": "T4", "version": "11.4"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "trt-fp16"
    folder.mkdir()
    (folder / "engine.plan").write_bytes(b"plan")
    (folder / "layers.json").write_text("{}", encoding="utf-8")
    write_record(folder, make_record(folder))
    return folder


def make_record(folder: Path) -> EngineRecord:
    return EngineRecord(
        variant="trt-fp16",
        backend="tensorrt",
        recipe="fp16",
        precision="fp16",
        status="built",
        facts=FACTS,
        key={"code": "ab"},
        settings={"tf32": False},
        plan="engine.plan",
        files=artifacts.sha256_folder(folder),
        made={"seconds": 1.0},
    )


def test_a_record_reads_back_as_it_was_written(folder: Path) -> None:
    record = read_record(folder)
    (folder / "engine.json").unlink()
    assert record == make_record(folder)
    assert record.plan_sha256 == artifacts.sha256_file(folder / "engine.plan")


def test_an_untouched_plan_of_this_machine_passes(folder: Path) -> None:
    assert verify_plan(folder, FACTS).variant == "trt-fp16"


def test_an_unavailable_variant_has_no_plan_to_open(tmp_path: Path) -> None:
    record = EngineRecord(
        variant="v",
        backend="tensorrt",
        recipe="fp16",
        precision="fp16",
        status="unavailable",
        facts={},
        key={},
        settings={},
        reason=Reason("no_gpu", "there is no GPU", "get one"),
    )
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert record.plan_sha256 is None
    with pytest.raises(PlanMissingError, match="v has no plan: there is no GPU"):
        verify_plan(tmp_path, {})


def test_a_variant_that_was_never_built_names_its_stage(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"dvc repro build@nothing"):
        read_record(tmp_path / "nothing")


def test_a_truncated_plan_is_refused_before_anything_opens_it(folder: Path) -> None:
    (folder / "engine.plan").write_bytes(b"pla")
    with pytest.raises(PlanCorruptError, match=r"engine.plan is not the file.*build@trt-fp16"):
        verify_plan(folder, FACTS)


def test_a_changed_neighbour_of_the_plan_is_refused_too(folder: Path) -> None:
    (folder / "layers.json").write_text("[]", encoding="utf-8")
    with pytest.raises(PlanCorruptError, match=r"layers\.json"):
        verify_plan(folder, FACTS)


def test_a_lost_plan_says_how_to_get_it_back(folder: Path) -> None:
    (folder / "engine.plan").unlink()
    with pytest.raises(PlanMissingError, match="dvc checkout"):
        verify_plan(folder, FACTS)


def test_an_edited_sidecar_is_refused(folder: Path) -> None:
    path = folder / "engine.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["facts"]["gpu"] = "H200"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(PlanCorruptError, match="was edited after the build wrote it"):
        verify_plan(folder, FACTS | {"gpu": "H200"})


@pytest.mark.parametrize(
    ("here", "message"),
    [
        (FACTS | {"gpu": "H200"}, r"built for gpu 'T4', this machine has 'H200'"),
        ({"device": "cuda", "gpu": "T4"}, r"built for version '11.4', this machine has None"),
        (FACTS | {"cuda": "13"}, r"built for cuda None, this machine has '13'"),
    ],
)
def test_a_plan_of_another_machine_names_the_fact(
    folder: Path, here: dict[str, str], message: str
) -> None:
    with pytest.raises(PlanForeignError, match=message):
        verify_plan(folder, here)


def test_the_hash_is_checked_before_the_machine(folder: Path) -> None:
    (folder / "engine.plan").write_bytes(b"other")
    with pytest.raises(PlanCorruptError):
        verify_plan(folder, {})


def test_records_of_equal_content_have_equal_bytes(folder: Path, tmp_path: Path) -> None:
    record = read_record(folder)
    write_record(tmp_path, replace(record, facts=dict(reversed(list(FACTS.items())))))
    ours, theirs = tmp_path / "engine.json", folder / "engine.json"
    assert ours.read_bytes() == theirs.read_bytes()
