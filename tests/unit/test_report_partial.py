"""`trtproof report --partial`: a report of any subset of the inputs, beside the pipeline."""

from __future__ import annotations

import re
import shutil
import tempfile
from html import unescape
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stages import report as stage
from tests.report_inputs import REFERENCE, Inputs, build

from trtproof import artifacts
from trtproof.cli import main
from trtproof.errors import InputError
from trtproof.report import partial
from trtproof.report.partial import FOLDER, read_settings, write_partial_report

INPUTS = Inputs(requests=20, batches=(1,), rounds=6, budget={"speedup_ratio": 2.0})
PARTS = (
    "metrics/hardware.json",
    "artifacts/benchmark",
    "artifacts/benchmark/run.json",
    "artifacts/benchmark/samples.parquet",
    "artifacts/benchmark/answers.npz",
    "artifacts/evaluate",
    f"artifacts/evaluate/{REFERENCE}",
    "artifacts/evaluate/onnxruntime-fp32/predictions.json",
    "artifacts/evaluate/onnxruntime-fp32/outputs.npz",
    "artifacts/build",
    f"artifacts/build/{REFERENCE}",
    "artifacts/build/onnxruntime-fp32/engine.onnx",
    "artifacts/audit",
    "artifacts/audit/int8",
    "artifacts/calibrate",
    "artifacts",
    "metrics",
)
HEADINGS = (
    "Latency", "Distribution", "Where the time goes", "Throughput against tail latency",
    "One variant alone, for long", "Accuracy", "Engines and what they cost",
    "Against the parent commit", "Was the machine quiet?", "Environment",
    "Where the figures come from", "Reproduce",
)  # fmt: skip


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        build(INPUTS)
    return folder


@pytest.fixture
def project(complete, tmp_path, monkeypatch) -> Path:
    copy = tmp_path / "project"
    shutil.copytree(complete, copy)
    monkeypatch.chdir(copy)
    return copy


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check(folder: Path) -> None:
    """Check what every report has to be, whatever it was made of."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    summary = (folder / "report.md").read_text(encoding="utf-8")
    for heading in HEADINGS:
        assert f"<h2>{heading}" in page, heading
    for variant in INPUTS.variants:
        assert variant in page
    assert "not measured: " in page
    assert not re.search(r"<td[^>]*>\s*</td>|<dd>\s*</dd>", page)
    for text in (page, summary):
        shown = re.sub(r"with NaN|>NaN<", "", unescape(text))
        assert not re.search(r"\b(nan|None|inf)\b", shown)
    for picture in ("latency", "percentiles", "scores"):
        assert "<svg" in (folder / f"{picture}.svg").read_text(encoding="utf-8")


@settings(
    max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(missing=st.sets(st.sampled_from(PARTS), min_size=1))
def test_any_subset_of_the_inputs_gives_a_report_that_says_what_is_missing(complete, missing):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        copy = Path(folder) / "project"
        shutil.copytree(complete, copy)
        patch.chdir(copy)
        for path in missing:
            remove(Path(path))
        write_partial_report()
        check(FOLDER)


@pytest.mark.parametrize("part", PARTS)
def test_one_missing_input_gives_a_report_that_says_so(project, part):
    remove(Path(part))
    write_partial_report()
    check(FOLDER)


def test_of_nothing_but_settings_every_block_is_not_measured(project):
    remove(Path("artifacts"))
    remove(Path("metrics"))
    write_partial_report()
    page = unescape((FOLDER / "index.html").read_text(encoding="utf-8"))
    for text in (
        "not measured: no benchmark has run; run `dvc repro benchmark`",
        "not measured: not evaluated",
        "not measured: not built",
        "not measured: fp32 was not audited",
        "no calibration pass has run",
        "no probe and no session recorded the machine",
        "unknown-device",
    ):
        assert text in page
    assert not re.search(r"\d ms\b", page.partition("<main>")[2])


def test_without_a_probe_the_session_says_which_machine_it_was(project):
    build(Inputs(requests=20, batches=(1,), rounds=6, measured_on="cpu-measured"))
    remove(Path("metrics"))
    write_partial_report()
    assert '"cpu-measured"' in (FOLDER / f"variants/{REFERENCE}.json").read_text(encoding="utf-8")


def test_it_touches_no_output_of_the_pipeline(project):
    stage.main()
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    remove(Path("artifacts/benchmark/samples.parquet"))
    write_partial_report()
    for path, content in before.items():
        if path.name != "samples.parquet":
            assert path.read_bytes() == content
    assert not list(Path().rglob(".report-partial*"))


def test_a_second_one_has_the_same_bytes_and_nothing_of_the_first(project):
    write_partial_report()
    first = {path: path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    (FOLDER / "variants/gone.json").write_text("{}", encoding="utf-8")
    write_partial_report()
    assert {path: path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()} == first


def test_of_complete_inputs_it_is_the_complete_report(project):
    stage.main()
    write_partial_report()
    page = artifacts.REPORT / "index.html"
    assert (FOLDER / "index.html").read_bytes() == page.read_bytes()


def test_the_manifest_hashes_what_was_written(project):
    write_partial_report()
    manifest = artifacts.read_json(FOLDER / "manifest.json", made_by="report")
    assert manifest["partial"] is True
    for path, digest in {**manifest["read"], **manifest["written"]}.items():
        assert artifacts.sha256_file(Path(path)) == digest


def test_both_read_the_same_settings(project):
    assert stage.read_settings() == read_settings()


@pytest.mark.parametrize(
    "out",
    ["artifacts", "artifacts/report", "artifacts/report/x", "artifacts/build/new", "metrics",
     "metrics/variants/x", ".", "..", "elsewhere/../metrics/x"],
)  # fmt: skip
def test_it_never_writes_into_the_pipelines_folders(project, out):
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="the pipeline's own folder"):
        write_partial_report(Path(out))
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", [None, "{}", '{"partial": 1}', "[]", "{"])
def test_it_replaces_no_folder_of_someone_elses(project, content):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years", encoding="utf-8")
    if content is not None:
        Path("mine/manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="is not a partial report"):
        write_partial_report(Path("mine"))
    assert Path("mine/thesis.txt").read_text(encoding="utf-8") == "years"


def test_a_failure_leaves_the_earlier_one(project, monkeypatch):
    write_partial_report()
    before = (FOLDER / "index.html").read_bytes()

    problem = "the disk is full"

    def fail(*_):
        raise InputError(problem)

    monkeypatch.setattr(partial, "_write_files", fail)
    with pytest.raises(InputError, match="disk is full"):
        write_partial_report()
    assert (FOLDER / "index.html").read_bytes() == before
    assert not list(Path("artifacts").glob(".report-partial*"))


def test_the_command_names_the_page(project, capsys):
    assert main(["report", "--partial", "--out", "../shown"]) == 0
    assert capsys.readouterr().out.strip() == "../shown/index.html"
    assert Path("../shown/index.html").exists()


def test_the_command_without_partial_is_a_usage_error(project, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["report"])
    assert stopped.value.code == 2
    assert "--partial" in capsys.readouterr().err
