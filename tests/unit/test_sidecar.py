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
        ({"device": "cuda", "gpu": "T4"}, r"built for version '11.4', this machine has none"),
        (FACTS | {"cuda": "13"}, r"built without cuda, this machine has '13'"),
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


TENSORRT = {
    "bindings": "10.16.1.11",
    "libraries": "10.16.1.11",
    "device": "cuda",
    "gpu": "NVIDIA L4",
    "compute_capability": "8.9",
    "memory_gib": 22,
    "cuda": "13.0.96",
}
LATER = {"bindings": "later", "libraries": "later"}
SAME_CAPABILITY = {"gpu": "any", "memory_gib": "any"}
AMPERE = SAME_CAPABILITY | {"compute_capability": "from 8.0"}


def gate(folder: Path, here: dict[str, object], **may_differ: str) -> None:
    """Write a TensorRT plan's record, then try to open it on another machine."""
    (folder / "engine.json").unlink()
    record = replace(make_record(folder), facts=TENSORRT, details={"may_differ": may_differ})
    write_record(folder, record)
    verify_plan(folder, here)


@pytest.mark.parametrize(
    ("here", "words"),
    [
        (
            {"bindings": "11.4.0.106", "libraries": "11.4.0.106"},
            r"bindings '10\.16\.1\.11', this machine has '11\.4.*; it was built for libraries",
        ),
        ({"gpu": "NVIDIA L40S"}, r"gpu 'NVIDIA L4', this machine has 'NVIDIA L40S'"),
        ({"compute_capability": "9.0"}, r"compute_capability '8\.9', this machine has '9\.0'"),
        ({"cuda": "12.9"}, r"cuda '13\.0\.96', this machine has '12\.9'"),
        ({"cuda": None}, r"cuda '13\.0\.96', this machine has none"),
        ({"memory_gib": 44}, r"memory_gib 22, this machine has 44"),
    ],
)
def test_each_mismatch_is_said_with_the_repair(
    folder: Path, here: dict[str, object], words: str
) -> None:
    with pytest.raises(PlanForeignError, match=words) as caught:
        gate(folder, TENSORRT | here)
    assert str(caught.value).endswith("run `dvc repro -f build@trt-fp16`")
    assert "\n" not in str(caught.value)


def test_a_machine_without_the_backend_is_one_reason_not_seven(folder: Path) -> None:
    with pytest.raises(PlanForeignError, match="built for tensorrt, which this machine does not"):
        gate(folder, {})


def test_a_driver_that_is_too_old_is_said_first(folder: Path) -> None:
    too_old = {"driver": "550.54", "cuda": "13", "needs": 580}
    with pytest.raises(PlanForeignError, match=r"driver 550\.54 is too old for CUDA 13.*580"):
        gate(folder, TENSORRT | {"driver_too_old": too_old})


@pytest.mark.parametrize(
    ("rules", "here"),
    [
        (LATER, {"bindings": "10.16.2.1", "libraries": "10.17.0.1"}),
        (LATER, {"bindings": "11.0.0.1", "libraries": "11.4.0.106"}),
        (SAME_CAPABILITY, {"gpu": "NVIDIA L40S", "memory_gib": 44}),
        (AMPERE, {"gpu": "NVIDIA A10", "memory_gib": 22, "compute_capability": "8.6"}),
        (AMPERE, {"gpu": "NVIDIA H200", "memory_gib": 140, "compute_capability": "9.0"}),
        (AMPERE, {"gpu": "NVIDIA RTX 5090", "memory_gib": 32, "compute_capability": "12.0"}),
    ],
)
def test_a_portable_plan_opens_where_its_flags_let_it(
    folder: Path, rules: dict[str, str], here: dict[str, object]
) -> None:
    gate(folder, TENSORRT | here, **rules)


@pytest.mark.parametrize(
    ("rules", "here", "words"),
    [
        (LATER, {"bindings": "10.15.0.1"}, r"has '10\.15\.0\.1' \(it takes a later version\)"),
        (LATER, {"bindings": "12.0.0.1"}, "it takes a later version"),
        (LATER, {"libraries": None}, "libraries '10.16.1.11', this machine has none"),
        (LATER, {"gpu": "NVIDIA L40S"}, "built for gpu"),
        (SAME_CAPABILITY, {"compute_capability": "8.6"}, "built for compute_capability"),
        (AMPERE, {"compute_capability": "7.5"}, r"it takes versions from 8\.0"),
    ],
)
def test_a_portable_plan_stays_where_its_flags_end(
    folder: Path, rules: dict[str, str], here: dict[str, object], words: str
) -> None:
    with pytest.raises(PlanForeignError, match=words):
        gate(folder, TENSORRT | here, **rules)
