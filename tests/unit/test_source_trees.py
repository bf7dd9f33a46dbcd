import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.errors import InputError
from trtproof.source_trees import dump, read_tree

SOURCE = '''"""A module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from somewhere import Hint

LIMIT: Final = 3


class Net:
    """A network."""

    depth: int = 2
    """How deep."""

    def forward(self, x: Hint) -> float:
        """Run it."""
        # a step
        return np.sum(x) + LIMIT
'''


def digest(tmp_path: Path, text: str) -> str:
    path = tmp_path / "module.py"
    path.write_text(text, encoding="utf-8")
    return read_tree(path).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        # a step\n", ""),
        ("        # a step\n", "        # another step\n\n\n"),
        ('"""A module."""', '"""Another module.\n\nLonger.\n"""'),
        ('    """How deep."""\n', ""),
        ('        """Run it."""\n', ""),
        ("np.sum(x) + LIMIT", "(np.sum(x)\n            + LIMIT)"),
        ("    from somewhere import Hint", "    from elsewhere import Hint, Other"),
        ("LIMIT: Final = 3", "LIMIT: Final = 0x3"),
    ],
)
def test_an_edit_without_effect_keeps_the_hash(tmp_path, old, new):
    assert old in SOURCE
    assert digest(tmp_path, SOURCE.replace(old, new)) == digest(tmp_path, SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT: Final = 3", "LIMIT: Final = 4"),
        ("LIMIT: Final = 3", "LIMIT: Final = 3.0"),
        ("LIMIT: Final = 3", "LIMIT: Final = None"),
        ("np.sum(x) + LIMIT", "np.sum(x) - LIMIT"),
        ("np.sum(x) + LIMIT", "np.mean(x) + LIMIT"),
        ("depth: int = 2", "depth: int"),
        ("import numpy as np", "import torch as np"),
        ("class Net:", "class Net(object):"),
        ("x: Hint) -> float", "x: Hint = 1) -> float"),
    ],
)
def test_an_edit_with_effect_changes_the_hash(tmp_path, old, new):
    assert old in SOURCE
    assert digest(tmp_path, SOURCE.replace(old, new)) != digest(tmp_path, SOURCE)


def test_an_entry_more_in_a_registry_keeps_the_hash(tmp_path):
    text = 'NAMES: Registry[int] = Registry(\n    "name",\n    {"a": "p.a:A"},\n)\nLIMIT = 1\n'
    more = text.replace('"p.a:A"}', '"p.a:A", "b": "p.b:B"}')
    assert digest(tmp_path, text) == digest(tmp_path, more)
    assert read_tree(tmp_path / "module.py").table == {"a": "p.a:A", "b": "p.b:B"}


def test_a_registry_that_is_computed_is_code(tmp_path):
    text = 'NAMES = Registry("name", {name: f"p.{name}:X" for name in ("a", "b")})\n'
    assert digest(tmp_path, text) != digest(tmp_path, text.replace('"b"', '"c"'))


def test_the_version_of_a_package_is_in_no_hash(tmp_path):
    assert digest(tmp_path, '__version__ = "1"\n') == digest(tmp_path, '__version__ = "2"\n')


def test_what_a_module_uses_without_importing_it_is_read(tmp_path):
    digest(
        tmp_path, 'from typing import Final\n\nIMPLICIT_TOOLS: Final = ("onnxscript", "onnx-ir")\n'
    )
    assert read_tree(tmp_path / "module.py").implicit_tools == ["onnxscript", "onnx-ir"]


def test_an_import_for_type_checkers_is_not_an_import_but_its_else_is(tmp_path):
    digest(
        tmp_path,
        "import typing\nif typing.TYPE_CHECKING:\n    import a\nelse:\n    import b\n",
    )
    assert [name for name, _, _ in read_tree(tmp_path / "module.py").imports] == ["typing", "b"]


def test_a_syntax_error_names_the_file_and_the_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ndef f(:\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"broken\.py:2: not Python"):
        read_tree(path)


def test_a_file_with_null_bytes_is_refused(tmp_path):
    path = tmp_path / "broken.py"
    path.write_bytes(b"x = 1\0")
    with pytest.raises(InputError, match=r"broken\.py.*not Python"):
        read_tree(path)


def test_a_very_long_expression_does_not_exhaust_the_stack():
    deep: ast.expr = ast.Constant(0)
    for _ in range(20_000):
        deep = ast.UnaryOp(op=ast.USub(), operand=deep)
    assert "".join(dump(deep)).count("USub") == 20_000


expressions = st.recursive(
    st.sampled_from(["a", "b", "1", "1.0", "'x'", "None", "True", "b'x'"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "and", "if a else"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
        st.lists(inner, max_size=3).map(lambda parts: f"f({', '.join(parts)})"),
    ),
    max_leaves=8,
)


@given(expressions, expressions)
def test_two_expressions_have_one_dump_exactly_when_they_are_one_tree(first, second):
    trees = [ast.parse(text, mode="eval") for text in (first, second)]
    equal = ast.dump(trees[0]) == ast.dump(trees[1])
    assert ("".join(dump(trees[0])) == "".join(dump(trees[1]))) is equal
