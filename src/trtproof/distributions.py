"""Which distributions are installed, and which of them an import uses.

Read from the names of the `*.dist-info` folders: `importlib.metadata` parses every METADATA as mail
(a tenth of a second for the twenty that a probe asks for), and its `packages_distributions` takes
half a second.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from trtproof import artifacts
from trtproof.file_cache import FOLDER

ALIASES: Mapping[str, str] = {"onnxruntime-gpu": "onnxruntime"}
"""Two builds of one module have one name in a key; hardware.json tells them apart."""

INFRASTRUCTURE = frozenset(
    {
        "hydra-core",  # composes params.yaml; stages read the result, whose values are in the keys
        "jinja2",  # fills the report's page with figures that are computed elsewhere
        "markupsafe",  # escapes that page's text
        "msgspec",  # refuses wrong settings; an accepted one is the same value in any version
        "nvidia-ml-py",  # reads the machine; what it says is recorded
        "omegaconf",  # as hydra-core
        "packaging",  # compares versions
        "psutil",  # reads the machine's state, which is recorded beside the samples
        "pyarrow",  # stores samples as they were measured: columns of integers, lossless
        "pyyaml",  # reads params.yaml, whose values are in the keys
        "rich",  # shows progress
        "ruamel-yaml",  # as pyyaml
        "typing-extensions",  # annotations
    }
)
"""Distributions that decide no byte of a result: an upgrade of one must rebuild nothing."""


INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of folders that installers own."""


def installed_version(name: str) -> str | None:
    """Return a distribution's version with its local part ("2.13.0+cpu"); None if not installed."""
    return _installed().get(canonical(name))


def public_version(name: str) -> str | None:
    """Return a distribution's version without the local part: the release, not the build."""
    version = installed_version(name)
    return None if version is None else version.partition("+")[0]


def canonical(name: str) -> str:
    """Return the one spelling of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def tool_versions(
    imports: Iterable[str], named: Iterable[str], index: Mapping[str, list[str]]
) -> dict[str, str]:
    """Return distribution -> public version, for modules imported and distributions named outright.

    Left out are infrastructure and what is not installed: an import of it that ran would fail.
    """
    found = {canonical(name) for name in named}
    for module in imports:
        found.update(distributions_of(module, index))
    versions: dict[str, str] = {}
    for name in sorted(found - INFRASTRUCTURE):
        version = public_version(name)
        if version is not None:
            versions[ALIASES.get(name, name)] = version
    return versions


def distributions_of(module: str, index: Mapping[str, list[str]]) -> list[str]:
    """Return the distributions that a module comes from, by the longest known part of its name."""
    parts = module.split(".")
    for length in (2, 1):
        known = index.get(".".join(parts[:length]))
        if known:
            return known
    return []


def import_index(project: Path) -> dict[str, list[str]]:
    """Return importable name -> distributions.

    Where several share a top-level name, it also has names of two words. Remembered in the project
    until a distribution comes, goes or changes version.
    """
    path = project / FOLDER / "distributions.json"
    installed = sorted(f"{name} {version}" for name, version in _installed().items())
    try:
        data = json.loads(path.read_bytes())
        if data["installed"] == installed:
            return dict(data["index"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, or broken: made again
    index = _make_index()
    if (project / ".dvc").is_dir():
        artifacts.write_text(path, json.dumps({"installed": installed, "index": index}))
    return index


def site_folders() -> list[Path]:
    """Return the folders of the import path that distributions are installed in."""
    return [folder for folder in map(Path, sys.path) if folder.is_dir() and any(_metadata(folder))]


def _metadata(folder: Path) -> list[str]:
    """Return a folder's descriptions of distributions that are installed in it.

    An .egg-info elsewhere lies beside sources that are being worked on: those are hashed.
    """
    endings = [".dist-info", ".egg-info"] if set(folder.parts) & INSTALLED else [".dist-info"]
    return [name for name in _listing(str(folder)) if name.endswith(tuple(endings))]


@cache
def _listing(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in Path(folder).iterdir()))


@cache
def _installed() -> dict[str, str]:
    """Return canonical name -> version, of the first on the import path: that is imported."""
    versions: dict[str, str] = {}
    for folder in site_folders():
        for entry in _metadata(folder):
            name, _, version = entry.rpartition(".")[0].partition("-")
            if entry.endswith(".egg-info"):
                version = version.partition("-py")[0] or _egg_version(folder / entry)
            if version:
                versions.setdefault(canonical(name), version)
    return versions


def _egg_version(path: Path) -> str:
    """Return the version that an old-style installation states in its PKG-INFO."""
    info = path / "PKG-INFO" if path.is_dir() else path
    if not info.exists():
        return ""
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("Version:")), ""
    )


def _make_index() -> dict[str, list[str]]:
    owners: dict[str, set[str]] = {}
    for folder in site_folders():
        for entry in _metadata(folder):
            name = canonical(entry.rpartition(".")[0].partition("-")[0])
            for module in _importable(folder / entry):
                owners.setdefault(module, set()).add(name)
    shared = {top for top, names in owners.items() if "." not in top and len(names) > 1}
    return {
        module: sorted(names)
        for module, names in owners.items()
        if "." not in module or module.partition(".")[0] in shared
    }


def _importable(metadata: Path) -> set[str]:
    """Return the names of one and two words that a distribution's files make importable."""
    record = metadata / "RECORD"
    if not record.exists():
        names = metadata / "top_level.txt"
        return set(names.read_text(encoding="utf-8").split()) if names.exists() else set()
    modules: set[str] = set()
    for line in record.read_text(encoding="utf-8").splitlines():
        parts = line.partition(",")[0].strip('"').split("/")
        words = [*parts[:-1], parts[-1].partition(".")[0]]
        if parts[-1].endswith((".py", ".so", ".pyd")) and all(map(str.isidentifier, words[:2])):
            modules.update((words[0], ".".join(word for word in words[:2] if word != "__init__")))
    return modules
