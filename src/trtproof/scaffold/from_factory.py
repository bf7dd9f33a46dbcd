"""What a factory of the user's says of its model, asked in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from trtproof.errors import InputError
from trtproof.scaffold.described import Described, Input, to_identifier
from trtproof.scaffold.place import Place

MAKER: Final = re.compile(r"(make|build|create|load|get)(_?(model|net|network|module))?")


def describe_factory(factory: str, place: Place) -> Described:
    """Return what the module of "package.module:factory" takes and gives.

    Called in the project's folder where there is one, as its stages will call it.

    Raises:
        InputError: it cannot be imported or called; carries the other process's own line.
    """
    watched = place.repository or place.root
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "trtproof.models.describe",
            factory,
            str(watched),
            *map(str, place.packages),
        ],
        cwd=place.root if place.root.is_dir() else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise InputError(f"{factory} cannot be described: {lines[-1].removeprefix('error: ')}")
    return _read(factory, json.loads(done.stdout.splitlines()[-1]), place)


def model_name(factory: str) -> str:
    """Return the module's name, with the function's where that says more than that it makes one."""
    module, _, attribute = factory.partition(":")
    return to_identifier(module if MAKER.fullmatch(attribute) else f"{module}_{attribute}")


def _read(factory: str, data: dict[str, Any], place: Place) -> Described:
    return Described(
        name=model_name(factory),
        inputs={name: Input.from_json(item) for name, item in data["inputs"].items()},
        outputs=data["outputs"],
        axes={axis: (low, usual, high) for axis, (low, usual, high) in data["axes"].items()},
        ran=bool(data["ran"]),
        files=[place.relative(Path(path)) for path in data["files"]],
    )
