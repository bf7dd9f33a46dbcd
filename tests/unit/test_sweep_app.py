"""The command line of a sweep, read by Hydra."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtproof.errors import ConfigError, MissingFileError
from trtproof.sweep.app import quote_constraints, read_request

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_project(tmp_path, monkeypatch):
    (tmp_path / "conf").symlink_to(PROJECT / "conf")
    monkeypatch.chdir(tmp_path)


def test_the_grid_is_the_product_of_the_choices_without_the_sweeps_own_settings() -> None:
    request = read_request(
        [
            "-m",
            "variant=[torch-fp32,onnxruntime-fp32],[torch-fp32,onnxruntime-int8_cpu]",
            "model=digits_resnet,resnet50",
            "objective=throughput_ips",
            "constraints=[p99_ms<=4,top1_drop_pp<=1]",  # as bash hands it on
            "sweep.name=grid",
        ]
    )
    assert request is not None
    assert request.cells == (
        ("variant=[torch-fp32,onnxruntime-fp32]", "model=digits_resnet"),
        ("variant=[torch-fp32,onnxruntime-fp32]", "model=resnet50"),
        ("variant=[torch-fp32,onnxruntime-int8_cpu]", "model=digits_resnet"),
        ("variant=[torch-fp32,onnxruntime-int8_cpu]", "model=resnet50"),
    )
    assert (request.objective, request.name) == ("throughput_ips", "grid")
    assert request.constraints == ("p99_ms<=4", "top1_drop_pp<=1")


def test_without_multirun_it_is_one_job_and_a_cell_is_there_once() -> None:
    single = read_request(["benchmark=full"])
    assert single is not None
    assert single.cells == (("benchmark=full",),)
    twice = read_request(["-m", "benchmark=full,full"])
    assert twice is not None
    assert twice.cells == (("benchmark=full",),)


@pytest.mark.parametrize(
    ("given", "quoted"),
    [
        ("constraints=[p99_ms<=4,top1_drop_pp<=1]", 'constraints=["p99_ms<=4","top1_drop_pp<=1"]'),
        ('constraints=["p99_ms<=4", b>=2]', 'constraints=["p99_ms<=4","b>=2"]'),
        ("constraints=p99_ms <= 4", 'constraints=["p99_ms <= 4"]'),
        ("constraints=['a<1']", "constraints=['a<1']"),
        ("constraints=[]", "constraints=[]"),
        ("model=[a<b]", "model=[a<b]"),
    ],
)
def test_constraints_survive_a_shell_that_takes_off_their_quotes(given: str, quoted: str) -> None:
    assert quote_constraints(given) == quoted


def test_a_misspelt_choice_stops_before_any_job(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_request(["-m", "model=digits_resnet,no_such_model"])
    assert stopped.value.code == 1
    assert "no_such_model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["-m", "objective=a,b"], "objective"),
        (["-m", "hydra/sweeper=optuna"], "hydra/sweeper"),
        (["hydra/launcher=joblib"], "hydra/launcher"),
        (["sweep.resume=grid", "model=resnet50"], "sweep.resume"),
        (["sweep.resume=grid", "sweep.name=other"], "sweep.resume"),
    ],
)
def test_what_cannot_hold_for_the_sweep_is_refused(arguments: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        read_request(arguments)


def test_help_is_shown_and_ends_well(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_request(["--help"])
    assert stopped.value.code == 0
    assert "sweep.resume=NAME" in capsys.readouterr().out


def test_showing_the_settings_asks_for_no_job(capsys) -> None:
    assert read_request(["--cfg", "job", "model=resnet50"]) is None
    assert "resnet50" in capsys.readouterr().out


def test_elsewhere_it_says_where_to_run_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(MissingFileError, match=r"conf/config\.yaml"):
        read_request([])


def test_hydra_writes_nothing_but_below_artifacts(tmp_path) -> None:
    read_request(["-m", "benchmark=quick,full"])
    read_request(["benchmark=quick"])
    assert {path.name for path in tmp_path.iterdir()} <= {"conf", "artifacts"}
