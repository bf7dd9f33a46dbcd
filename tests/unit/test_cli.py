import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trtproof import __version__, cli, dvc_state
from trtproof.compose import compose, write_params
from trtproof.errors import HardwareError
from trtproof.why import Change, StageState

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_compose_writes_params_once(project, capsys):
    assert cli.main(["compose"]) == 0
    assert capsys.readouterr().out == "params.yaml: written\n"
    assert cli.main(["compose"]) == 0
    assert capsys.readouterr().out == "params.yaml: unchanged\n"
    assert cli.main(["compose", "--check"]) == 0


@pytest.mark.parametrize(("unbuffered", "code"), [("", 0), ("1", 1)])
def test_a_reader_that_has_read_enough_is_no_traceback(project, unbuffered, code):
    """Buffered output meets the closed pipe once there is a result, which stays."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "trtproof.cli", "compose"], stdout=writing, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, "")


def test_without_any_output_to_write_to_a_command_works(project):
    command = ["sh", "-c", f"{sys.executable} -m trtproof.cli compose >&-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_writes_nothing_and_fails_on_stale_params(project, capsys):
    write_params(compose(["benchmark=smoke"]))
    before = (project / "params.yaml").read_bytes()
    assert cli.main(["compose", "--check"]) == 1
    assert capsys.readouterr().err.startswith("error: params.yaml: not what conf/ composes to")
    assert (project / "params.yaml").read_bytes() == before


def test_settings_that_contradict_are_one_line_and_write_nothing(project, capsys):
    config = project / "conf/config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("recipe: [fp32, fp16, int8_cpu]", "recipe: [fp32]"))
    assert cli.main(["compose"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: variants.")
    assert error.count("\n") == 1
    assert not (project / "params.yaml").exists()


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"trtproof {__version__}\n"


@pytest.mark.parametrize("words", [[], ["nonsense"], ["compose", "--nonsense"]])
def test_wrong_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage: trtproof" in capsys.readouterr().err


def test_why_probes_and_then_answers(monkeypatch, capsys):
    probed: list[bool] = []

    def answer() -> list[StageState]:
        assert probed
        return [
            StageState(name="export", inputs={}, own=[Change("params.yaml model.name", "a", "b")])
        ]

    monkeypatch.setattr(dvc_state, "run_probe", lambda: probed.append(True))
    monkeypatch.setattr(dvc_state, "read_states", answer)
    assert cli.main(["why"]) == 0
    assert "params.yaml model.name: a -> b" in capsys.readouterr().out


def test_why_passes_on_what_stopped_the_probe(monkeypatch, capsys):
    error = HardwareError("no GPU")

    def stop() -> None:
        raise error

    monkeypatch.setattr(dvc_state, "run_probe", stop)
    assert cli.main(["why"]) == 1
    assert capsys.readouterr().err == "error: no GPU\n"


@pytest.mark.parametrize(
    ("states", "code", "named"),
    [
        ([StageState(name="probe", inputs={}, always=True)], 0, "clean"),
        (
            [
                StageState(name="probe", inputs={}, always=True),
                StageState(name="export", inputs={}, own=[Change("its command", "a", "b")]),
            ],
            1,
            "export  will run",
        ),
        ([StageState(name="build", inputs={}, lost_outputs=["artifacts/build"])], 1, "build"),
    ],
)
def test_the_clean_check_ignores_the_probe_and_nothing_else(
    monkeypatch, capsys, states, code, named
):
    monkeypatch.setattr(dvc_state, "run_probe", lambda: None)
    monkeypatch.setattr(dvc_state, "read_states", lambda: states)
    assert cli.main(["why", "--check"]) == code
    shown = capsys.readouterr().out
    assert named in shown
    assert "probe " not in shown.partition("\n")[2]
