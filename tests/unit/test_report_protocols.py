"""Times by trtexec's protocols in the report, and the refusal to compare protocols."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.report_inputs import REFERENCE, SLUG, Inputs, build, load
from tests.unit.test_report_comparisons import CPU_JUDGE, timing
from tests.unit.test_trtexec import request

from trtproof import artifacts, cli
from trtproof.compare.fingerprint import describe_session
from trtproof.errors import InputError
from trtproof.measure.figures import FIGURES, values_by_round
from trtproof.measure.protocols import require_one_protocol
from trtproof.measure.samples import Block, make_samples, read_samples, write_samples
from trtproof.measure.schedule import Turn
from trtproof.measure.trtexec_figures import average_runs, summarise, warn
from trtproof.measure.trtexec_switches import DEFAULTS
from trtproof.report.figures import time_contender
from trtproof.report.page import render_page
from trtproof.report.protocol_tables import protocol_table
from trtproof.report.relative import tail_ratio

SMALL = Inputs(rounds=6, requests=20, batches=(1,))
COMPUTE_NS = np.arange(1, 101) * 10_000
SAMPLES = artifacts.BENCHMARK / "samples.parquet"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def add_protocols() -> None:
    """Add to a built session what trtexec10 measured of the reference, and why not the rest."""
    rows = np.zeros((110, 8), dtype=np.int64)
    rows[10:, 0] = 1
    rows[:, 1] = np.arange(110) * 2_000_000
    rows[:, 2], rows[:, 3] = 2_500_000, -1
    rows[:, 4] = np.concatenate([np.full(10, 9_000_000), COMPUTE_NS])
    rows[:, 5], rows[:, 6], rows[:, 7] = 20_000, 30_000, 5_000
    block = Block(
        Turn(0, 0, 0, 1, REFERENCE), 0, "0a1b2c3d", rows, scenario="trtexec", protocol="trtexec10"
    )
    samples = pd.concat([read_samples(SAMPLES, scenario=None), make_samples([block])])
    write_samples(SAMPLES, samples.astype({"protocol": "category"}))
    head = {"contender": REFERENCE, "batch": 1}
    switches = {
        name: {"data_transfers": one.data_transfers, "cuda_graph": one.cuda_graph,
               "spin_wait": one.spin_wait}
        for name, one in DEFAULTS.items()
    }  # fmt: skip
    notes: list[dict[str, Any]] = [
        head | {"protocol": "trtexec10", "switches": switches["trtexec10"], "queries_count": 100,
                "warm_up_count": 10, "wall_ns": 50_000_000, "causes": ["foreign"]},
        head | {"protocol": "trtexec11", "switches": switches["trtexec11"],
                "reason": "trtexec11 replays a CUDA graph, and its run.cuda_graph is false"},
    ]  # fmt: skip
    path = artifacts.BENCHMARK / "run.json"
    record = artifacts.read_json(path, made_by="benchmark")
    record["scenarios"]["trtexec"] = notes
    artifacts.write_json(path, record)


def import_times(major: str, *options: str) -> None:
    copy = 0.5 if major == "10" else 0.0
    times = [request(10.0 * n, copy=copy, compute=1.0 + n) for n in range(10)]
    Path("times.json").write_text(json.dumps(times), encoding="utf-8")
    words = ["import-trtexec", f"their-{major[:2]}", "--times", "times.json", "--trtexec", major]
    assert cli.main([*words, *options]) == 0


def test_both_origins_stand_in_one_table_with_trtexecs_statistics_and_no_ratio() -> None:
    build(SMALL)
    add_protocols()
    import_times("10")
    import_times("11.4")
    findings, facts = load(SMALL)
    table = protocol_table(findings, facts)
    rows = {(row[0].text, row[1].text, row[2].text): row for row in table.rows if len(row) > 4}
    ours = rows[REFERENCE, "trtexec10", "GPU compute time"]
    assert [cell.text for cell in ours[3:]] == [
        "0.50500 ms", "0.50500 ms", "0.90000 ms", "0.95000 ms", "0.99000 ms",
        "0.010000 ms", "1.0000 ms", "57.161 %",
    ]  # fmt: skip
    latency = rows[REFERENCE, "trtexec10", "Latency (H2D + GPU + D2H)"]
    assert latency[4].text == "0.55500 ms"  # the sum of its parts, not the host's 2.5 ms
    assert ours[1].detail == "transfers included, no CUDA graph, blocking wait"
    assert ours[0].detail.startswith("measured here, batch 1; 100 queries, 2000.0 /s")
    assert "GPU compute time is unstable" in ours[0].detail
    assert "disturbed: other processes" in ours[0].detail
    theirs = rows["their-10", "trtexec10", "GPU compute time"]
    assert theirs[0].detail.startswith("imported; 10 queries; 99.010 /s")
    assert [cell.text for cell in theirs[3:5]] == ["5.5000 ms", "5.5000 ms"]
    eleven = [row for row in table.rows if row[0].text == "their-11"]
    assert {row[1].detail for row in eleven} == {"without transfers, CUDA graph, spin wait"}
    assert [row[2].text for row in eleven] == [
        "Latency (H2D + GPU + D2H)", "GPU compute time", "Enqueue time",
    ]  # fmt: skip
    page = render_page(findings, facts)
    assert "no ratio is computed between protocols" in page
    assert "not measured: trtexec11 replays a CUDA graph" in page


def test_figures_are_kept_by_protocol_in_the_metrics_and_never_as_latency() -> None:
    build(SMALL)
    plain = load(SMALL)[1].metrics[REFERENCE][SLUG]
    add_protocols()
    found = load(SMALL)[1].metrics[REFERENCE][SLUG]
    new = {key: found[key] for key in found.keys() - plain.keys()}
    assert {key for key in new if not key.startswith("trtexec10_b1_")} == set()
    assert new["trtexec10_b1_compute_ms"]["p99"] == 0.99
    assert new["trtexec10_b1_queries_per_s"]["value"] == 2000.0
    assert {key: found[key] for key in plain} == plain


def test_a_session_without_the_scenario_says_which_setting_leaves_it_out() -> None:
    build(SMALL)
    findings, facts = load(SMALL)
    table = protocol_table(findings, facts)
    reason = "profile full leaves it out (benchmark.trtexec is null)"
    assert table.rows[0][1].text == f"not measured: {reason}"


def test_an_import_from_before_says_what_it_lacks() -> None:
    build(SMALL)
    import_times("10")
    path = artifacts.IMPORTS / "their-10.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record.pop("seal")
    for values in record["times_ms"].values():
        for name in ("median", "cv_pct", "avg10_min", "avg10_max"):
            values.pop(name, None)
    artifacts.write_json(path, record | {"seal": artifacts.sha256_json(record)})
    table = protocol_table(*load(SMALL))
    row = next(row for row in table.rows if row[0].text == "their-10")
    assert row[4].text == "not measured: imported before it was kept; import it again"


def test_times_of_two_protocols_are_never_compared() -> None:
    other = replace(timing(0.8), protocol="trtexec10")
    with pytest.raises(InputError, match="trtexec10, which are other quantities"):
        CPU_JUDGE.compare(timing(), timing(), other)
    with pytest.raises(InputError, match="cannot be compared"):
        tail_ratio(timing(), other)
    assert require_one_protocol(["abba/1", "abba/1"], what="x") == "abba/1"


def test_samples_that_mix_protocols_give_no_figure() -> None:
    build(SMALL)
    samples = read_samples(SAMPLES)
    mixed = samples.assign(protocol=np.where(samples["round"] == 1, "trtexec10", "abba/1"))
    with pytest.raises(InputError, match=f"{REFERENCE} at batch 1: times by protocol abba/1"):
        time_contender(mixed, REFERENCE, 1)
    with pytest.raises(InputError, match="measure both by one protocol"):
        values_by_round(mixed, FIGURES["wall_p50"], REFERENCE, 1)


def test_the_protocol_is_part_of_what_recorded_sessions_must_share() -> None:
    build(SMALL)
    record = artifacts.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    changed = describe_session(record | {"protocol": "trtexec10"})
    unlike = {key for key, value in describe_session(record).items() if changed[key] != value}
    assert unlike == {"protocol"}


def test_statistics_are_trtexecs() -> None:
    found = summarise([4.0, 1.0, 3.0, 2.0])
    assert (found["median"], found["p50"], found["p99"]) == (2.5, 2.0, 4.0)
    assert found["cv_pct"] == pytest.approx(100 * 1.118034 / 2.5, rel=1e-6)
    assert "avg10_min" not in found
    assert average_runs([*range(10), *range(10, 20), 99]) == [4.5, 14.5]


@pytest.mark.parametrize(
    ("medians", "texts"),
    [
        ({"compute": 1.0, "enqueue": 0.8, "h2d": 0.9, "d2h": 0.1}, []),
        ({"compute": 1.0, "enqueue": 0.81}, ["enqueue takes over 0.8"]),
        ({"compute": 1.0, "h2d": 1.0, "d2h": 2.0}, ["copies to the device", "copies to the host"]),
        ({"enqueue": 9.0}, []),
    ],
)
def test_it_warns_of_what_trtexec_warns_of(medians: dict[str, float], texts: list[str]) -> None:
    figures = {name: {"median": value, "cv_pct": 2.5} for name, value in medians.items()}
    found = warn(figures)
    assert len(found) == len(texts)
    assert all(text.startswith(start) for text, start in zip(found, texts, strict=True))
    if "compute" in figures:
        figures["compute"]["cv_pct"] = 2.51
        assert warn(figures)[-1] == "GPU compute time is unstable: it varies by 2.5 %"
