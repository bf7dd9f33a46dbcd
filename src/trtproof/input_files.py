"""The files that the user's settings name: found, required to exist, and hashed by content."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trtproof import artifacts
from trtproof.config import ModelConfig
from trtproof.errors import InputError, MissingFileError
from trtproof.file_cache import FileCache


class InputFiles:
    """Files below (or named from) the project, with their hashes remembered between probes."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._hashes = FileCache(project, "files")
        self._external = FileCache(project, "onnx")

    def model_files(self, config: ModelConfig) -> list[Path]:
        """Return the weights and `model.files`.

        Weights are a file, all files below a folder, or an ONNX file with its external data.

        Raises:
            MissingFileError: a file is not there, a folder is empty, or a pattern matches none.
            InputError: the ONNX file cannot be read.
        """
        found = self.matches(config.files, setting="model.files")
        if config.weights is not None:
            weights = self._project / config.weights
            files = [file for file in _files_below(weights) if file.is_file()]
            if not files:
                raise MissingFileError(config.weights, repair=_repair("model.weights"))
            found += files
            if weights.suffix == ".onnx" and weights.is_file():
                found += self.external_data(weights)
        return found

    def external_data(self, model: Path) -> list[Path]:
        """Return the files beside an ONNX model that hold its large tensors.

        Raises:
            MissingFileError: one of them is not there.
            InputError: the file is not an ONNX model.
        """
        names: list[str] = self._external.value(model, _external_names)
        found = [model.parent / name for name in names]
        for path in found:
            if not path.is_file():
                raise MissingFileError(
                    path, repair=f"put it beside {model.name}, which keeps its large tensors there"
                )
        return found

    def matches(self, patterns: Sequence[str], *, setting: str) -> list[Path]:
        """Return the files that the patterns match; a matched folder stands for all files below it.

        Raises:
            MissingFileError: a pattern matches no file.
        """
        found: list[Path] = []
        for pattern in patterns:
            # Path.glob takes no absolute patterns
            hits = glob.glob(pattern, root_dir=self._project, recursive=True)  # noqa: PTH207
            files = [file for hit in hits for file in _files_below(self._project / hit)]
            if not files:
                raise MissingFileError(pattern, repair=_repair(setting))
            found += files
        return found

    def existing(self, paths: Iterable[Path], *, setting: str) -> list[Path]:
        """Return the paths from the project, all of which are there.

        Raises:
            MissingFileError: one is not.
        """
        found = []
        for path in paths:
            if not (self._project / path).is_file():
                raise MissingFileError(path, repair=_repair(setting))
            found.append(self._project / path)
        return found

    def digest(self, paths: Iterable[Path]) -> str:
        """Return 16 hex digits of the files' names and bytes, wherever the project lies."""
        lines = [
            f"{name} {self._hashes.value(path, artifacts.sha256_file)}"
            for name, path in sorted(_names(self._project, set(paths)).items())
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def sha256(self, path: Path) -> str:
        """Return the SHA-256 of one file."""
        return str(self._hashes.value(path, artifacts.sha256_file))

    def save(self) -> None:
        """Keep the hashes for the next probe."""
        self._hashes.save()
        self._external.save()


def _repair(setting: str) -> str:
    return f"correct {setting} in conf/ and run `trtproof compose`, or put the file there"


def _files_below(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path]


def _names(project: Path, paths: set[Path]) -> dict[str, Path]:
    """Return a name per file: its path in the project, or among the files outside it."""
    base = project.absolute()
    absolute = {Path(os.path.normpath(path.absolute())): path for path in paths}
    outside = [place for place in absolute if not place.is_relative_to(base)]
    common = os.path.commonpath([place.parent for place in outside]) if outside else base
    names: dict[str, Path] = {}
    for place, path in absolute.items():
        if place.is_relative_to(base):
            names[place.relative_to(base).as_posix()] = path
        else:
            names[f"outside/{place.relative_to(common).as_posix()}"] = path
    return names


def _external_names(model: Path) -> list[str]:
    """Return the names of external data files in an ONNX model."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        proto = onnx.load(model, load_external_data=False)
    except DecodeError:
        raise InputError(f"{model} is not an ONNX model; correct model.weights in conf/") from None
    names: set[str] = set()
    graphs: list[Any] = [proto.graph]
    while graphs:
        graph = graphs.pop()
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        tensors = [*graph.initializer, *(attribute.t for attribute in attributes)]
        names |= {
            entry.value
            for tensor in tensors
            for entry in tensor.external_data
            if entry.key == "location"
        }
        graphs += [attribute.g for attribute in attributes if attribute.HasField("g")]
        graphs += [graph for attribute in attributes for graph in attribute.graphs]
    return sorted(names)
