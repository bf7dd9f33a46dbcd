import shutil
from pathlib import Path

import pytest
import yaml

from trtproof.compose import compose, flatten, require_composed, write_params
from trtproof.errors import ConfigError, MissingFileError

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    write_params(compose(project=tmp_path), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "overrides", [[], ["benchmark=smoke"], ["target=cpu", "evaluate.batch=4", "recipe=[fp32]"]]
)
def test_the_text_is_what_dvc_composes(project, tmp_path, overrides):
    from dvc.utils.hydra import compose_and_dump

    dumped = tmp_path / "dvc.yaml"
    compose_and_dump(dumped, str(project / "conf"), None, "config", "hydra_plugins", overrides)
    assert compose(overrides, project).encode() == dumped.read_bytes()


def test_params_are_written_only_when_they_differ(project):
    before = (project / "params.yaml").stat().st_mtime_ns
    assert not write_params(compose(project=project), project)
    assert (project / "params.yaml").stat().st_mtime_ns == before
    assert write_params(compose(["benchmark=smoke"], project), project)
    assert yaml.safe_load((project / "params.yaml").read_text())["benchmark"]["profile"] == "smoke"


def test_composed_params_pass(project):
    require_composed(project=project)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reference: torch-fp32", "reference: other", "reference: 'other', conf/ has 'torch-fp32'"),
        ("reference: torch-fp32", "", "reference: missing, conf/ has 'torch-fp32'"),
        ("reference: torch-fp32", "reference: torch-fp32\nnew: 1", "new: 1, not in conf/"),
        ("reference: torch-fp32", "reference:  torch-fp32", "ordered or written otherwise"),
    ],
)
def test_edited_params_are_refused_with_the_first_difference(project, old, new, message):
    path = project / "params.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match="run `trtproof compose`") as caught:
        require_composed(project=project)
    assert message in str(caught.value)


def test_a_comment_in_conf_changes_nothing(project):
    path = project / "conf" / "config.yaml"
    path.write_text("# a comment\n" + path.read_text())
    require_composed(project=project)


def test_missing_params_name_the_command(project):
    (project / "params.yaml").unlink()
    with pytest.raises(MissingFileError, match="trtproof compose"):
        require_composed(project=project)


def test_a_folder_without_conf_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match=r"conf/config\.yaml does not exist"):
        compose(project=tmp_path)


@pytest.mark.parametrize(
    "override", ["model=nowhere", "evaluate.bach=4", "a b", "reference=${nowhere}"]
)
def test_what_hydra_refuses_is_one_line(project, override):
    with pytest.raises(ConfigError) as caught:
        compose([override], project)
    assert "\n" not in str(caught.value)
    assert override in str(caught.value)


def test_settings_flatten_to_dotted_keys():
    data = {"a": {"b": 1, "c": {}}, "d": [1, 2]}
    assert flatten(data) == {"a.b": 1, "a.c": {}, "d": [1, 2]}
