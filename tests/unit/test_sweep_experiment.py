"""One job's process: its environment, its log, how it is ended, and what its failure says."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from trtproof.sweep import experiment
from trtproof.sweep.experiment import (
    Order,
    Processes,
    dvc_command,
    first_error,
    make_environment,
)


def order(folder: Path, **variables: str) -> Order:
    return Order("grid-0", ("model=a", "x=[1,2]"), "text\n", folder / "logs/0.log", variables)


def test_every_override_is_a_setting_of_its_own(tmp_path) -> None:
    assert dvc_command(order(tmp_path)) == [
        *("dvc", "--wait-for-lock", "exp", "run", "--temp", "-n", "grid-0"),
        *("-S", "model=a", "-S", "x=[1,2]"),
    ]


def test_a_job_finds_this_interpreter_and_sees_its_device() -> None:
    found = make_environment({"CUDA_VISIBLE_DEVICES": "GPU-a"})
    assert found["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert found["CUDA_VISIBLE_DEVICES"] == "GPU-a"


@pytest.mark.parametrize(
    ("lines", "code", "reason"),
    [
        (
            ["> x", "error: the cause", "error: later", "ERROR: failed to reproduce"],
            255,
            "the cause",
        ),
        (["> x", "ERROR: failed to reproduce", "ERROR: again"], 255, "failed to reproduce"),
        (["Traceback", "ValueError: x", ""], 1, "ValueError: x"),
        ([], 3, "dvc ended with code 3 and said nothing"),
        (["> x"], -9, "dvc was ended by signal 9 (SIGKILL)"),
    ],
)
def test_a_failure_says_the_first_line_of_its_cause(tmp_path, lines, code, reason) -> None:
    log = tmp_path / "0.log"
    log.write_text("\n".join(["$ dvc error: not this", *lines]))
    assert first_error(log, code) == reason


@pytest.fixture
def fake_dvc(tmp_path, monkeypatch):
    """Let `python -m trtproof.sweep.child` be a program of the test's."""

    def put(text: str) -> None:
        package = tmp_path / "fake/trtproof/sweep"
        package.mkdir(parents=True)
        (package.parent / "__init__.py").write_text("")
        (package / "__init__.py").write_text("")
        (package / "child.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))

    return put


def test_a_job_writes_its_log_and_returns_its_code(tmp_path, fake_dvc) -> None:
    fake_dvc("import sys; print(sys.argv[1:3], flush=True); sys.exit('error: planted')")
    code = Processes().run(order(tmp_path), tmp_path)
    log = (tmp_path / "logs/0.log").read_text()
    assert code == 1
    assert log.startswith("$ dvc --wait-for-lock exp run --temp -n grid-0")
    assert "['--wait-for-lock', 'exp']" in log
    assert first_error(tmp_path / "logs/0.log", code) == "planted"


@pytest.mark.parametrize("deaf", [False, True])
def test_stopping_ends_a_job_and_all_that_it_started(
    tmp_path, fake_dvc, monkeypatch, deaf: bool
) -> None:
    monkeypatch.setattr(experiment, "GRACE_S", 1.0 if deaf else 30.0)
    mute = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if deaf else ""
    fake_dvc(
        mute + "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'])\n"
        "pathlib.Path('pid').write_text(str(child.pid))\n"
        "pathlib.Path('ready').write_text('')\n"
        "time.sleep(120)\n"
    )
    processes = Processes()
    codes: list[int] = []
    worker = threading.Thread(target=lambda: codes.append(processes.run(order(tmp_path), tmp_path)))
    worker.start()
    for _ in range(600):
        if (tmp_path / "ready").exists():
            break
        threading.Event().wait(0.05)
    processes.stop()
    worker.join(30)
    assert codes
    assert codes[0] != 0
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):
        if not is_alive(pid):
            break
        threading.Event().wait(0.05)
    assert not is_alive(pid)
    assert processes.run(order(tmp_path), tmp_path) == -signal.SIGINT


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}
