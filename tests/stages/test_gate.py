import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from trtproof.compose import compose, write_params
from trtproof.errors import ConfigError, MissingFileError

REPOSITORY = Path(__file__).parents[2]


def load_stage(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "stages" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    write_params(compose())
    return tmp_path


def run_gate() -> bytes:
    load_stage("gate").main()
    return Path("artifacts/gate/params.ok").read_bytes()


def test_the_output_is_constant(project):
    before = run_gate()
    write_params(compose(["benchmark=smoke"]))
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("benchmark: quick", "benchmark: smoke"))
    assert run_gate() == before
    assert [path.name for path in (project / "artifacts" / "gate").iterdir()] == ["params.ok"]


def test_conf_that_was_edited_but_not_composed_stops(project):
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("batch: 8", "batch: 4"))
    with pytest.raises(ConfigError, match=r"evaluate\.batch: 8, conf/ has 4.*trtproof compose"):
        run_gate()
    assert not (project / "artifacts").exists()


def test_params_edited_by_hand_stop(project):
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("reference: torch-fp32", "reference: x"))
    with pytest.raises(ConfigError, match="reference: 'x', conf/ has 'torch-fp32'"):
        run_gate()


def test_an_experiments_own_composition_is_not_compared(project, monkeypatch):
    write_params(compose(["benchmark=smoke"]))
    with pytest.raises(ConfigError, match=r"benchmark\.profile"):
        run_gate()
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123abc")
    assert run_gate() == b"ok\n"


def test_an_experiments_settings_are_checked_all_the_same(project, monkeypatch):
    write_params(compose(["recipe=[fp32]"]))
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0123abc")
    with pytest.raises(ConfigError, match=r"variants\..*\.recipe: recipe"):
        run_gate()


def test_a_deselected_recipe_that_a_variant_uses_is_refused(project):
    config = project / "conf" / "config.yaml"
    text = config.read_text()
    assert ", int8_cpu]" in text
    config.write_text(text.replace(", int8_cpu]", "]", 1))
    write_params(compose())
    with pytest.raises(
        ConfigError, match=r"onnxruntime-int8_cpu\.recipe: recipe 'int8_cpu' is not"
    ):
        run_gate()


def test_missing_params_stop(project):
    (project / "params.yaml").unlink()
    with pytest.raises(MissingFileError, match="trtproof compose"):
        run_gate()
