from __future__ import annotations

import json
from pathlib import Path

import pytest
from stages import audit, calibrate, convert
from tests.stages.precision_project import SAMPLES, make_project

from trtproof import artifacts
from trtproof.errors import InputError, MissingFileError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path)
    return tmp_path


def run(recipe: str) -> dict[str, object]:
    convert.main(recipe)
    audit.main(recipe)
    found: dict[str, object] = json.loads((artifacts.audit(recipe) / "audit.json").read_text())
    return found


def test_the_identity_has_no_error_and_states_what_it_is(project: Path) -> None:
    found = run("fp32")
    assert found["recipe"] == found["precision"] == "fp32"
    assert (found["schema"], found["executor"]) == (1, "onnxruntime")
    assert found["samples_count"] == SAMPLES
    assert found["outputs"] == {
        "logits": {
            "max_abs": 0.0,
            "cosine": 1.0,
            "sqnr_db": None,
            "nan_count": 0,
            "inf_count": 0,
        }
    }
    assert set(found["scores"]) == {"top1", "top5"}  # type: ignore[call-overload]


def test_half_precision_is_closer_than_eight_bits(project: Path) -> None:
    calibrate.main()
    sqnr = {
        recipe: run(recipe)["outputs"]["logits"]["sqnr_db"]  # type: ignore[index]
        for recipe in ("fp16", "int8_cpu")
    }
    assert sqnr["fp16"] > 50
    assert 20 < sqnr["int8_cpu"] < sqnr["fp16"]


def test_the_same_inputs_give_the_same_bytes_and_figures_at_another_batch(project: Path) -> None:
    run("fp16")
    before = artifacts.sha256_folder(artifacts.audit("fp16"))
    audit.main("fp16")
    assert artifacts.sha256_folder(artifacts.audit("fp16")) == before
    make_project(project, evaluate={"batch": 5})
    audit.main("fp16")
    figures = artifacts.sha256_folder(artifacts.audit("fp16"))["audit.json"]
    assert figures == before["audit.json"]  # outputs differ in the last bits with the batch


def test_without_a_converted_model_the_stage_that_makes_it_is_named(project: Path) -> None:
    with pytest.raises(MissingFileError, match="dvc repro convert@fp16"):
        audit.main("fp16")


def test_a_record_with_an_unknown_executor_is_refused(project: Path) -> None:
    convert.main("fp16")
    path = artifacts.convert("fp16") / "record.json"
    record = json.loads(path.read_text()) | {"executor": "abacus"}
    artifacts.write_json(path, record)
    with pytest.raises(InputError, match="abacus"):
        audit.main("fp16")
    assert not artifacts.audit("fp16").exists()
