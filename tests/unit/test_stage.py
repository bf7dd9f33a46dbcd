"""What every stage script does before and after its own work."""

from __future__ import annotations

import os
import py_compile
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trtproof import stage
from trtproof.errors import InputError


def run_code(code: str, *words: str, cwd: Path | None = None, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | variables,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_main_gets_the_words_of_the_command_line() -> None:
    code = (
        "import sys\n"
        "from trtproof import stage\n"
        "stage.run(lambda *words: print(*words, file=sys.stderr))"
    )
    assert run_code(code, "a", "b") == (0, "a b\n")


def test_an_error_that_the_user_can_repair_is_one_line() -> None:
    code = (
        "from trtproof import stage\n"
        "from trtproof.errors import InputError\n"
        "def main():\n    raise InputError('the sky is down; lift it')\n"
        "stage.run(main)"
    )
    assert run_code(code) == (1, "error: the sky is down; lift it\n")


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    code = "from trtproof import stage\nstage.run(lambda: 1 / 0)"
    status, text = run_code(code)
    assert status == 1
    assert "Traceback" in text
    assert "ZeroDivisionError" in text


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}])
print(child.pid, flush=True)
time.sleep(600)
"""
CHILD = "import time\nfrom trtproof import stage\nstage.run(lambda: time.sleep(600))"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has the call")
def test_a_stage_dies_with_the_dvc_that_started_it() -> None:
    command = [sys.executable, "-c", PARENT.format(child=CHILD)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        path = Path(f"/proc/{int(parent.stdout.readline())}")
        time.sleep(1.0)  # long enough for the child to make its call
        assert path.exists()
        parent.kill()
    deadline = time.monotonic() + 20
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not path.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_dvc_of_another_environment_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "python3"
    shutil.copyfile("/bin/sh", foreign)
    foreign.chmod(0o755)
    code = "from trtproof import stage; stage.run(lambda: None)"
    script = f'{sys.executable} -c "{code}"; exit $?'
    done = subprocess.run(
        [str(foreign), "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"DVC_ROOT": "x"},
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: dvc runs on {foreign}")


GUARD = """
import sys
from pathlib import Path
from trtproof import stage
def main(*words):
    stage.guard_opens([Path(word) for word in words[1:]], setting="model.files")
    Path(words[0]).read_text()
stage.run(main)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("data/keyed.txt", "data/other.txt", "artifacts/made.txt", "params.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("allowed", ["data/keyed.txt", "data"])
def test_a_keyed_file_or_folder_may_be_read(project: Path, allowed: str) -> None:
    assert run_code(GUARD, "data/keyed.txt", allowed, cwd=project) == (0, "")


def test_a_file_in_no_key_stops_the_stage_and_names_the_setting(project: Path) -> None:
    status, text = run_code(GUARD, "data/other.txt", "data/keyed.txt", cwd=project)
    assert status == 1
    expected = "opened data/other.txt, which is not in the key; add it to model.files"
    assert text == f"error: {expected}\n"


def test_a_link_to_an_unkeyed_file_is_no_way_around(project: Path) -> None:
    (project / "data" / "link.txt").symlink_to(project / "data" / "other.txt")
    status, _ = run_code(GUARD, "data/link.txt", "data/keyed.txt", cwd=project)
    assert status == 1


@pytest.mark.parametrize("name", ["artifacts/made.txt", "params.yaml"])
def test_what_stages_own_may_be_read(project: Path, name: str) -> None:
    assert run_code(GUARD, name, cwd=project)[0] == 0


def test_an_imported_module_in_no_key_stops_the_stage_also_when_it_is_compiled(
    project: Path,
) -> None:
    (project / "dynamic.py").write_text("VALUE = 1\n", encoding="utf-8")
    code = GUARD.replace(
        "    Path(words[0]).read_text()",
        "    import importlib\n    sys.path.insert(0, '.')\n    importlib.import_module(words[0])",
    )
    assert run_code(code, "dynamic", "dynamic.py", cwd=project) == (0, "")
    py_compile.compile(str(project / "dynamic.py"))
    assert list((project / "__pycache__").glob("dynamic.*.pyc"))
    status, text = run_code(code, "dynamic", "data/keyed.txt", cwd=project)
    assert status == 1
    assert "opened dynamic.py" in text or "opened __pycache__" in text


def test_a_file_that_safetensors_opens_is_seen_too(project: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"w": np.zeros(1, np.float32)}, project / "data/extra.safetensors")
    code = GUARD.replace(
        "    Path(words[0]).read_text()",
        "    from safetensors.numpy import load_file\n    load_file(words[0])",
    )
    for early in ("", "import safetensors.numpy\n"):
        status, text = run_code(
            early + code, "data/extra.safetensors", "data/keyed.txt", cwd=project
        )
        assert status == 1
        assert "opened data/extra.safetensors" in text
    allowed = "data/extra.safetensors"
    assert run_code(code, allowed, allowed, cwd=project) == (0, "")


def test_the_users_packages_outside_of_the_project_are_watched(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("package")
    (elsewhere / "width.json").write_text("8", encoding="utf-8")
    code = GUARD.replace(
        'setting="model.files")', f'setting="model.files", pythonpath=[{str(elsewhere)!r}])'
    )
    status, text = run_code(code, str(elsewhere / "width.json"), "data/keyed.txt", cwd=project)
    assert status == 1
    assert f"opened {elsewhere / 'width.json'}" in text


def test_files_outside_of_the_project_are_not_the_guards_business(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "file.txt"
    elsewhere.write_text("x", encoding="utf-8")
    assert run_code(GUARD, str(elsewhere), cwd=project)[0] == 0


def test_writing_is_allowed() -> None:
    assert stage._is_written(("path", "w", os.O_WRONLY | os.O_CREAT))
    assert stage._is_written(("path", "r+", os.O_RDWR))
    assert not stage._is_written(("path", "r", os.O_RDONLY))


def test_run_lets_the_exit_code_of_main_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "die_with_parent", lambda: None)
    monkeypatch.setattr(sys, "argv", ["stage.py"])

    def fail() -> None:
        raise InputError(f"{stage.__name__} fails")

    with pytest.raises(SystemExit) as stopped:
        stage.run(fail)
    assert stopped.value.code == 1
