import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from trtproof import artifacts, distributions, inputs
from trtproof.config import DatasetConfig, ModelConfig, Params, decode, load_params
from trtproof.data import open_split
from trtproof.data.fingerprint import fingerprint
from trtproof.errors import ConfigError, InputError, MissingFileError, UnknownNameError
from trtproof.file_cache import FOLDER
from trtproof.input_sources import InputSources
from trtproof.inputs import code_entries, keyed_files, load_key, make_inputs
from trtproof.source_keys import KEY_MODULES, PACKAGE, Closure

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

IN_ANOTHER_PROCESS = inputs._fingerprint

FACTORY = """
from torch import nn

from blocks import WIDTH


def make_model():
    return nn.Linear(4, WIDTH)
"""


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory) -> Path:
    """What a first probe remembers of trtproof's own files and of what is installed."""
    root = tmp_path_factory.mktemp("warm")
    (root / ".dvc").mkdir()
    sources = InputSources(root, ())
    for path in sorted(PACKAGE.rglob("*.py")):
        sources.trees._tree(path)
    sources.save()
    found = root / FOLDER / "sources.json"
    os.utime(found, ns=(0, found.stat().st_mtime_ns + 10_000_000_000))
    return root / ".dvc"


@pytest.fixture
def project(tmp_path: Path, monkeypatch, warm_cache) -> Path:
    """A user's project: own factory, weights, a file that the factory reads, samples in npz."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(warm_cache, tmp_path / ".dvc")
    monkeypatch.setattr(inputs, "_fingerprint", fingerprint_here)
    for name in STAGES:
        write("stages", f"{name}.py", "from trtproof import stage\n")
    write("code", "factory.py", FACTORY)
    write("code", "blocks.py", "WIDTH = 3\n")
    write("data", "weights.safetensors", "weights")
    write("data", "classes.txt", "zero one")
    for split in ("calibration", "evaluation"):
        np.savez(f"data/{split}.npz", x=np.arange(80, dtype=np.float32).reshape(20, 4))
    write_params(user_params())
    return tmp_path


def fingerprint_here(_: Path, count: int) -> str:
    """Do in this process what the probe starts another one for."""
    return fingerprint(open_split("calibration"), count)


def write(folder: str, name: str, text: str) -> None:
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / name).write_text(text, encoding="utf-8")


def user_params(**model: Any) -> dict[str, Any]:
    import yaml

    data: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    data["pythonpath"] = ["code"]
    data["model"] |= {
        "factory": "factory:make_model",
        "weights": "data/weights.safetensors",
        "files": ["data/*.txt"],
        "inputs": {"x": {"dtype": "float32", "shape": ["batch", 4]}},
    } | model
    data["dataset"] = {
        "name": "mine",
        "format": "npz",
        "synthetic": False,
        "options": {},
        "files": [],
        "calibration": {"file": "data/calibration.npz"},
        "evaluation": {"file": "data/evaluation.npz"},
    }
    return data


def write_params(data: dict[str, Any]) -> Params:
    import yaml

    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_params()


def flat(data: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(data, dict):
        return {prefix: data}
    return {
        key: value
        for name, inner in data.items()
        for key, value in flat(inner, f"{prefix}.{name}".lstrip(".")).items()
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    old, new = flat(before), flat(after)
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def test_nothing_changed_gives_the_same_keys(project):
    assert make_inputs(load_params()) == make_inputs(load_params())


def test_the_keys_do_not_depend_on_the_projects_folder(project, tmp_path_factory, monkeypatch):
    before = make_inputs(load_params())
    copy = tmp_path_factory.mktemp("elsewhere") / "deeper"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    assert make_inputs(load_params()) == before


@pytest.mark.parametrize(
    ("path", "text", "keys"),
    [
        ("code/factory.py", FACTORY + "\nX = 1\n", {"model.code", "code.build.torch.model.code"}),
        ("code/factory.py", FACTORY + "\n# a comment\n", set()),
        ("code/blocks.py", "WIDTH = 4\n", {"model.code", "code.build.torch.model.code"}),
        ("code/unrelated.py", "X = 1\n", set()),
        ("data/weights.safetensors", "WEIGHTS", {"model.files", "code.build.torch.model.files"}),
        ("data/classes.txt", "one two", {"model.files", "code.build.torch.model.files"}),
        ("data/more.txt", "a file more", {"model.files", "code.build.torch.model.files"}),
        ("data/notes.md", "not in a key", set()),
        ("stages/build.py", "from trtproof import stage\nX = 1\n", {
            "code.build.torch.code", "code.build.onnxruntime.code", "code.build.tensorrt.code"
        }),
        ("stages/export.py", "from trtproof import stage, artifacts\n", {"code.export.code"}),
    ],
)  # fmt: skip
def test_an_edit_changes_exactly_the_keys_that_depend_on_it(project, path, text, keys):
    before = make_inputs(load_params())
    (project / path).write_text(text, encoding="utf-8")
    assert changed(before, make_inputs(load_params())) == keys


def test_weights_in_a_folder_are_keyed_with_all_files_below_it(project):
    write("pretrained", "config.json", "{}")
    write("pretrained/parts", "model.safetensors", "weights")
    data = user_params(weights="pretrained")
    before = make_inputs(write_params(data))
    for name in ("config.json", "parts/model.safetensors"):
        (project / "pretrained" / name).write_text("another", encoding="utf-8")
        after = make_inputs(load_params())
        assert changed(before, after) == {"model.files", "code.build.torch.model.files"}
        before = after
    found = keyed_files(decode(ModelConfig, data["model"], key="model"), None, ["code"])
    names = {os.path.relpath(path, project) for path in found}
    assert names >= {"pretrained/config.json", "pretrained/parts/model.safetensors"}


def test_a_calibration_sample_behind_the_first_batch_leaves_parity(project):
    before = make_inputs(load_params())
    samples = np.arange(80, dtype=np.float32).reshape(20, 4)
    samples[17] = -1
    np.savez("data/calibration.npz", x=samples)
    assert changed(before, make_inputs(load_params())) == {"calibration.files"}
    samples[15] = -1
    np.savez("data/calibration.npz", x=samples)
    assert changed(before, make_inputs(load_params())) == {"calibration.files", "parity.files"}


def test_an_evaluation_sample_changes_the_evaluation_key_only(project):
    before = make_inputs(load_params())
    np.savez("data/evaluation.npz", x=np.zeros((20, 4), np.float32))
    assert changed(before, make_inputs(load_params())) == {"evaluation.files"}


def test_a_setting_of_one_split_changes_its_key_only(project):
    before = make_inputs(load_params())
    data = user_params()
    data["dataset"]["evaluation"]["count"] = 5
    assert changed(before, make_inputs(write_params(data))) == {"evaluation.settings"}


def test_a_tool_version_changes_the_entries_that_use_it(project, monkeypatch):
    before = make_inputs(load_params())
    versions = distributions.installed_version

    def newer(name: str) -> str | None:
        return "99.0" if name == "torch" else versions(name)

    monkeypatch.setattr(distributions, "installed_version", newer)
    keys = changed(before, make_inputs(load_params()))
    assert {"model.tools.torch", "code.build.torch.tools.torch"} <= keys
    assert all(key.endswith(".tools.torch") for key in keys)
    assert not any(key.startswith(("code.build.onnxruntime", "calibration")) for key in keys)


def test_a_recorded_key_is_read_back(project):
    entries = make_inputs(load_params())
    artifacts.write_json(artifacts.INPUTS, entries)
    assert load_key("code", "build", "torch") == entries["code"]["build"]["torch"]
    with pytest.raises(
        ConfigError, match=r"code\.build\.tvm: not in metrics/inputs.json.*dvc repro"
    ):
        load_key("code", "build", "tvm")


def test_parity_is_fingerprinted_once_per_calibration_key(project, monkeypatch):
    asked: list[int] = []

    def answer(_: Path, count: int) -> str:
        asked.append(count)
        return "0123456789abcdef"

    monkeypatch.setattr(inputs, "_fingerprint", answer)
    for _ in range(2):
        assert make_inputs(load_params())["parity"] == {"files": "0123456789abcdef"}
    assert asked == [16]


def test_another_process_gives_the_same_fingerprint(project, monkeypatch):
    here = make_inputs(load_params())["parity"]
    (project / FOLDER / "parity.json").unlink()
    monkeypatch.setattr(inputs, "_fingerprint", IN_ANOTHER_PROCESS)
    assert make_inputs(load_params())["parity"] == here


def test_samples_that_cannot_be_read_are_one_line(project, monkeypatch):
    monkeypatch.setattr(inputs, "_fingerprint", IN_ANOTHER_PROCESS)
    (project / "data" / "calibration.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match=r"calibration\.npz") as caught:
        make_inputs(load_params())
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        (
            "weights",
            "data/none.safetensors",
            r"data/none\.safetensors does not exist.*model\.weights",
        ),
        ("weights", "empty", r"empty does not exist.*model\.weights"),
        ("files", ["data/*.json"], r"data/\*\.json does not exist.*model\.files"),
        ("factory", "nowhere:make", r"module nowhere does not exist.*model\.factory"),
    ],
)
def test_what_is_missing_is_named_with_its_setting(project, setting, value, message):
    with pytest.raises(MissingFileError, match=message):
        make_inputs(write_params(user_params(**{setting: value})))


def test_a_missing_sample_file_is_named_with_its_setting(project):
    (project / "data" / "evaluation.npz").unlink()
    with pytest.raises(
        MissingFileError, match=r"evaluation\.npz does not exist.*dataset\.evaluation"
    ):
        make_inputs(load_params())


def test_a_missing_stage_script_is_an_error(project):
    (project / "stages" / "audit.py").unlink()
    with pytest.raises(MissingFileError, match=r"audit\.py does not exist"):
        make_inputs(load_params())


def test_an_unknown_scorer_is_an_error(project):
    data = user_params()
    data["evaluate"]["scorers"] = ["f9"]
    with pytest.raises(UnknownNameError, match="scorer 'f9'"):
        make_inputs(write_params(data))


def test_a_plug_in_library_of_tensorrts_is_in_the_key_of_its_builds(project):
    write("lib", "mine.so", "one")
    data = user_params()
    variant = next(v for v in data["variants"].values() if v["backend"] == "tensorrt")
    before = make_inputs(write_params(data))
    variant["build"]["options"] = {"plugins": ["lib/mine.so"]}
    first = make_inputs(write_params(data))
    assert changed(before, first) == {"code.build.tensorrt.files"}
    write("lib", "mine.so", "two")
    assert changed(first, make_inputs(load_params())) == {"code.build.tensorrt.files"}
    (project / "lib/mine.so").unlink()
    with pytest.raises(MissingFileError, match=r"lib/mine\.so does not exist.*options\.plugins"):
        make_inputs(load_params())


def test_a_users_scorer_is_followed(project):
    write("code", "metric.py", "LIMIT = 1\n")
    data = user_params()
    data["evaluate"]["scorers"] = ["metric:SCORER"]
    before = make_inputs(write_params(data))
    write("code", "metric.py", "LIMIT = 2\n")
    keys = changed(before, make_inputs(load_params()))
    assert keys == {
        "code.audit.code",
        "code.report.code",
        *(f"code.evaluate.{name}.code" for name in ("onnxruntime", "tensorrt", "torch")),
    }


def test_a_factory_of_an_installed_package_counts_by_its_version(project):
    entries = make_inputs(write_params(user_params(factory="sklearn.nowhere:make")))
    assert "scikit-learn" in entries["model"]["tools"]


def test_keyed_files_are_all_that_the_settings_name(project):
    data = user_params()
    found = keyed_files(
        decode(ModelConfig, data["model"], key="model"),
        decode(DatasetConfig, data["dataset"], key="dataset"),
        data["pythonpath"],
    )
    names = {os.path.relpath(path, project) for path in found}
    assert names >= {
        "code/factory.py",
        "code/blocks.py",
        "data/weights.safetensors",
        "data/classes.txt",
        "data/calibration.npz",
        "data/evaluation.npz",
        "stages/export.py",
    }
    assert "code/unrelated.py" not in names


class RecordingSources(InputSources):
    """Adds to every entry which modules its code is made of."""

    def entry(self, closure: Closure) -> dict[str, Any]:
        return {"code": closure.code, "modules": [module.name for module in closure.modules]}


def own_module(path: Path) -> str:
    name = ".".join(("trtproof", *path.relative_to(PACKAGE).with_suffix("").parts))
    return name.removesuffix(".__init__")


@pytest.fixture(scope="module")
def copied(tmp_path_factory, warm_cache) -> tuple[Path, RecordingSources, dict[str, Any]]:
    """A copy of trtproof to edit, beside this repository's own stages."""
    root = tmp_path_factory.mktemp("copied")
    shutil.copytree(warm_cache, root / ".dvc")
    shutil.copytree(
        PACKAGE, root / "src" / "trtproof", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(REPOSITORY / "stages", root / "stages")
    for name in STAGES:
        if not (root / "stages" / f"{name}.py").exists():
            (root / "stages" / f"{name}.py").write_text(
                "from trtproof import stage\n", encoding="utf-8"
            )
    sources = RecordingSources(root, (), root / "src" / "trtproof")
    return root, sources, entries_of(sources)


def entries_of(sources: InputSources) -> dict[str, Any]:
    """Return all code entries of the repository's own settings, and the model's and dataset's."""
    params = load_params(REPOSITORY / "params.yaml")
    entries = code_entries(sources, params)
    entries["build"]["torch"].pop("model", None)
    return entries | {
        "model": sources.entry(sources.model_closure(params.model)),
        "data": sources.entry(sources.format_closure(params.dataset)),
    }


def codes(entries: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in flat(entries).items() if key.endswith("code")}


def after_edit(copied, name: str, edit) -> set[str]:
    """Return the entries whose code changed when one file of the copy was edited."""
    root, sources, entries = copied
    path = root / "src" / name
    text = path.read_text(encoding="utf-8")
    edited = RecordingSources(root, (), root / "src" / "trtproof")
    known = sources.trees
    edited.trees._located = known._located
    edited.trees._trees = {key: tree for key, tree in known._trees.items() if key != path}
    edited.trees._reached = {at: found for at, found in known._reached.items() if at.path != path}
    try:
        path.write_text(edit(text), encoding="utf-8")
        new = entries_of(edited)
    finally:
        path.write_text(text, encoding="utf-8")
    return {
        key.removesuffix(".code") for key, code in codes(new).items() if codes(entries)[key] != code
    }


def reaching(copied, module: str) -> set[str]:
    lists = flat(copied[2])
    return {
        key.removesuffix(".modules")
        for key, names in lists.items()
        if key.endswith("modules") and module in names
    }


FILES = sorted(path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("name", FILES)
def test_an_edit_of_a_module_changes_exactly_the_entries_that_reach_it(copied, name):
    module = own_module(PACKAGE.parent / name)
    expected = reaching(copied, module)
    assert after_edit(copied, name, lambda text: text + "\nEDITED = 1\n") == expected
    assert not (expected and module in KEY_MODULES)


@pytest.mark.parametrize("name", FILES)
def test_a_comment_or_docstring_in_a_module_changes_no_entry(copied, name):
    def edit(text: str) -> str:
        return "# a comment\n" + text.replace('"""', '"""Say it otherwise. ', 1) + "\n# the end\n"

    assert after_edit(copied, name, edit) == set()


@pytest.mark.parametrize("package", ["backends", "data", "models", "precision", "scoring"])
def test_an_entry_more_in_a_registry_changes_no_entry(copied, package):
    def edit(text: str) -> str:
        at = text.index("{", text.index("= Registry("))
        return f'{text[: at + 1]}\n        "new": "trtproof.{package}.new:NEW",{text[at + 1 :]}'

    assert after_edit(copied, f"trtproof/{package}/__init__.py", edit) == set()


@pytest.mark.parametrize(
    ("backend", "file"),
    [
        ("torch", "torch.py"),
        ("tensorrt", "tensorrt/__init__.py"),
        ("tensorrt", "tensorrt/engine.py"),
        ("tensorrt", "tensorrt/settings.py"),  # reached through the build's own process
    ],
)
def test_an_edit_of_a_backend_changes_only_its_own_entries(copied, backend, file):
    changed_entries = after_edit(
        copied, f"trtproof/backends/{file}", lambda text: text + "\nX = 1\n"
    )
    assert {f"build.{backend}", f"evaluate.{backend}", "benchmark"} == changed_entries


def test_an_edit_of_a_pass_changes_only_its_own_entry(copied):
    edited = after_edit(copied, "trtproof/precision/int8_cpu.py", lambda text: text + "\nX = 1\n")
    assert edited == {"convert.int8_cpu"}


def test_the_entries_are_json(project):
    assert json.loads(artifacts.to_json(make_inputs(load_params())))["schema"] == 1


def test_a_given_file_and_its_data_are_in_the_key_of_its_conversion(project):
    data = user_params()
    data["recipes"]["given"] = {
        "pass": "given",
        "source": "artifacts/export",
        "calibration": "artifacts/export",
        "options": {"file": "data/given.onnx"},
    }
    params = write_params(data)
    with pytest.raises(MissingFileError, match=r"given\.onnx.*recipes\.given\.options\.file"):
        make_inputs(params)
    weights = numpy_helper.from_array(np.ones(9, np.float32), "w")
    graph = helper.make_graph([], "g", [], [], [weights])
    onnx.save_model(
        helper.make_model(graph),
        "data/given.onnx",
        save_as_external_data=True,
        location="given.data",
        size_threshold=0,
    )
    before = make_inputs(params)
    bytes_of = Path("data/given.data")
    bytes_of.write_bytes(bytes_of.read_bytes() + b"1")
    assert changed(before, make_inputs(params)) == {"code.convert.given.files"}


def test_a_file_of_ranges_is_in_the_key_of_the_calibration(project):
    data = user_params()
    data["calibrate"]["from"] = "data/model.cache"
    params = write_params(data)
    with pytest.raises(MissingFileError, match=r"model\.cache.*calibrate\.from"):
        make_inputs(params)
    write("data", "model.cache", "TRT-8501\nx: 3f800000\n")
    before = make_inputs(params)
    write("data", "model.cache", "TRT-8501\nx: 3f800001\n")
    assert changed(before, make_inputs(params)) == {"code.calibrate.files"}
