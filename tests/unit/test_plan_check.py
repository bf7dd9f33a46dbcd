"""A plan made elsewhere is code: taken only where somebody said so, and only as it was hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from stages import build
from tests.engine_project import EngineProject, make_engine_project

from trtproof import artifacts
from trtproof.backends.base import BuildSpec
from trtproof.compose import compose
from trtproof.config import Params, decode
from trtproof.errors import ConfigError, MissingFileError, PlanCorruptError
from trtproof.input_sources import InputSources
from trtproof.inputs import _plan_entries
from trtproof.settings_check import check_settings

REPOSITORY = Path(__file__).parents[2]
VARIANT = "tensorrt-fp16"


@pytest.fixture(scope="module")
def composed() -> str:
    return compose(project=REPOSITORY)


def settings(text: str, variant: str, **changes: Any) -> Params:
    data = yaml.safe_load(text)
    data["variants"][variant]["build"].update(changes)
    return decode(Params, data, key="")


def test_a_trusted_plan_in_the_repository_is_sound(composed: str) -> None:
    check_settings(settings(composed, VARIANT, plan="imports/x.plan", trusted=True))


@pytest.mark.parametrize(
    ("variant", "changes", "message"),
    [
        (VARIANT, {"plan": "imports/x.plan"}, "trusted: a plan is code that will run on this"),
        (VARIANT, {"trusted": True}, "trusted: there is no plan to trust"),
        (VARIANT, {"plan": "/plans/x.plan", "trusted": True}, "is not in this repository"),
        (VARIANT, {"plan": "../x.plan", "trusted": True}, "is not in this repository"),
        ("onnxruntime-fp32", {"plan": "imports/x", "trusted": True}, "takes no plan made"),
    ],
)
def test_any_other_plan_is_refused(
    composed: str, variant: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_settings(settings(composed, variant, **changes))


def test_the_probe_keys_the_plans_content(
    composed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = settings(composed, VARIANT, plan="imports/x.plan", trusted=True)
    with pytest.raises(MissingFileError, match=r"variants\.tensorrt-fp16\.build\.plan"):
        _plan_entries(InputSources(tmp_path, ()), params)
    (tmp_path / "imports").mkdir()
    (tmp_path / "imports/x.plan").write_bytes(b"plan")
    entries = _plan_entries(InputSources(tmp_path, ()), params)
    assert entries[VARIANT] == {"sha256": artifacts.sha256_file(Path("imports/x.plan"))}
    assert set(entries) == set(params.variants)
    assert entries["torch-fp32"] == {}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineProject:
    project = make_engine_project(monkeypatch, tmp_path)
    Path("imports").mkdir()
    Path("imports/x.plan").write_bytes(b"plan")
    project.variant("first")["build"] |= {"plan": "imports/x.plan", "trusted": True}
    project.plans["first"] = {"sha256": artifacts.sha256_file(Path("imports/x.plan"))}
    return project


def test_the_backend_gets_the_plan_that_was_keyed(
    project: EngineProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trtproof.backends import BACKENDS

    backend, seen = BACKENDS.load("fake"), list[BuildSpec]()
    whole = type(backend).compile

    def spy(self: Any, model: Any, spec: BuildSpec, out: Path) -> Any:
        seen.append(spec)
        return whole(self, model, spec, out)

    monkeypatch.setattr(type(backend), "compile", spy)
    project.write()
    build.main("first")
    build.main("second")
    assert [spec.plan for spec in seen] == [Path("imports/x.plan"), None]


def test_another_file_than_the_keyed_one_is_refused(project: EngineProject) -> None:
    project.write()
    Path("imports/x.plan").write_bytes(b"another plan")
    with pytest.raises(PlanCorruptError, match="not the file that the probe hashed"):
        build.main("first")
    Path("imports/x.plan").unlink()
    with pytest.raises(MissingFileError, match=r"variants\.first"):
        build.main("first")
    assert not artifacts.build("first").exists()
