"""One Python file as its key sees it: a hash of what it does, and what it imports.

Comments, docstrings, line numbers and blocks for type checkers do nothing, so they are not hashed.
Nor are tables of a `Registry(...)`: an entry more changes no other entry, and the entry in use is
followed.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trtproof.errors import InputError

SKIPPED_FIELDS = frozenset({"ctx", "kind", "type_comment"})
BLOCK_FIELDS = ("body", "orelse", "finalbody")
MENTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(:[A-Za-z_]\w*)?|[A-Za-z_]\w*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class SourceTree:
    """What one file contributes to a key.

    `imports` holds [module, level, names]: `import a.b` is ["a.b", 0, []], `from .c import d` is
    ["c", 1, ["d"]]. `mentions` holds strings that look like modules ("package.module",
    "package.module:attribute"): workers and registered objects are named that way. `exported` is a
    literal `__all__`, for `import *`. `implicit_tools` names distributions that the file uses
    without importing them. `table` is the file's `Registry(...)`.
    """

    digest: str
    imports: list[tuple[str, int, list[str]]] = field(default_factory=list)
    mentions: list[str] = field(default_factory=list)
    exported: list[str] = field(default_factory=list)
    implicit_tools: list[str] = field(default_factory=list)
    table: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a cache."""
        return asdict(self)


def read_tree(path: Path) -> SourceTree:
    """Return what the file contributes.

    Raises:
        InputError: it is not Python; names the file and the line.
    """
    tree = parse(path)
    table = _registry_table(tree)
    strip(tree)
    nodes = list(ast.walk(tree))
    return SourceTree(
        digest=hashlib.sha256("".join(dump(tree)).encode()).hexdigest()[:16],
        imports=list(_imports(nodes)),
        mentions=sorted({text for text in _strings(nodes) if MENTION.fullmatch(text)}),
        exported=_literal_names(tree, "__all__"),
        implicit_tools=_literal_names(tree, "IMPLICIT_TOOLS"),
        table=table,
    )


def parse(path: Path) -> ast.Module:
    """Return the file's syntax tree.

    Raises:
        InputError: it is not Python; names the file and the line.
    """
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        place = f"{path}:{error.lineno}" if error.lineno else str(path)
        raise InputError(f"{place}: not Python ({error.msg}); correct it") from None
    except ValueError as error:
        raise InputError(f"{path}: not Python ({error}); correct it") from None


def strip(tree: ast.Module) -> None:
    """Remove, in place, every statement that does nothing when the file runs as part of a stage."""
    for node in ast.walk(tree):
        for name in BLOCK_FIELDS:
            block = getattr(node, name, None)
            if isinstance(block, list) and block:
                kept = [statement for item in block for statement in _effective(item)]
                setattr(node, name, kept or ([ast.Pass()] if name == "body" else []))


def dump(tree: ast.AST) -> Iterator[str]:
    """Yield the text of a tree, equal for equal behaviour and on every version of Python.

    Unlike `ast.dump` it leaves out empty fields (Python 3.13 does, 3.11 does not) and cannot
    exhaust the stack.
    """
    rest: list[Any] = [tree]
    while rest:
        item = rest.pop()
        if isinstance(item, ast.AST):
            yield f"{type(item).__name__}("
            rest.append(_Text(")"))
            for name in reversed(item._fields):
                value = getattr(item, name, None)
                empty = value is None or value == []
                if name not in SKIPPED_FIELDS and not (
                    empty and not isinstance(item, ast.Constant)
                ):
                    rest += [value, _Text(f"{name}=")]
        elif isinstance(item, list):
            yield "["
            rest += [
                _Text("]"),
                *(part for value in reversed(item) for part in (_Text(","), value)),
            ]
        else:
            yield item.text if isinstance(item, _Text) else repr(item)


@dataclass(frozen=True)
class _Text:
    """Text to be written as it is, among values to be written as their repr."""

    text: str


def _effective(statement: ast.stmt) -> list[ast.stmt]:
    """Return what of a statement runs: itself, nothing, or a type checking block's `else`."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return []  # a docstring, or `...`
    if isinstance(statement, ast.If) and _name(statement.test) == "TYPE_CHECKING":
        return [part for item in statement.orelse for part in _effective(item)]
    target = _assigned_name(statement)
    if target is not None and (_registry_call(statement) or target == "__version__"):
        return []
    return [statement]


def _name(node: ast.AST) -> str | None:
    """Return the last word of `x` or `module.x`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _assigned_name(statement: ast.stmt) -> str | None:
    """Return x of `x = ...` or `x: T = ...`."""
    if isinstance(statement, ast.AnnAssign):
        return _name(statement.target)
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return _name(statement.targets[0])
    return None


def _registry_call(statement: ast.stmt) -> ast.Dict | None:
    """Return the literal table of `X = Registry("kind", {...})`; what is computed stays code."""
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Call) or _name(value.func) != "Registry":
        return None
    table = value.args[-1] if value.args else None
    if isinstance(table, ast.Dict) and all(
        isinstance(part, ast.Constant) for part in (*table.keys, *table.values)
    ):
        return table
    return None


def _registry_table(tree: ast.Module) -> dict[str, str]:
    entries: dict[str, str] = {}
    for statement in tree.body:
        table = _registry_call(statement)
        if table is not None:
            entries.update(ast.literal_eval(table))
    return entries


def _imports(nodes: list[ast.AST]) -> Iterator[tuple[str, int, list[str]]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, 0, []
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level, [alias.name for alias in node.names]


def _strings(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _literal_names(tree: ast.Module, variable: str) -> list[str]:
    """Return the strings of a module-level `variable = ("a", "b")`; [] for anything else."""
    for statement in tree.body:
        if _assigned_name(statement) == variable:
            value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
            if isinstance(value, ast.List | ast.Tuple):
                return list(_strings(list(ast.walk(value))))
    return []
