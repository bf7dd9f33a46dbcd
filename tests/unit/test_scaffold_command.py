import subprocess
from pathlib import Path

import pytest
import yaml

from trtproof import cli
from trtproof.compose import require_composed
from trtproof.scaffold import command, upgrade
from trtproof.scaffold.shipped import CONFIG, PACKAGED, shipped_files

REPOSITORY = Path(__file__).parents[2]


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git/" not in path.as_posix()
    }


@pytest.fixture
def project(tmp_path, monkeypatch, capsys) -> Path:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "new/project"]) == 0
    capsys.readouterr()
    monkeypatch.chdir(tmp_path / "new/project")
    return tmp_path / "new/project"


def test_what_is_shipped_is_the_repositorys_own():
    files = shipped_files()
    assert not PACKAGED.exists()
    assert files["dvc.yaml"] == (REPOSITORY / "dvc.yaml").read_bytes()
    assert {f"stages/{path.name}" for path in (REPOSITORY / "stages").glob("*.py")} <= files.keys()
    assert not [path for path in files if "digits_resnet" in path]


def test_a_wheel_takes_all_that_is_shipped():
    import tomllib

    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    places = {f"trtproof/scaffold/{PACKAGED.name}/{source}" for source in wheel}
    assert places == set(wheel.values())
    for path in shipped_files():
        assert any(path == source or path.startswith(f"{source}/") for source in wheel), path


def test_init_makes_a_composed_project_in_a_new_repository(project):
    assert (project / ".git").is_dir()
    require_composed(project=project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    assert params["model"]["factory"] == "example_adapter.model:make_model"
    assert params["evaluate"]["scorers"] == ["example_adapter.scorer:Scorer"]
    ignored = subprocess.run(["git", "check-ignore", "artifacts/x"], check=False)
    assert ignored.returncode == 0


def test_a_second_init_changes_nothing(project, capsys):
    before = contents(project)
    assert cli.main(["init", "."]) == 1
    assert "`trtproof upgrade`" in capsys.readouterr().err
    assert contents(project) == before


def test_an_existing_file_is_named_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / CONFIG).write_text("mine: 1\n")
    before = contents(tmp_path)
    assert cli.main(["init", "."]) == 1
    assert CONFIG in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert not (tmp_path / ".git").exists()


def test_lines_of_an_ignore_file_stay_and_are_added_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".gitignore").write_text("secret\n__pycache__/\n")
    assert cli.main(["init", "."]) == 0
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["secret", "__pycache__/"]
    assert lines.count("__pycache__/") == 1
    assert "/artifacts/" in lines


def test_settings_that_do_not_fit_leave_nothing_behind(tmp_path, monkeypatch, capsys):
    from tests.pipeline.models import tiny_onnx

    monkeypatch.chdir(tmp_path)
    tiny_onnx(tmp_path / "tiny.onnx")

    def refuse(_params) -> None:
        from trtproof.errors import InputError

        text = "does not fit"
        raise InputError(text)

    monkeypatch.setattr(command, "check_settings", refuse)
    assert cli.main(["init", "p", "--onnx", "tiny.onnx"]) == 1
    assert "does not fit" in capsys.readouterr().err
    assert set(contents(tmp_path)) == {"tiny.onnx"}


def test_from_and_onnx_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["init", "p", "--from", "a:b", "--onnx", "c.onnx"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_a_new_project_differs_in_nothing(project, capsys):
    assert cli.main(["upgrade"]) == 0
    assert capsys.readouterr().out == "nothing differs from the installed version\n"


def test_an_edited_stage_is_a_difference_and_edited_settings_are_not(project, capsys):
    (project / "stages/report.py").write_text("# mine\n")
    (project / "conf/benchmark/quick.yaml").write_text("mine: 1\n")
    assert cli.main(["upgrade"]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("stages/report.py: edited here\n--- stages/report.py\n")
    assert "-# mine\n" in shown
    assert "quick.yaml" not in shown


@pytest.fixture
def newer(monkeypatch) -> dict[str, bytes]:
    """A later version: another stage, another setting, one file more and one less."""
    files = shipped_files()
    files["stages/report.py"] += b"# newer\n"
    files["stages/new.py"] = b"# new\n"
    files["conf/benchmark/quick.yaml"] += b"# newer\n"
    files[CONFIG] += b"# newer\n"
    del files["conf/target/auto.yaml"]
    monkeypatch.setattr(upgrade, "shipped_files", lambda: files)
    return files


def test_a_newer_version_is_shown_and_writes_nothing(project, newer, capsys):
    before = contents(project)
    assert cli.main(["upgrade"]) == 1
    shown = capsys.readouterr().out
    for path in ("stages/report.py", "stages/new.py", "conf/benchmark/quick.yaml"):
        assert f"{path}: changed by this version\n" in shown
    assert f"{CONFIG}: edited here, and changed by this version\n" in shown
    assert "+# newer\n" in shown
    assert contents(project) == before


def test_apply_takes_over_what_was_not_edited_here(project, newer, capsys):
    (project / "conf/benchmark/quick.yaml").write_text("mine: 1\n")
    assert cli.main(["upgrade", "--apply"]) == 1
    assert (project / "stages/report.py").read_bytes() == newer["stages/report.py"]
    assert (project / "stages/new.py").read_bytes() == b"# new\n"
    assert (project / "conf/benchmark/quick.yaml").read_text() == "mine: 1\n"
    assert "example" in (project / CONFIG).read_text()
    capsys.readouterr()
    cli.main(["upgrade"])
    shown = capsys.readouterr().out
    assert "quick.yaml" not in shown
    assert CONFIG not in shown


def test_upgrade_elsewhere_says_where_to_run_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["upgrade"]) == 1
    assert "`trtproof init`" in capsys.readouterr().err
