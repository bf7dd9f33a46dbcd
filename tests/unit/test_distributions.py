import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trtproof import distributions
from trtproof.file_cache import FOLDER


@pytest.fixture
def site(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """One folder of installed packages, and nothing else installed."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    forget()
    yield folder
    forget()


def forget() -> None:
    distributions._installed.cache_clear()
    distributions._listing.cache_clear()


def install(site: Path, name: str, version: str, *files: str) -> None:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    lines = [f"{file},sha256=x,1" for file in files]
    (folder / "RECORD").write_text("\n".join(lines), encoding="utf-8")
    forget()


def test_the_public_version_has_no_local_part(site):
    install(site, "torch", "2.13.0+cpu", "torch/__init__.py")
    assert distributions.installed_version("torch") == "2.13.0+cpu"
    assert distributions.public_version("torch") == "2.13.0"


def test_a_name_is_found_in_any_spelling(site):
    install(site, "scikit_learn", "1.9.1", "sklearn/__init__.py")
    assert distributions.installed_version("Scikit.Learn") == "1.9.1"


def test_what_is_not_installed_has_no_version(site):
    assert distributions.installed_version("tensorrt") is None


def test_an_old_style_installation_is_found(site):
    (site / "old.egg-info").mkdir()
    (site / "old.egg-info" / "PKG-INFO").write_text("Name: old\nVersion: 3.1\n", encoding="utf-8")
    forget()
    assert distributions.installed_version("old") == "3.1"


def test_sources_that_are_worked_on_are_no_installation(site, tmp_path, monkeypatch):
    sources = tmp_path / "src"
    (sources / "mine.egg-info").mkdir(parents=True)
    (sources / "mine.egg-info" / "PKG-INFO").write_text("Name: mine\nVersion: 0.1\n")
    (sources / "mine.egg-info" / "top_level.txt").write_text("mine\n")
    monkeypatch.setattr(sys, "path", [str(sources), str(site)])
    forget()
    assert distributions.distributions_of("mine", distributions.import_index(tmp_path)) == []


def test_an_import_is_credited_to_its_distribution(site, tmp_path):
    install(site, "scikit_learn", "1.9.1", "sklearn/__init__.py", "sklearn/svm/__init__.py")
    index = distributions.import_index(tmp_path)
    versions = distributions.tool_versions(["sklearn.svm"], [], index)
    assert versions == {"scikit-learn": "1.9.1"}


def test_distributions_that_share_a_top_level_name_are_told_apart(site, tmp_path):
    install(site, "protobuf", "7.1", "google/protobuf/__init__.py")
    install(site, "google_auth", "2.0", "google/auth/__init__.py")
    index = distributions.import_index(tmp_path)
    assert distributions.tool_versions(["google.protobuf.message"], [], index) == {
        "protobuf": "7.1"
    }


def test_both_builds_of_onnx_runtime_have_one_name(site, tmp_path):
    install(site, "onnxruntime_gpu", "1.31.1", "onnxruntime/__init__.py")
    index = distributions.import_index(tmp_path)
    assert distributions.tool_versions(["onnxruntime"], [], index) == {"onnxruntime": "1.31.1"}


def test_infrastructure_is_no_tool(site, tmp_path):
    install(site, "rich", "15.0.0", "rich/__init__.py")
    index = distributions.import_index(tmp_path)
    assert distributions.tool_versions(["rich.progress"], ["rich"], index) == {}


def test_a_named_distribution_is_a_tool_where_it_is_installed(site, tmp_path):
    install(site, "onnx_ir", "1.1.0", "onnx_ir/__init__.py")
    assert distributions.tool_versions([], ["onnx-ir", "onnxscript"], {}) == {"onnx-ir": "1.1.0"}


def test_the_index_is_made_again_when_a_distribution_comes(site, tmp_path):
    (tmp_path / ".dvc").mkdir()
    install(site, "one", "1", "one/__init__.py")
    assert distributions.import_index(tmp_path) == {"one": ["one"]}
    install(site, "two", "1", "two.py")
    assert distributions.import_index(tmp_path) == {"one": ["one"], "two": ["two"]}


def test_a_broken_index_is_made_again(site, tmp_path):
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "distributions.json").write_text("{", encoding="utf-8")
    install(site, "one", "1", "one/__init__.py")
    assert distributions.import_index(tmp_path) == {"one": ["one"]}


def test_the_versions_are_those_that_pip_lists():
    forget()
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    wrong = {
        line
        for line in listed
        if distributions.installed_version(line.partition("==")[0]) != line.partition("==")[2]
    }
    assert wrong == set()
