"""Names of implementations, and import paths, turned into objects.

The tables that map a name to "package.module:attribute" are data, not code: adding an entry
changes no other entry. Therefore trtproof.inputs leaves assignments of a `Registry(...)` out of
the code hashes and follows the one entry in use.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from trtproof.errors import ImportPathError, UnknownNameError
from trtproof.own_code import calling

T = TypeVar("T")


class Registry(Generic[T]):
    """Map names to lazily imported objects of one kind."""

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self.entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def path(self, name: str) -> str:
        """Return the import path of an entry.

        Raises:
            UnknownNameError: no such entry.
        """
        try:
            return self.entries[name]
        except KeyError:
            raise UnknownNameError(kind=self.kind, name=name, known=self.entries) from None

    def load(self, name: str) -> T:
        """Return the entry's object, importing its module now.

        Raises:
            UnknownNameError: no such entry.
        """
        loaded: T = load_object(self.path(name))
        return loaded


def load_object(path: str) -> Any:
    """Return the object at "package.module:attribute".

    Raises:
        ImportPathError: malformed, no such module or attribute, or it imports a module that is
            not there.
        AdapterError: a module of the user's own fails while it is imported.
    """
    module_name, separator, attribute = path.partition(":")
    if not separator or not module_name or not attribute:
        raise ImportPathError(path=path, problem="it has no ':' between module and attribute")
    own = module_name.partition(".")[0] == __name__.partition(".")[0]  # keeps its traceback
    with nullcontext() if own else calling(path, doing="to be imported"):
        module = _import_module(module_name, path)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ImportPathError(
            path=path, problem=f"module {module_name!r} has no {attribute!r}"
        ) from None


def _import_module(name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ImportPathError(path=path, problem=f"there is no module {error.name!r}") from None
        raise ImportPathError(
            path=path, problem=f"it imports {error.name!r}, which is not installed here"
        ) from error


def extend_path(folders: Sequence[str]) -> None:
    """Let the user's own packages be imported from these folders, after all that is installed."""
    for folder in folders:
        place = str(Path(folder).absolute())
        if place not in sys.path:
            sys.path.append(place)
