import importlib.util
import json
import shutil
from pathlib import Path
from string import Template
from types import ModuleType

import pytest

from trtproof import distributions, inputs
from trtproof.compose import compose, write_params
from trtproof.errors import MissingFileError
from trtproof.hardware import load_hardware

REPOSITORY = Path(__file__).parents[2]
STAGES = (
    "export",
    "calibrate",
    "convert",
    "audit",
    "sensitivity",
    "build",
    "benchmark",
    "evaluate",
    "report",
)
WEIGHTS = "src/trtproof/models/embedded/digits_resnet.safetensors"


def load_stage(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "stages" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRTPROOF_KEEP_HARDWARE", raising=False)
    monkeypatch.setattr(inputs, "_fingerprint", lambda project, count: f"{count:016x}")
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    (tmp_path / "stages").mkdir()
    for name in STAGES:
        (tmp_path / "stages" / f"{name}.py").write_text("from trtproof import stage\n")
    write_params(compose(["target=cpu"]))
    return tmp_path


def run_probe() -> tuple[bytes, bytes]:
    load_stage("probe").main()
    return Path("metrics/hardware.json").read_bytes(), Path("metrics/inputs.json").read_bytes()


def test_the_same_machine_and_files_give_the_same_bytes():
    assert run_probe() == run_probe()


def test_what_every_stage_is_keyed_by_is_there():
    import yaml

    run_probe()
    recorded = {
        name: json.loads(Path(name).read_text(encoding="utf-8"))
        for name in ("metrics/hardware.json", "metrics/inputs.json")
    }
    settings = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    pipeline = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
    for key, file in keys_of(pipeline["stages"], settings):
        value = recorded[file]
        for word in key.split("."):
            assert word in value, f"{file} has no {key}"
            value = value[word]


def keys_of(stages, settings):
    """Yield every key of a recorded file that dvc.yaml lists, once per item of a foreach."""
    for entry in stages.values():
        items = items_of(entry, settings)
        for params in (entry.get("do", entry)).get("params", []):
            for file, keys in params.items() if isinstance(params, dict) else []:
                for name, item in items:
                    for key in keys:
                        filled = Template(key.replace("{item.", "{")).substitute(item, key=name)
                        yield filled, file


def items_of(entry, settings):
    """Return (name, settings) of every item that a stage runs for."""
    if "foreach" not in entry:
        return [("", {})]
    for word in entry["foreach"][2:-1].split("."):
        settings = settings[word]
    return settings.items() if isinstance(settings, dict) else [(name, {}) for name in settings]


def test_the_recorded_hardware_is_read_back():
    run_probe()
    found = load_hardware()
    assert found.slug.startswith("cpu-")
    assert set(found.engine) == {"onnxruntime", "tensorrt", "torch"}


def test_a_new_version_of_a_library_changes_both_files(monkeypatch):
    before = run_probe()
    versions = distributions.installed_version

    def newer(name: str) -> str | None:
        return "99.1" if name == "onnxruntime" else versions(name)

    monkeypatch.setattr(distributions, "installed_version", newer)
    after = run_probe()
    assert json.loads(after[0])["engine"]["onnxruntime"]["version"] == "99.1"
    assert json.loads(after[0])["engine"]["torch"] == json.loads(before[0])["engine"]["torch"]
    assert b'"onnxruntime": "99.1"' in after[1]


def test_a_report_only_machine_keeps_what_another_recorded(monkeypatch):
    Path("metrics").mkdir()
    recorded = b'{"slug": "nvidia-h200-sm90"}'
    Path("metrics/hardware.json").write_bytes(recorded)
    Path("metrics/inputs.json").write_bytes(recorded)
    monkeypatch.setenv("TRTPROOF_KEEP_HARDWARE", "1")
    assert run_probe() == (recorded, recorded)


def test_a_report_only_machine_needs_recorded_files(monkeypatch):
    monkeypatch.setenv("TRTPROOF_KEEP_HARDWARE", "1")
    with pytest.raises(MissingFileError, match=r"hardware\.json does not exist"):
        run_probe()


def test_what_is_no_longer_configured_is_removed(project):
    kept, left = project / "artifacts/build/torch-fp32", project / "artifacts/build/torch-int4"
    for folder in (kept, left):
        folder.mkdir(parents=True)
    run_probe()
    assert kept.exists()
    assert not left.exists()


def test_a_failing_probe_leaves_the_recorded_files(project):
    before = run_probe()
    (project / WEIGHTS).unlink()
    with pytest.raises(MissingFileError, match=r"model\.weights"):
        load_stage("probe").main()
    assert Path("metrics/hardware.json").read_bytes() == before[0]
    assert Path("metrics/inputs.json").read_bytes() == before[1]
