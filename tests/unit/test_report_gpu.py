"""What the report says of the GPU: its state, energy and memory, and what only clocks explain."""

from __future__ import annotations

from typing import Any

import pytest
from tests.report_inputs import Inputs, build, load

from trtproof import artifacts
from trtproof.compare.paired import check_changes
from trtproof.compare.result import TimeChange
from trtproof.measure.disturbed import Selection
from trtproof.measure.ratios import Ratio
from trtproof.measure.verdict import Verdict, Word
from trtproof.report.clock_check import check_verdict
from trtproof.report.comparisons import Judge
from trtproof.report.figures import HEADLINE, NotMeasured
from trtproof.report.gpu_findings import GpuState, read_state
from trtproof.report.gpu_quiet import gpu_rows
from trtproof.report.gpu_tables import energy_table, memory_table
from trtproof.report.metrics import make_metrics
from trtproof.report.page import render_page
from trtproof.report.quiet import quiet_table

MIB = 2**20
INPUTS = Inputs(requests=30, batches=(1,))
RUN = artifacts.BENCHMARK / "run.json"
FACTS = {
    "ecc": "on", "mig": "off", "power_limit_w": 700.0, "throttling_is": "counted",
    "largest_pcie_generation": 5, "largest_pcie_width": 16,
}  # fmt: skip
ROUND = {
    "sm_mhz": 1980.0, "memory_mhz": 3201, "temperature_c": 41, "power_w": 120.4,
    "power_cap_share": 0.0, "others_count": 0, "others_share": 0.0,
    "pcie_generation": 5, "pcie_width": 16, "throttled_ns": {"power_cap": 0},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def window(name: str | None, mj: float = 0.0, **changes: Any) -> dict[str, Any]:
    note: dict[str, Any] = {"contender": name, "batch": 1, "mj_per_inference": mj, "power_w": 400.0,
            "agrees": True, "causes": []}  # fmt: skip
    return note | changes


def ledger(name: str) -> dict[str, Any]:
    sizes = {"context": 500, "weights": 100, "activations": 50, "io": 2}
    parts = [
        {"part": part, "size_bytes": size * MIB, "source": "s"} for part, size in sizes.items()
    ]
    told = [
        {"part": "weights", "size_bytes": 98 * MIB, "source": "the library's call"},
        {"part": "reserved", "size_bytes": 60 * MIB, "source": "its allocator"},
    ]
    return {"contender": name, "batch": 1, "parts": parts, "told": told,
            "unexplained_bytes": -3 * MIB, "total_bytes": 649 * MIB,
            "peak_bytes": 700 * MIB}  # fmt: skip


def measured(clocks: dict[str, float] | None = None, **scenarios: Any) -> Any:
    """Return findings and facts of a session on a GPU, with these notes of scenarios."""
    build(INPUTS)
    record = artifacts.read_json(RUN, made_by="benchmark")
    record["gpu"] = FACTS
    for number, entry in enumerate(record["rounds"]):
        entry["gpu"] = ROUND | {"temperature_c": 41 + number}
    record["blocks"] = [
        {"contender": name, "batch": 1, "round": number, "gpu": {"sm_mhz": mhz}}
        for name, mhz in (clocks or {}).items()
        for number in range(2)
    ]
    record["scenarios"] |= scenarios
    artifacts.write_json(RUN, record)
    return load(INPUTS)


def texts(table: Any) -> dict[str, list[str]]:
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def details(table: Any) -> dict[str, list[str]]:
    return {row[0].text: [cell.detail for cell in row[1:]] for row in table.rows}


def test_a_quiet_gpu_is_described_check_by_check():
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in quiet_table(*measured()).rows}
    assert rows["Clock of the GPU"] == [
        "1980 to 1980 MHz, the mean of each round; not locked by us; memory 3201 MHz", "steady",
    ]  # fmt: skip
    heat = rows["Heat and power of the GPU"]
    assert heat == ["41 to 49 \N{DEGREE SIGN}C, 120 W of a limit of 700 W", "recorded"]
    assert rows["Power cap of the GPU"][1] == "none"
    assert rows["Other processes on the GPU"] == ["at most 0 at a time", "alone"]
    assert rows["PCIe link of the GPU"][1] == "full"
    assert rows["Setting of the GPU"][0] == "ECC on, MIG off, throttling counted"


