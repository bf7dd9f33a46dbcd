"""Importing what trtexec exported: labelled, checked, and never mixed with our own figures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.inspector_texts import small
from tests.report_inputs import Inputs, build, load

from trtproof import artifacts, cli
from trtproof.errors import InputError
from trtproof.measure.trtexec_switches import DEFAULTS, Switches
from trtproof.report.imported import show_imports
from trtproof.report.metrics import make_metrics
from trtproof.report.page import render_page
from trtproof.trtexec.profile import read_profile
from trtproof.trtexec.switches import (
    Invocation,
    parse_options,
    parse_version,
    parse_warm_up,
    read_banner,
)
from trtproof.trtexec.times import read_times

ENGINES = os.environ.get("TRTPROOF_ENGINE_DATA")


def request(start: float, *, copy: float = 0.0, compute: float = 2.0) -> dict[str, float]:
    """Return one request as trtexec writes it."""
    ends = [start, start + copy, start + copy + compute, start + 2 * copy + compute]
    parts = zip(("H2d", "Compute", "D2h"), ends[:-1], ends[1:], strict=True)
    stamps = {
        f"{end}{part}Ms": value
        for part, first, last in parts
        for end, value in (("start", first), ("end", last))
    }
    return {
        "startEnqMs": start + 0.1,
        "endEnqMs": start + 0.15,
        **stamps,
        "h2dMs": copy,
        "computeMs": compute,
        "d2hMs": copy,
        "latencyMs": 2 * copy + compute,
    }


PROFILE: list[dict[str, Any]] = [
    {"count": 10},
    {"name": "conv1 + relu1", "timeMs": 5.0, "averageMs": 0.5, "medianMs": 0.4, "percentage": 62.5},
    {"name": "conv2", "timeMs": 3.0, "averageMs": 0.3, "medianMs": 0.3, "percentage": 37.5},
]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    times = [request(10.0 * n, compute=1.0 + n) for n in range(10)]
    (tmp_path / "times.json").write_text(json.dumps(times), encoding="utf-8")
    copies = [request(10.0 * n, copy=0.5) for n in range(10)]
    (tmp_path / "copies.json").write_text(json.dumps(copies), encoding="utf-8")
    (tmp_path / "layers.json").write_text(small("FP16"), encoding="utf-8")
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE), encoding="utf-8")
    return tmp_path


def run(*words: str) -> int:
    return cli.main(["import-trtexec", *words])


def record(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((artifacts.IMPORTS / f"{name}.json").read_text("utf-8"))
    return data


@pytest.mark.parametrize(
    ("major", "options", "switches"),
    [
        (10, [], Switches(data_transfers=True, cuda_graph=False, spin_wait=False)),
        (10, ["noDataTransfers", "useCudaGraph", "useSpinWait"],
         Switches(data_transfers=False, cuda_graph=True, spin_wait=True)),
        (11, [], Switches(data_transfers=False, cuda_graph=True, spin_wait=True)),
        (11, ["noDataTransfers"], Switches(data_transfers=False, cuda_graph=True, spin_wait=True)),
        (11, ["includeDataTransfers", "noCudaGraph", "noSpinWait"],
         Switches(data_transfers=True, cuda_graph=False, spin_wait=False)),
    ],
)  # fmt: skip
def test_the_defaults_turned_in_version_11(
    major: int, options: list[str], switches: Switches
) -> None:
    invocation = Invocation(major, options)
    assert invocation.switches == switches
    assert invocation.protocol == f"trtexec{major}"


def test_without_options_a_run_is_what_its_protocol_is_by_default() -> None:
    for major in (8, 10, 11, 12):
        invocation = Invocation(major, ())
        assert invocation.switches == DEFAULTS[invocation.protocol]


@pytest.mark.parametrize(("options", "kept"), [("", 8), ("--warmUp=255", 2), ("warmUp=0", 10)])
def test_requests_of_the_warm_up_are_left_out_where_the_file_still_has_them(
    files: Path, options: str, kept: int
) -> None:
    times = [request(180.0 + 10 * n, compute=1.0 + n) for n in range(10)]  # to 270 ms
    (files / "old.json").write_text(json.dumps(times), encoding="utf-8")
    words = ["--times", "old.json", "--options", f"noDataTransfers,{options}"]
    assert run("old", *words, "--trtexec", "8.4") == 0
    found = record("old")
    assert (found["samples_count"], found["warm_up_count"]) == (kept, 10 - kept)
    assert found["times_ms"]["compute"]["min"] == 11.0 - kept
    assert run("new", *words, "--trtexec", "10.16") == 0  # which exports what it counts
    assert record("new")["samples_count"] == 10


@pytest.mark.usefixtures("files")
def test_a_file_of_nothing_but_warm_up_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--times", "times.json", "--trtexec", "8.6", "--options", "noDataTransfers"]
    assert run("a", *words) == 1
    assert "state warmUp=0" in capsys.readouterr().err


def test_a_warm_up_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="no number of milliseconds"):
        parse_warm_up(["--warmUp=soon"])
    assert parse_options("--warmUp=300,useCudaGraph") == ("warmUp", "useCudaGraph")


def test_the_log_says_version_and_options() -> None:
    log = "x\n&&&& RUNNING TensorRT.trtexec [TensorRT v101601] [b11] # ./trtexec --onnx=a.onnx "
    found = read_banner(log + "--shapes=a:1x3,mask:1x8 --useCudaGraph\n[I] ...")
    assert found == Invocation(10, ("onnx", "shapes", "useCudaGraph"))
    older = read_banner("&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec --fp16")
    assert older is not None
    assert (older.major, older.protocol) == (8, "trtexec10")
    assert read_banner("nothing of it") is None


@pytest.mark.parametrize("text", ["", "7.2", "eleven", "10.x"])
def test_a_version_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no version of TensorRT"):
        parse_version(text)


def test_all_three_files_become_one_labelled_record(files: Path) -> None:
    words = ("--times", "times.json", "--layers", "layers.json", "--profile", "profile.json")
    assert run("a-fp16", *words, "--trtexec", "11.4", "--precision", "fp16") == 0
    found = record("a-fp16")
    assert found["protocol"] == "trtexec11"
    assert found["run"]["switches"]["cuda_graph"] is True
    assert found["samples_count"] == 10
    assert found["times_ms"]["latency"] == {
        "min": 1.0, "mean": 5.5, "max": 10.0, "p50": 5.0, "p90": 9.0, "p95": 10.0, "p99": 10.0,
        "median": 5.5, "cv_pct": 52.223297, "avg10_min": 5.5, "avg10_max": 5.5,
    }  # fmt: skip
    assert found["queries_per_s"] == pytest.approx(1000 * 10 / (90 + 10), rel=1e-6)
    assert found["warm_up_count"] == 0
    assert found["times_ms"]["enqueue"]["p50"] == pytest.approx(0.05)
    assert found["inspection"]["precision"]["verdict"] == "as_asked"
    assert len(found["layers"]) == 5
    assert found["profile"]["layers"][0]["share_pct"] == 62.5
    assert found["sources"]["times"] == {
        "file": "times.json", "sha256": artifacts.sha256_file(files / "times.json"),
    }  # fmt: skip
    assert str(files) not in json.dumps(found)


@pytest.mark.usefixtures("files")
def test_the_same_files_give_the_same_bytes_and_each_file_stands_alone() -> None:
    for _ in range(2):
        assert run("only-layers", "--layers", "layers.json", "--trtexec", "10") == 0
    before = (artifacts.IMPORTS / "only-layers.json").read_bytes()
    assert run("only-layers", "--layers", "layers.json", "--trtexec", "10") == 0
    assert (artifacts.IMPORTS / "only-layers.json").read_bytes() == before
    assert "times_ms" not in record("only-layers")
    assert record("only-layers")["inspection"]["precision"]["verdict"] == "undecidable"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "--times", "times.json"], "not said which trtexec measured"),
        (["a", "--trtexec", "10"], "nothing to import"),
        (["a/b", "--times", "times.json", "--trtexec", "11"], "cannot name an import"),
        (["a", "--times", "none.json", "--trtexec", "11"], "none.json does not exist"),
        (["a", "--times", "profile.json", "--trtexec", "11"], "has startEnqMs None"),
        (["a", "--times", "layers.json", "--trtexec", "11"], "no list of requests"),
        (["a", "--profile", "times.json", "--trtexec", "11"], "no count of runs"),
        (["a", "--layers", "profile.json", "--trtexec", "11", "--profile", "times.json"], "count"),
        (["a", "--times", "times.json", "--trtexec", "10"], "has no copies"),
        (["a", "--times", "copies.json", "--trtexec", "11"], "state includeDataTransfers in"),
        (["a", "--times", "copies.json", "--trtexec", "10", "--options", "noDataTransfers"],
         "leave noDataTransfers out of"),
        (["a", "--times", "times.json", "--trtexec", "10", "--options", "noDataTransfer"],
         "do you mean noDataTransfers"),
        (["a", "--times", "times.json", "--log", "times.json"], "has no line"),
        (["a", "--times", "times.json", "--log", "x", "--trtexec", "10"], "already says"),
        (["a", "--times", "times.json", "--log", "x"], "x does not exist"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_one_line_and_writes_nothing(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not artifacts.IMPORTS.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"computeMs": 3.5}, "compute is stated as 3.5 ms"),
        ({"latencyMs": 9.0}, "latency is stated as 9.0 ms"),
        ({"latencyMs": float("nan")}, "has latencyMs nan"),
        ({"h2dMs": "0"}, "has h2dMs '0'"),
        ({"endEnqMs": 0.0}, "negative time"),
    ],
)
def test_times_that_contradict_each_other_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem.replace(".", r"\.")):
        read_times([request(5.0) | change], file="times.json")


def test_a_profile_of_another_engine_is_refused(files: Path) -> None:
    other = [PROFILE[0], {**PROFILE[1], "name": "something else"}]
    (files / "profile.json").write_text(json.dumps(other), encoding="utf-8")
    words = ["--layers", "layers.json", "--profile", "profile.json", "--trtexec", "11"]
    assert run("a", *words) == 1


@pytest.mark.parametrize(
    "data", [[], {}, [3], [{"count": 1}], [{"count": 1}, {}], [{"count": 1}, {"name": "a"}]]
)
def test_a_broken_profile_is_refused(data: Any) -> None:
    with pytest.raises(InputError, match="exportProfile"):
        read_profile(data, file="profile.json")


def test_the_report_shows_imports_apart_and_compares_nothing(files: Path) -> None:
    inputs = Inputs(rounds=6, requests=20, batches=(1,))
    build(inputs)
    plain = make_metrics(load(inputs)[0])
    words = ("--times", "times.json", "--layers", "layers.json", "--trtexec", "11")
    assert run("a-fp16", *words, "--precision", "fp16") == 0
    assert run("b", "--layers", "layers.json", "--trtexec", "10", "--precision", "int8") == 0
    findings, facts = load(inputs)
    assert make_metrics(findings) == plain
    shown = show_imports(findings.imports)
    first, second = shown.table.rows
    assert [cell.text for cell in first[:5]] == [
        "a-fp16",
        "trtexec11",
        "10",
        "5.0000 ms",
        "10.000 ms",
    ]
    assert first[1].detail == "without transfers, CUDA graph, spin wait"
    assert first[-1].text == "fp16: as asked"
    assert second[2].text == "not measured: no file of times"
    assert second[-1].text == "int8: not as asked"
    page = render_page(findings, facts)
    assert "Imported, not measured here" in page
    assert "Nothing here is compared" in page
    assert "imports/a-fp16.json" in page
    assert (files / "imports" / "a-fp16.json") in [path.absolute() for path in findings.sources]


def test_a_report_without_imports_says_nothing_of_them(files: Path) -> None:
    inputs = Inputs(rounds=6, requests=20, batches=(1,))
    build(inputs)
    (files / "imports").mkdir()
    (files / "imports" / ".gitkeep").touch()
    assert "Imported, not" not in render_page(*load(inputs))


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', None])
def test_an_edited_import_stops_the_report(files: Path, text: str | None) -> None:
    inputs = Inputs(rounds=6, requests=20, batches=(1,))
    build(inputs)
    assert run("a", "--layers", "layers.json", "--trtexec", "11") == 0
    path = files / "imports" / "a.json"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace("trtexec11", "abba/1") if text is None else text, "utf-8")
    with pytest.raises(InputError, match="is not as `trtproof import-trtexec` wrote it"):
        load(inputs)


@pytest.mark.skipif(not ENGINES, reason="TRTPROOF_ENGINE_DATA names no folder of real files")
@pytest.mark.parametrize("name", ["fp32", "fp16"])
@pytest.mark.usefixtures("files")
def test_real_files_are_imported(name: str) -> None:
    folder = Path(str(ENGINES)) / "resnet18-a100" / name
    words = ["--times", str(folder / "timing.json"), "--layers", str(folder / "graph.json")]
    words += ["--profile", str(folder / "profile.json"), "--precision", name]
    assert run("real", *words, "--trtexec", "10", "--options", "noDataTransfers") == 0
    found = record("real")
    requests = json.loads((folder / "timing.json").read_text(encoding="utf-8"))
    latencies = sorted(one["latencyMs"] for one in requests)
    assert found["samples_count"] == len(latencies)
    assert found["times_ms"]["latency"]["p50"] == latencies[(len(latencies) - 1) // 2]
    assert found["inspection"]["precision"]["verdict"] == "as_asked"
    assert run("old", *words, "--trtexec", "8.4", "--options", "noDataTransfers") == 0
    counted = sorted(one["computeMs"] for one in requests if one["startComputeMs"] >= 200)
    old = record("old")
    assert old["warm_up_count"] == len(requests) - len(counted) > 0
    assert old["samples_count"] == len(counted)
    assert old["times_ms"]["compute"]["p99"] == counted[len(counted) - 1 - len(counted) // 100]
