"""Was the machine quiet: each check says its result, its limit and a word."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report_inputs import Inputs, build, load

from trtproof.report.evidence import Evidence, read_evidence
from trtproof.report.findings import Run
from trtproof.report.quiet import quiet_table

INPUTS = Inputs(requests=30, batches=(1,))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows(inputs=INPUTS, evidence=None):
    """Return check -> (result, word)."""
    build(inputs)
    findings, facts = load(inputs)
    if evidence is not None:
        assert isinstance(findings.run, Run)
        findings = replace(findings, run=replace(findings.run, evidence=evidence))
    return {
        check.text: (cells[0].text, cells[-1].text)
        for check, *cells in quiet_table(findings, facts).rows
    }


def test_a_quiet_session_says_what_was_counted_and_by_which_limit():
    found = rows()
    text = "at most 1.8 % of a round's time, limit 10 %, in 0 of 9 rounds over it"
    assert found["Tasks waited for a processor"] == (text, "quiet")
    assert found["Taken by the hypervisor"][1] == "quiet"
    assert found["Clock of the processor"] == (
        "2500 to 2508 MHz between rounds, as the system reports it; not locked by us",
        "steady",
    )
    assert found["Before it began"] == ("0.15 tasks per core wanted to run", "free")
    assert found["Variables that change speed"] == ("OMP_NUM_THREADS=2", "look")
    assert found["Reference twice (A/A), batch 1"][1].startswith("noise floor ")


def test_rounds_over_the_limit_are_counted():
    evidence = Evidence(shares={"pressure_share": [0.05, 0.5, 0.1]}, limits={"pressure_share": 0.1})
    text = "at most 50 % of a round's time, limit 10 %, in 1 of 3 rounds over it"
    assert rows(evidence=evidence)["Tasks waited for a processor"] == (text, "1 disturbed")


def test_a_counter_that_is_not_there_is_not_measured_and_not_zero():
    found = rows(evidence=Evidence())
    for check in ("Tasks waited for a processor", "Other programs on the device", "Throttling"):
        assert found[check][0].startswith("not measured: ")
    assert found["Clock of the processor"] == ("not measured: the system names none", "-")


def test_throttling_and_moving_clocks_are_warned_of():
    evidence = Evidence(throttled_ns=[0, 2_500_000], frequency_mhz=[1200.0, 2500.0])
    found = rows(evidence=evidence)
    assert found["Throttling"] == ("2.5 ms in all rounds", "throttled")
    assert found["Clock of the processor"][1] == "moved"


def test_evidence_of_a_session_without_any_is_empty():
    assert read_evidence({}) == Evidence(throttled_ns=[], frequency_mhz=[])
    assert read_evidence({"rounds": [{"before": None, "evidence": None}]}).shares == {}


def test_without_a_session_the_table_gives_the_reason(tmp_path):
    build(INPUTS)
    (tmp_path / "artifacts/benchmark/run.json").unlink()
    assert [cell.text for cell in quiet_table(*load(INPUTS)).rows[0]] == [
        "Session",
        "not measured: no benchmark has run; run `dvc repro benchmark`",
    ]