def rows_of(**changes: Any) -> dict[str, tuple[str, str]]:
    rounds = [ROUND, ROUND | changes]
    return {row[0]: row[1:3] for row in gpu_rows(GpuState(FACTS, rounds))}


def test_a_gpu_that_was_not_quiet_says_how():
    assert rows_of(sm_mhz=1545.0)["Clock of the GPU"][1] == "moved"
    capped = rows_of(power_cap_share=0.97)["Power cap of the GPU"]
    assert capped[0].startswith("in force for 0 to 97 % of a round's time")
    assert capped[1] == "capped"
    shared = rows_of(others_count=1, others_share=0.4)["Other processes on the GPU"]
    assert shared == ("at most 1 at a time, which used at most 40 % of it in a round", "shared")


def test_a_narrow_link_is_worth_a_look():
    rounds = [ROUND | {"pcie_generation": 4, "pcie_width": 8}]
    rows = {row[0]: row for row in gpu_rows(GpuState(FACTS, rounds))}
    assert rows["PCIe link of the GPU"][2:] == ("less", "warn")


def test_what_a_gpu_does_not_tell_is_not_measured_and_not_zero():
    rows = {row[0]: row[1] for row in gpu_rows(GpuState({}, [{"throttled_ns": {}}]))}
    for check in ("Clock of the GPU", "Power cap of the GPU", "Other processes on the GPU",
                  "PCIe link of the GPU", "Heat and power of the GPU"):  # fmt: skip
        assert rows[check] == "not measured: this GPU does not tell"


def test_a_run_on_a_cpu_has_no_rows_of_a_gpu():
    assert gpu_rows(GpuState()) == []
    build(INPUTS)
    checks = [row[0].text for row in quiet_table(*load(INPUTS)).rows]
    assert not [check for check in checks if "GPU" in check]


def test_energy_is_the_median_of_quiet_windows():
    notes = [window(None, power_w=75.0), window("torch-fp32", 300.0), window("torch-fp32", 310.0),
             window("torch-fp32", 500.0, causes=["throttled"])]  # fmt: skip
    findings, facts = measured(energy=notes)
    found = make_metrics(findings)["torch-fp32"][findings.hardware.slug]["energy_b1"]
    assert found == {
        "gpu_mj_per_inference": 305.0,
        "gpu_mj_per_inference_min": 300.0,
        "gpu_mj_per_inference_max": 310.0,
        "gpu_mj_per_sample": 305.0,
        "gpu_w": 400.0,
        "idle_w": 75.0,
    }
    table = energy_table(findings, facts)
    assert texts(table)["torch-fp32"] == ["1", "305.00 mJ", "400.00 W", "75.000 W", "2"]
    assert details(table)["torch-fp32"][4].startswith("1 left out: the hardware slowed")
    assert "MLPerf" in table.notes[0]


def test_energy_that_power_contradicts_is_flagged():
    notes = [window(None), window("torch-fp32", 300.0, agrees=False)]
    table = energy_table(*measured(energy=notes))
    assert "more than 10 % otherwise" in details(table)["torch-fp32"][2]


def test_where_every_window_was_disturbed_all_count_and_it_is_said():
    notes = [window(None), window("torch-fp32", 300.0, causes=["foreign"])]
    table = energy_table(*measured(energy=notes))
    assert details(table)["torch-fp32"][4].startswith("all disturbed: other processes")


def test_without_energy_or_memory_the_tables_say_why():
    findings, facts = measured(energy=[{"reason": "no counter"}], memory=[{"reason": "no memory"}])
    assert texts(energy_table(findings, facts))["torch-fp32"] == ["not measured: no counter"]
    assert texts(memory_table(findings, facts))["torch-fp32"] == ["not measured: no memory"]
    assert "energy_b1" not in make_metrics(findings)["torch-fp32"][findings.hardware.slug]
    other, its_facts = measured()
    assert "profile" in texts(energy_table(other, its_facts))["torch-fp32"][0]


def test_the_ledger_shows_every_part_and_the_rest():
    findings, facts = measured(memory=[ledger("torch-fp32")])
    found = make_metrics(findings)["torch-fp32"][findings.hardware.slug]["gpu_memory_mib"]
    assert found == {"context": 500, "weights": 100, "activations": 50, "io": 2,
                     "unexplained": -3, "total": 649, "peak": 700}  # fmt: skip
    table = memory_table(findings, facts)
    assert texts(table)["torch-fp32"][:2] == ["1", "500.00 MiB"]
    assert details(table)["torch-fp32"][2] == "98.000 MiB (the library's call)"
    assert details(table)["torch-fp32"][7] == "60.000 MiB (its allocator)"


