"""Kernel timings kept between builds: used only when whole and of the same engine key."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtproof.backends.tensorrt.timing_cache import cache_file, default_folder

KEY = {"facts": {"gpu": "T4"}, "model": {"model.onnx": "ab"}}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    timings = cache_file(str(tmp_path / "new"), KEY)
    assert timings.read() == b""
    timings.write(b"a\nb\n\x00c")
    assert cache_file(str(tmp_path / "new"), KEY).read() == b"a\nb\n\x00c"
    assert [path.name for path in (tmp_path / "new").iterdir()] == [timings.path.name]


def test_another_key_has_another_file(tmp_path: Path) -> None:
    ours, theirs = cache_file(str(tmp_path), KEY), cache_file(str(tmp_path), KEY | {"tf32": True})
    assert ours.path != theirs.path


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-1] + b"x", "is damaged"),
        (lambda data: data[:-2], "is damaged"),
        (lambda _: b"junk", "is not of this engine"),
        (lambda _: b"", "is not of this engine"),
    ],
)
def test_a_damaged_file_is_no_cache_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: object, words: str
) -> None:
    timings = cache_file(str(tmp_path), KEY)
    timings.write(b"timings of ours")
    assert callable(damage)
    timings.path.write_bytes(damage(timings.path.read_bytes()))
    assert timings.read() == b""
    assert words in capsys.readouterr().err


def test_a_file_copied_from_another_engine_is_no_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = cache_file(str(tmp_path), KEY), cache_file(str(tmp_path), {})
    theirs.write(b"theirs")
    theirs.path.rename(ours.path)
    assert ours.read() == b""
    assert "is not of this engine" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_costs_only_the_timings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    cache_file(str(tmp_path / "file"), KEY).write(b"timings")
    assert "cannot be written" in capsys.readouterr().err


def test_a_path_that_cannot_be_read_costs_only_the_timings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timings = cache_file(str(tmp_path), KEY)
    timings.path.mkdir()
    assert timings.read() == b""
    assert "cannot be read" in capsys.readouterr().err


def test_the_default_is_the_users_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "trtproof/timing"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache/trtproof/timing"
    assert cache_file(None, KEY).path.parent == default_folder()
