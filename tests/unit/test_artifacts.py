"""Where everything lies, and that nothing half-written is ever seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof import artifacts
from trtproof.errors import InputError, MissingFileError

json_data = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=5,
)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_folder_is_replaced_when_it_is_complete() -> None:
    folder = artifacts.build("v")
    for content in ("old", "new"):
        with artifacts.replace_folder(folder) as temporary:
            (temporary / content).write_text(content, encoding="utf-8")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(artifacts.TEMPORARY.iterdir()) == []


def test_a_failing_stage_leaves_the_old_folder_and_nothing_else() -> None:
    folder = artifacts.build("v")
    with artifacts.replace_folder(folder) as temporary:
        (temporary / "old").touch()
    with pytest.raises(InputError):
        fail_half_way(folder)
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(artifacts.TEMPORARY.iterdir()) == []


def fail_half_way(folder: Path) -> None:
    with artifacts.replace_folder(folder) as temporary:
        (temporary / "half").touch()
        raise InputError(f"{folder} fails")


def test_the_temporary_folder_lies_outside_of_every_output() -> None:
    with artifacts.replace_folder(artifacts.build("v")) as temporary:
        assert temporary.parent == artifacts.TEMPORARY


@given(json_data)
def test_json_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("json") / "data.json"
    artifacts.write_json(path, data)
    assert artifacts.read_json(path, made_by="x") == data
    assert path.read_bytes().endswith(b"\n")


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        artifacts.write_json(Path("data.json"), {"value": float("nan")})
    assert not Path("data.json").exists()


def test_a_missing_file_names_the_stage_that_makes_it() -> None:
    with pytest.raises(MissingFileError, match="dvc repro export"):
        artifacts.read_json(artifacts.EXPORT / "export.json", made_by="export")
    with pytest.raises(MissingFileError, match="dvc repro export"):
        artifacts.require(artifacts.EXPORT, made_by="export")


@pytest.mark.parametrize("text", ["{", "[1]", "7", ""])
def test_a_broken_file_says_how_to_make_it_again(text: str) -> None:
    path = Path("data.json")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="dvc repro -f probe"):
        artifacts.read_json(path, made_by="probe")


def test_a_folders_hashes_are_named_relatively_and_sorted() -> None:
    for name in ("b", "a/c"):
        path = Path("folder") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    hashes = artifacts.sha256_folder(Path("folder"))
    assert list(hashes) == ["a/c", "b"]
    assert hashes["b"] == artifacts.sha256_file(Path("folder/b"))


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2, max_size=5))
def test_the_hash_of_data_does_not_depend_on_its_order(data: dict[str, int]) -> None:
    turned = dict(reversed(list(data.items())))
    assert artifacts.sha256_json(data) == artifacts.sha256_json(turned)


def test_every_step_has_its_own_folder() -> None:
    paths = [artifacts.convert("x"), artifacts.audit("x"), artifacts.build("x")]
    paths += [artifacts.evaluate("x"), artifacts.EXPORT, artifacts.BENCHMARK, artifacts.REPORT]
    assert len(set(paths)) == len(paths)
    assert artifacts.variant_metrics("x") == Path("metrics/variants/x.json")
