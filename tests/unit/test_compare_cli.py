"""The two commands whose exit code is a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.test_compare_result import found, time

from trtproof import cli
from trtproof.compare import check, command
from trtproof.compare.check import Case, Outcome
from trtproof.compare.result import Mode
from trtproof.measure.verdict import Word


@pytest.mark.parametrize(
    ("words", "asked", "code"),
    [
        ([], ("HEAD", Mode.PAIRED), 0),
        (["--strict"], ("HEAD", Mode.PAIRED), 3),
        (["--base", "v1", "--stored"], ("v1", Mode.STORED), 0),
    ],
)
def test_compare_passes_on_what_was_asked(words, asked, code, monkeypatch, capsys):
    calls = []

    def run_compare(name, mode):
        calls.append((name, mode))
        return found(time(Word.INCONCLUSIVE)), Path("artifacts/compare/abc")

    monkeypatch.setattr(command, "run_compare", run_compare)
    assert cli.main(["compare", *words]) == code
    assert calls == [asked]
    assert "artifacts/compare/abc/" in capsys.readouterr().out


def test_compare_exits_with_5_for_a_regression(monkeypatch, capsys):
    regression = found(time(Word.SLOWER)), Path("artifacts/compare/abc")
    monkeypatch.setattr(command, "run_compare", lambda name, mode: regression)
    assert cli.main(["compare"]) == 5
    assert "Regression: onnxruntime-fp32." in capsys.readouterr().out


def test_check_writes_what_it_says(monkeypatch, capsys, tmp_path):
    cases = [Case("a", "Plan size, at most 1 MiB", Outcome.MISSED, "measured 2 MiB")]
    monkeypatch.setattr(check, "run_check", lambda base: cases)
    assert cli.main(["check", "--junit", str(tmp_path / "junit.xml")]) == 5
    assert "missed  a: Plan size, at most 1 MiB (measured 2 MiB)" in capsys.readouterr().out
    assert "measured 2 MiB" in (tmp_path / "junit.xml").read_text(encoding="utf-8")
    assert cli.main(["check"]) == 5
