"""Which modules a piece of code reaches, followed through imports without running any of it.

Followed are trtproof's own modules and the user's: what lies in a `pythonpath` folder, beside the
stages, below the project, or anywhere that no distribution installed it (an editable install).
Everything else third-party counts by its version. An import inside a function is followed; one for
type checkers only is not, for it never runs. What is named by a computed string cannot be seen; a
stage that opens such a file is stopped by `stage.guard_opens`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import trtproof
from trtproof import artifacts, distributions, source_trees
from trtproof.file_cache import FileCache
from trtproof.source_trees import SourceTree, read_tree

PACKAGE = Path(trtproof.__file__).parent
OWN = "trtproof"

KEY_MODULES = frozenset(
    f"{OWN}.{name}"
    for name in (
        "distributions",
        "durations",
        "file_cache",
        "input_files",
        "input_sources",
        "inputs",
        "source_keys",
        "source_trees",
    )
)
"""What makes the keys (and notes durations). It decides no byte of a result except through the key,
so an edit of it changes a key only where the key that it makes is another one."""


@dataclass(frozen=True)
class Module:
    """One followed file: `name` is dotted, or a script's path in the project."""

    name: str
    path: Path
    is_package: bool = False

    @property
    def folder_name(self) -> str:
        """Return the dotted name that `from . import x` starts from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Closure:
    """What a start reaches: followed modules, third-party imports, distributions named outright."""

    modules: tuple[Module, ...]
    digests: tuple[str, ...]
    imports: frozenset[str]
    named: frozenset[str]

    @property
    def code(self) -> str:
        """Return the 16 hex digits of all syntax trees by module name, wherever they lie."""
        lines = sorted(
            f"{module.name} {digest}"
            for module, digest in zip(self.modules, self.digests, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class SourceTrees:
    """The project's and trtproof's source as a graph of imports."""

    def __init__(
        self, project: Path, pythonpath: Sequence[str] = (), *, package: Path = PACKAGE
    ) -> None:
        self._project = project
        self._package = package
        self._roots = [project / folder for folder in pythonpath]
        self._cache = FileCache(project, "sources", _reader_version())
        self._trees: dict[Path, SourceTree] = {}
        self._located: dict[str, Module | None] = {}
        self._reached: dict[Module, tuple[list[Module], list[str]]] = {}
        self._index = distributions.import_index(project)

    def closure(self, *starts: Module, imports: Sequence[str] = ()) -> Closure:
        """Return everything that the starts reach, with `imports` as further third-party use.

        Raises:
            InputError: a reached file is not Python; names file and line.
        """
        found: dict[Module, None] = {}
        third_party = set(imports)
        rest = [member for start in starts for member in self._with_parents(start)]
        while rest:
            module = rest.pop()
            if module in found or module.name in KEY_MODULES:
                continue
            found[module] = None
            reached, others = self._edges(module)
            rest += reached
            third_party.update(others)
        modules = tuple(sorted(found, key=lambda module: module.name))
        return Closure(
            modules=modules,
            digests=tuple(self._tree(module.path).digest for module in modules),
            imports=frozenset(third_party),
            named=frozenset(
                name for module in modules for name in self._tree(module.path).implicit_tools
            ),
        )

    def tools(self, closure: Closure) -> dict[str, str]:
        """Return distribution -> public version of everything third-party that a closure uses."""
        return distributions.tool_versions(closure.imports, closure.named, self._index)

    def script(self, path: Path) -> Module:
        """Return a script of the project (stages/export.py) as a start."""
        return Module(name=path.relative_to(self._project).as_posix(), path=path)

    def locate(self, name: str) -> Module | None:
        """Return trtproof's or the user's module of this dotted name; None for any other."""
        if name not in self._located:
            self._located[name] = self._find(name)
        return self._located[name]

    def is_installed(self, name: str) -> bool:
        """Say whether a module is a distribution's, and so counts by its version."""
        return self.locate(name) is None and bool(distributions.distributions_of(name, self._index))

    def table(self, name: str) -> dict[str, str]:
        """Return a module's `Registry(...)` table: name -> "package.module:attribute"."""
        module = self.locate(name)
        return self._tree(module.path).table if module else {}

    def save(self) -> None:
        """Keep what was read for the next probe."""
        self._cache.save()

    def _tree(self, path: Path) -> SourceTree:
        if path not in self._trees:
            if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
                self._trees[path] = SourceTree(digest=artifacts.sha256_file(path)[:16])
            else:
                data = self._cache.value(path, lambda file: read_tree(file).to_json())
                self._trees[path] = SourceTree(**data)
        return self._trees[path]

    def _edges(self, module: Module) -> tuple[list[Module], list[str]]:
        """Return the modules that importing this one runs, and the third-party names it imports."""
        if module not in self._reached:
            own: list[Module] = []
            other: list[str] = []
            for name in self._named(module):
                located = self._nearest(name)
                if located:
                    own += self._with_parents(located)
                elif name.partition(".")[0] not in sys.stdlib_module_names:
                    other.append(name)
            own += [
                found for found in self._mentioned(module) for found in self._with_parents(found)
            ]
            self._reached[module] = (own, other)
        return self._reached[module]

    def _named(self, module: Module) -> Iterator[str]:
        """Yield the names that a module imports, absolute: of `from a import b` "a" and "a.b"."""
        for target, level, names in self._tree(module.path).imports:
            base = module.folder_name
            for _ in range(level - 1):
                base = base.rpartition(".")[0]
            source = ".".join(part for part in (base if level else "", target) if part)
            if source:
                yield source
            for name in self._exported(source) if "*" in names else names:
                yield f"{source}.{name}" if source else name

    def _exported(self, package: str) -> list[str]:
        located = self.locate(package)
        return self._tree(located.path).exported if located else []

    def _nearest(self, name: str) -> Module | None:
        """Return the module, or the one that the last words are attributes of."""
        while name:
            located = self.locate(name)
            if located:
                return located
            name = name.rpartition(".")[0]
        return None

    def _mentioned(self, module: Module) -> Iterator[Module]:
        """Yield modules that a string names: of the same package, or "package.module:attribute"."""
        top = module.name.partition(".")[0]
        for text in self._tree(module.path).mentions:
            name, separator, _ = text.partition(":")
            if separator or name.startswith(f"{top}."):
                located = self.locate(name)
                if located:
                    yield located

    def _with_parents(self, module: Module) -> list[Module]:
        """Return the module and the packages around it, whose `__init__` runs first."""
        words = [] if "/" in module.name else module.name.split(".")
        parents = (self.locate(".".join(words[:length])) for length in range(1, len(words)))
        return [*(parent for parent in parents if parent), module]

    def _find(self, name: str) -> Module | None:
        top = name.partition(".")[0]
        if top == OWN:
            return _below(self._package.parent, name, top_folder=self._package)
        if not top.isidentifier() or top in sys.stdlib_module_names:
            return None
        beside = _below(self._project / "stages", name)
        if beside or distributions.distributions_of(name, self._index):
            return beside
        for folder in self._roots:
            found = _below(folder, name)
            if found:
                return found
        return self._find_editable(name) or _below(self._project, name)

    def _find_editable(self, name: str) -> Module | None:
        """Return a module that is importable from outside every folder of installed packages."""
        try:
            spec = importlib.util.find_spec(name.partition(".")[0])
        except (ImportError, ValueError):
            return None
        places = [spec.origin] if spec and spec.origin else []
        places += list(spec.submodule_search_locations or []) if spec else []
        installed = ("site-packages", "dist-packages")
        if spec is None or not places or any(part in Path(places[0]).parts for part in installed):
            return None
        for folder in map(Path, spec.submodule_search_locations or [str(Path(places[0]).parent)]):
            base = folder.parent if spec.submodule_search_locations else folder
            found = _below(
                base, name, top_folder=folder if spec.submodule_search_locations else None
            )
            if found:
                return found
        return None


def _reader_version() -> str:
    """Return what a cached reading of a file depends on besides the file: our reader and Python."""
    reader = artifacts.sha256_file(Path(source_trees.__file__))[:16]
    return f"{reader} {sys.version_info.major}.{sys.version_info.minor}"


def _below(folder: Path, name: str, *, top_folder: Path | None = None) -> Module | None:
    """Return the file of a dotted name whose first word lies in `folder`, or is `top_folder`."""
    words = name.split(".")
    place = folder.joinpath(*words[:-1])
    if top_folder is not None:
        place = top_folder.joinpath(*words[1:-1]) if len(words) > 1 else top_folder.parent
    last = place / words[-1] if len(words) > 1 or top_folder is None else top_folder
    if (last / "__init__.py").is_file():
        return Module(name=name, path=last / "__init__.py", is_package=True)
    for suffix in (".py", *EXTENSION_SUFFIXES):
        path = last.with_name(last.name + suffix)
        if path.is_file():
            return Module(name=name, path=path)
    return None
