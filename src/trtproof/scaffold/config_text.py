"""conf/config.yaml of a new project: the shipped text, comments and all, with other choices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from trtproof.errors import InputError
from trtproof.scaffold.described import Described

TORCH: Final = "torch-"
ONNX_REFERENCE: Final = "onnxruntime-fp32"
FIXED_BATCH: Final = """
benchmark: # the model takes this batch only
  batches: [{batch}]
  throughput: {{ batches: [{batch}] }}
"""


def make_config(
    shipped: str, model: Described, *, is_onnx: bool, pythonpath: list[str], scorer: str
) -> str:
    """Return the shipped conf/config.yaml with a project's own choices.

    Raises:
        InputError: the shipped text lacks a line that is to be another.
    """
    choices = {
        "defaults/- dataset": model.name,
        "defaults/- model": model.name,
        "pythonpath": f"[{', '.join(pythonpath)}]",
        "evaluate/scorers": f"[{scorer}]",
    }
    if is_onnx:
        variants = [name for name in variant_names(shipped) if not name.startswith(TORCH)]
        choices |= {"defaults/- variant": f"[{', '.join(variants)}]", "reference": ONNX_REFERENCE}
    batch = model.fixed_batch
    if batch is not None:
        choices |= {
            f"{section}/batch": str(batch) for section in ("calibrate", "sensitivity", "evaluate")
        }
    text = choose(shipped, choices)
    return text if batch is None else text + FIXED_BATCH.format(batch=batch)


def choose(text: str, choices: Mapping[str, str]) -> str:
    """Return a YAML text with some values replaced: "key" at the top, "section/key" below one.

    The comments of the lines stay.

    Raises:
        InputError: a line is not there.
    """
    for key, value in choices.items():
        found = _find(text, key)
        text = f"{text[: found.start('value')]}{value}{text[found.end('value') :]}"
    return text


def variant_names(text: str) -> list[str]:
    """Return the variants that a conf/config.yaml selects.

    Raises:
        InputError: it has no such line.
    """
    value = _find(text, "defaults/- variant")["value"]
    return [name.strip() for name in value.strip("[]").split(",")]


def _find(text: str, key: str) -> re.Match[str]:
    section, _, name = key.rpartition("/")
    start = rf"^{re.escape(section)}:.*\n(?:(?:[ #].*)?\n)*?  " if section else "^"
    pattern = rf"{start}{re.escape(name)}: (?P<value>.*?)(?: +#.*)?$"
    found = re.search(pattern, text, flags=re.MULTILINE)
    if found is None:
        raise InputError(
            f"the installed conf/config.yaml has no {key.replace('/', '.')}; install trtproof again"
        )
    return found
