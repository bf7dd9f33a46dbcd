"""Where the entries of inputs.json come from: source trees, names and files of one project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from trtproof.config import DatasetConfig, ModelConfig
from trtproof.errors import MissingFileError, UnknownNameError
from trtproof.input_files import InputFiles
from trtproof.registry import extend_path, load_object
from trtproof.source_keys import PACKAGE, Closure, Module, SourceTrees

Entry = dict[str, Any]
Split = Literal["calibration", "evaluation"]
SPLITS: Final[tuple[Split, ...]] = ("calibration", "evaluation")

REGISTRIES: Final = {
    "model source": "trtproof.models",
    "dataset format": "trtproof.data",
    "precision pass": "trtproof.precision",
    "quantizer": "trtproof.precision.quantizers",
    "backend": "trtproof.backends",
    "scorer": "trtproof.scoring",
}
"""Kind of name -> the module whose `Registry(...)` table has it. Read from the source, so that the
probe imports no backend."""

SETTINGS: Final = {
    "model source": "model.source",
    "dataset format": "dataset.format",
    "precision pass": "recipes.*.pass",
    "quantizer": "recipes.*.options.quantizer",
    "backend": "variants.*.backend",
    "scorer": "evaluate.scorers",
}
"""Kind of name -> the setting that states it."""


@dataclass
class InputSources:
    """Where entries come from: the source trees and the files of one project."""

    project: Path
    pythonpath: Sequence[str]
    package: Path = PACKAGE
    """Where trtproof's own modules lie."""

    def __post_init__(self) -> None:
        self.trees = SourceTrees(self.project, self.pythonpath, package=self.package)
        self.files = InputFiles(self.project)

    def save(self) -> None:
        """Keep what was read for the next probe."""
        self.trees.save()
        self.files.save()

    def entry(self, closure: Closure) -> Entry:
        """Return the part of an entry that states code."""
        found: Entry = {"code": closure.code}
        tools = self.trees.tools(closure)
        return found | ({"tools": tools} if tools else {})

    def registered(self, kind: str, name: str) -> Module:
        """Return the module of a registered name, or of an import path.

        Raises:
            UnknownNameError: no such entry.
            MissingFileError: its module is not there.
        """
        return self.module(self.registered_path(kind, name), setting=SETTINGS[kind])

    def registered_path(self, kind: str, name: str) -> str:
        """Return "package.module:attribute" of a registered name; an import path is one already.

        Raises:
            UnknownNameError: no such entry.
        """
        if ":" in name:
            return name
        table = self.trees.table(REGISTRIES[kind])
        if name not in table:
            raise UnknownNameError(kind=kind, name=name, known=table)
        return table[name]

    def module(self, path: str, *, setting: str) -> Module:
        """Return the module of "package.module:attribute".

        Raises:
            MissingFileError: nothing followed has this name.
        """
        name = path.partition(":")[0]
        module = self.trees.locate(name)
        if module is None:
            raise MissingFileError(
                f"module {name}", repair=f"correct {setting}, or list its folder in `pythonpath`"
            )
        return module

    def stage(self, name: str, *others: Module) -> Closure:
        """Return what a stage's script reaches, with the registered modules in use.

        Raises:
            MissingFileError: the script is not there.
        """
        script = self.project / "stages" / f"{name}.py"
        if not script.is_file():
            raise MissingFileError(script, repair="restore it: `git checkout -- stages`")
        return self.trees.closure(self.trees.script(script), *others)

    def model_closure(self, config: ModelConfig) -> Closure:
        """Return what making the model runs: the source's module and the user's factory."""
        start = self.registered("model source", config.source)
        inputs = config.inputs if isinstance(config.inputs, str) else None
        return self._with_own(start, {"model.factory": config.factory, "model.inputs": inputs})

    def inputs_closure(self, path: str) -> Closure:
        """Return what the function that states the model's inputs reaches."""
        return self._with_own(None, {"model.inputs": path})

    def format_closure(self, config: DatasetConfig) -> Closure:
        """Return what opening the dataset runs: the format's module and the user's functions."""
        start = self.registered("dataset format", config.format)
        inputs = config.options.get("inputs")
        own = {
            "dataset.factory": config.factory,
            "dataset.collate": config.collate,
            "dataset.options.inputs": inputs if isinstance(inputs, str) else None,
        }
        return self._with_own(start, own)

    def _with_own(self, start: Module | None, own: Mapping[str, str | None]) -> Closure:
        """Return what a module and functions of the user's reach; `own` is by setting."""
        starts = [start] if start else []
        installed: list[str] = []
        for setting, path in own.items():
            name = (path or "").partition(":")[0]
            if path is not None and self.trees.is_installed(name):
                installed.append(name)
            elif path is not None:
                starts.append(self.module(path, setting=setting))
        return self.trees.closure(*starts, imports=installed)

    def split_files(self, config: DatasetConfig, split: Split) -> list[Path]:
        """Return the files that the format says decide a split.

        Raises:
            MissingFileError: one is not there.
        """
        extend_path([str(self.project / folder) for folder in self.pythonpath])
        opener = load_object(self.registered_path("dataset format", config.format))
        return self.files.existing(opener.files(config, split), setting=f"dataset.{split}")