def test_a_variant_that_is_not_on_the_gpu_says_so_in_its_row():
    found = measured(memory=[{"contender": "torch-fp32", "reason": "on the CPU"}])
    assert texts(memory_table(*found))["torch-fp32"] == ["not measured: on the CPU"]


def test_the_page_has_both_tables():
    page = render_page(*measured(energy=[window(None), window("torch-fp32", 300.0)],
                                 memory=[ledger("torch-fp32")]))  # fmt: skip
    assert "300.00 mJ" in page
    assert "649.00 MiB" in page
    assert "Clock of the GPU" in page


def test_clocks_are_means_over_the_rounds_that_count():
    block = {"contender": "a", "batch": 1}
    record = {
        "blocks": [block | {"round": 0, "gpu": {"sm_mhz": 1000.0}},
                   block | {"round": 1, "gpu": {"sm_mhz": 2000.0}},
                   block | {"round": 2, "gpu": {"sm_mhz": 5000.0}},
                   block | {"round": 3}],
        "disturbed": {"left_out": [2]},
    }  # fmt: skip
    assert read_state(record).clocks_mhz == {("a", 1): 1500.0}


def verdict(ratio: float, word: Word) -> Verdict:
    shown = Ratio(ratio, ratio * 0.999, ratio * 1.001, 12, 3)
    return Verdict(word=word, gates=True, reason="why", shown=shown, shown_all=None, gate=shown,
                   control=None, noise_floor=0.001, delta=0.02)  # fmt: skip


def test_a_difference_that_only_clocks_make_is_inconclusive():
    found = check_verdict(verdict(1.05, Word.FASTER), 1900.0, 1995.0, 0.02)
    assert found.word is Word.INCONCLUSIVE
    assert (
        found.reason
        == "its clock was 5 % higher than the other side's: FASTER in time, SAME in cycles"
    )
    assert found.shown.value == 1.05  # the figure itself is what was measured


def test_sameness_that_only_clocks_make_is_inconclusive():
    assert check_verdict(verdict(1.0, Word.SAME), 1900.0, 1700.0, 0.02).word is Word.INCONCLUSIVE


def test_a_large_difference_holds_in_cycles_too():
    found = check_verdict(verdict(3.0, Word.FASTER), 1545.0, 1980.0, 0.02)
    assert found.word is Word.FASTER
    assert "in cycles it is FASTER too" in found.reason


def test_equal_clocks_and_open_verdicts_are_left_alone():
    same = verdict(1.05, Word.FASTER)
    assert check_verdict(same, 1900.0, 1915.0, 0.02) is same
    unknown = verdict(1.0, Word.INCONCLUSIVE)
    assert check_verdict(unknown, 1900.0, 1000.0, 0.02) is unknown


def test_two_revisions_are_compared_in_cycles_as_well():
    judge = Judge("gpu", "full", Selection((0,), {}, mostly_disturbed=False), {HEADLINE: 0.02})
    change = TimeChange("a", 1, HEADLINE, "wall median", verdict(1.05, Word.FASTER),
                        decides=True, before_ms=1.0, after_ms=0.95)  # fmt: skip
    (explained,) = check_changes([change], [1900.0, 1995.0], judge)
    assert explained.verdict.word is Word.INCONCLUSIVE
    assert check_changes([change], [1900.0, 1900.0], judge) == [change]
    assert check_changes([change], [None, 1900.0], judge) == [change]  # not told


def test_clocks_of_a_session_reach_its_verdicts():
    plain, _ = measured()
    names = [variant.name for variant in plain.variants if variant.is_timed]
    clocks = {name: 2000.0 if place else 1500.0 for place, name in enumerate(names)}
    findings, _ = measured(clocks=clocks)
    compared = next(item for item in findings.variants if item.name == names[1])
    before = next(item for item in plain.variants if item.name == names[1]).comparisons[1]
    after = compared.comparisons[1]
    assert not isinstance(before, NotMeasured)
    assert not isinstance(after, NotMeasured)
    assert "clock" not in before[HEADLINE].verdict.reason
    assert "clock" in after[HEADLINE].verdict.reason
