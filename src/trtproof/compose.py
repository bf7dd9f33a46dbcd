"""conf/ -> params.yaml, byte for byte what DVC's own Hydra composition writes.

`dvc exp run -S ...` composes by itself, plain `dvc repro` never does; the gate stage compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from trtproof import artifacts
from trtproof.config import PARAMS_FILE, read_params
from trtproof.errors import ConfigError, MissingFileError

CONF: Final = Path("conf")
PLUGINS: Final = "hydra_plugins"
"""Folder of the project that DVC looks for resolvers in (its setting hydra.plugins_path)."""


def compose(overrides: Sequence[str] = (), project: Path | None = None) -> str:
    """Return the text of params.yaml for these overrides, as in `["model=resnet50"]`.

    Raises:
        MissingFileError: there is no conf/config.yaml.
        ConfigError: Hydra cannot compose it; carries Hydra's own words.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    root = (project or Path.cwd()).resolve()
    if not (root / CONF / "config.yaml").is_file():
        raise MissingFileError(CONF / "config.yaml", repair="run this in the project's own folder")
    try:
        with (
            project_plugins(root),
            initialize_config_dir(str(root / CONF), version_base=None),
        ):
            config = hydra_compose("config", overrides=list(overrides))
            OmegaConf.resolve(config)
            return OmegaConf.to_yaml(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(
            key=" ".join(overrides) or f"{CONF}/",
            problem=" ".join(str(error).split()),
            repair="correct it in conf/ or on the command line",
        ) from None


def write_params(text: str, project: Path | None = None) -> bool:
    """Write a composed text as params.yaml; say whether that changed it."""
    path = (project or Path.cwd()) / PARAMS_FILE
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    artifacts.write_text(path, text)
    return True


def require_composed(overrides: Sequence[str] = (), project: Path | None = None) -> None:
    """Refuse a params.yaml that is not what conf/ composes to.

    Raises:
        ConfigError: it is stale or was edited; names the first setting that differs.
        MissingFileError: there is none.
    """
    root = project or Path.cwd()
    recorded = read_params(root / PARAMS_FILE)
    composed = compose(overrides, project)
    if (root / PARAMS_FILE).read_text(encoding="utf-8") == composed:
        return
    raise ConfigError(
        key=str(PARAMS_FILE),
        problem=f"not what conf/ composes to ({_first_difference(recorded, composed)})",
        repair="run `trtproof compose` (it is generated: settings are edited in conf/)",
    )


@contextmanager
def project_plugins(project: Path) -> Iterator[None]:
    """Let Hydra find the project's own plugins, as DVC does."""
    from hydra.core.plugins import Plugins

    folder = project / PLUGINS
    sys.path.append(str(folder))
    try:
        Plugins.instance()
        yield
    finally:
        sys.path.remove(str(folder))


def _first_difference(recorded: Mapping[str, Any], text: str) -> str:
    import yaml

    old, new = flatten(recorded), flatten(yaml.safe_load(text))
    for key in [*new, *old]:
        if key not in old:
            return f"{key}: missing, conf/ has {new[key]!r}"
        if key not in new:
            return f"{key}: {old[key]!r}, not in conf/"
        if old[key] != new[key]:
            return f"{key}: {old[key]!r}, conf/ has {new[key]!r}"
    return "the same settings, ordered or written otherwise"


def flatten(data: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted key; an empty mapping is a value of its own."""
    if not isinstance(data, Mapping) or not data:
        return {prefix: data}
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
