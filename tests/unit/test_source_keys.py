from pathlib import Path

import grimp
import pytest

from trtproof.source_keys import KEY_MODULES, PACKAGE, SourceTrees

OWN_MODULES = sorted(
    ".".join(("trtproof", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for path in PACKAGE.rglob("*.py")
)


def write(root: Path, **files: str) -> None:
    """Write modules by name, `__` for a slash: code__net__blocks -> code/net/blocks.py."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def reached(root: Path, start: str, *pythonpath: str) -> set[str]:
    trees = SourceTrees(root, pythonpath or ("code",))
    module = trees.locate(start)
    assert module is not None
    return {found.name for found in trees.closure(module).modules}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import net.blocks", {"net", "net.blocks"}),
        ("import net.blocks as b", {"net", "net.blocks"}),
        ("from net import blocks", {"net", "net.blocks"}),
        ("from net import DEPTH", {"net"}),
        ("from net.blocks import Block", {"net", "net.blocks"}),
        ("from net import *", {"net", "net.head"}),
        ("def make():\n    from net import blocks", {"net", "net.blocks"}),
        ("try:\n    import net.blocks\nexcept ImportError:\n    pass", {"net", "net.blocks"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import net", set()),
        ("import importlib\nimportlib.import_module('model.extra')", set()),
        ("PATH = 'net.blocks:Block'", {"net", "net.blocks"}),
        ("NAME = 'net.blocks'", set()),
        ("import missing, numpy, json", set()),
    ],
)
def test_an_import_is_followed(tmp_path, text, expected):
    write(
        tmp_path,
        code__model=text,
        code__net____init__="",
        code__net__blocks="class Block: ...",
        code__net__head="",
    )
    init = tmp_path / "code" / "net" / "__init__.py"
    init.write_text("__all__ = ['head']\nDEPTH = 1\n", encoding="utf-8")
    assert reached(tmp_path, "model") == {"model", *expected}


def test_relative_imports_are_followed_from_packages_and_modules(tmp_path):
    write(
        tmp_path,
        code__net__a__one="from . import two\nfrom ..b import three\nfrom .. import depth",
        code__net__a__two="",
        code__net__b__three="",
        code__net__depth="",
    )
    for folder in ("net", "net/a", "net/b"):
        (tmp_path / "code" / folder / "__init__.py").write_text("", encoding="utf-8")
    expected = {"net", "net.a", "net.a.one", "net.a.two", "net.b", "net.b.three", "net.depth"}
    assert reached(tmp_path, "net.a.one") == expected


def test_a_package_without_init_is_followed(tmp_path):
    write(tmp_path, code__model="from space.inner import part", code__space__inner__part="")
    assert reached(tmp_path, "model") == {"model", "space.inner.part"}


def test_a_circle_of_imports_ends(tmp_path):
    write(tmp_path, code__a="import b", code__b="import a")
    assert reached(tmp_path, "a") == {"a", "b"}


def test_an_editable_install_is_followed(tmp_path, monkeypatch):
    write(
        tmp_path,
        elsewhere__mine____init__="",
        elsewhere__mine__net="",
        project__model="import mine.net",
    )
    (tmp_path / "elsewhere" / "mine" / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    assert reached(tmp_path / "project", "model", ".") == {"model", "mine", "mine.net"}


def test_what_a_distribution_installed_counts_by_its_version(tmp_path):
    write(tmp_path, code__model="import numpy.linalg\nimport json")
    trees = SourceTrees(tmp_path, ("code",))
    start = trees.locate("model")
    assert start is not None
    assert list(trees.tools(trees.closure(start))) == ["numpy"]
    assert trees.is_installed("numpy")
    assert not trees.is_installed("model")


def test_the_code_hash_does_not_depend_on_where_the_project_lies(tmp_path):
    codes = set()
    for name in ("one", "two"):
        write(tmp_path / name, code__model="import net", code__net="x = 1")
        trees = SourceTrees(tmp_path / name, ("code",))
        start = trees.locate("model")
        assert start is not None
        codes.add(trees.closure(start).code)
    assert len(codes) == 1


def test_a_module_that_only_moves_changes_the_code_hash(tmp_path):
    codes = []
    for name in ("net", "web"):
        root = tmp_path / name
        write(root, code__model="x = 1", **{f"code__{name}": "y = 1"})
        trees = SourceTrees(root, ("code",))
        starts = [trees.locate("model"), trees.locate(name)]
        codes.append(trees.closure(*(start for start in starts if start)).code)
    assert codes[0] != codes[1]


@pytest.fixture(scope="module")
def import_graph() -> grimp.ImportGraph:
    """What import-linter's own library finds: another program that follows the same imports."""
    graph = grimp.build_graph("trtproof", exclude_type_checking_imports=True, cache_dir=None)
    for name in KEY_MODULES:
        graph.remove_module(name)
    return graph


@pytest.fixture(scope="module")
def own_trees(tmp_path_factory) -> SourceTrees:
    return SourceTrees(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("name", [name for name in OWN_MODULES if name not in KEY_MODULES])
def test_the_closure_is_what_an_independent_import_graph_finds(name, import_graph, own_trees):
    start = own_trees.locate(name)
    assert start is not None
    found = {module.name for module in own_trees.closure(start).modules}
    expected = {name} | import_graph.find_upstream_modules(name)
    size = 0
    while size != len(expected):  # importing a.b runs a first, and all that a imports
        size = len(expected)
        parents = {known.rpartition(".")[0] for known in expected} - {""}
        expected |= parents.union(*map(import_graph.find_upstream_modules, parents))
    mentioned = {
        module.name for known in found for module in own_trees._mentioned(located(own_trees, known))
    }
    assert expected <= found
    assert found == expected or mentioned


def located(trees: SourceTrees, name: str):
    module = trees.locate(name)
    assert module is not None
    return module
