"""Where everything lies, and how it is written so that nothing half-written is ever seen.

One word per step: `stages/X.py` is the only writer of `artifacts/X/`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trtproof.errors import InputError, MissingFileError

ROOT = Path("artifacts")
TEMPORARY = ROOT / ".tmp"
METRICS = Path("metrics")
IMPORTS = Path("imports")
HARDWARE = METRICS / "hardware.json"
INPUTS = METRICS / "inputs.json"
VARIANT_METRICS = METRICS / "variants"
PLOTS = METRICS / "plots"
SUMMARY = METRICS / "report.md"
GATE = ROOT / "gate"
EXPORT = ROOT / "export"
CALIBRATE = ROOT / "calibrate"
BENCHMARK = ROOT / "benchmark"
REPORT = ROOT / "report"


def convert(recipe: str) -> Path:
    """Return the folder of a recipe's converted model."""
    return ROOT / "convert" / recipe


def audit(recipe: str) -> Path:
    """Return the folder of a recipe's audit."""
    return ROOT / "audit" / recipe


def sensitivity(recipe: str) -> Path:
    """Return the folder of a recipe's ranking of layers."""
    return ROOT / "sensitivity" / recipe


def build(variant: str) -> Path:
    """Return the folder of a variant's plan and sidecar."""
    return ROOT / "build" / variant


def evaluate(variant: str) -> Path:
    """Return the folder of a variant's predictions and scores."""
    return ROOT / "evaluate" / variant


def variant_metrics(variant: str) -> Path:
    """Return the git-tracked metrics file of a variant."""
    return VARIANT_METRICS / f"{variant}.json"


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `folder` when the block ends without an error.

    The temporary lies outside the outputs (a left-over inside one would change its hash) and is
    removed on error; what a killed process leaves there is cleared by probe.
    """
    temporary = TEMPORARY / f"{'-'.join(folder.parts[1:])}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def to_json(data: Mapping[str, Any]) -> str:
    """Return the one JSON form of the project: sorted keys, no NaN, newline at the end.

    Raises:
        ValueError: a NaN or infinity is in the data.
    """
    return json.dumps(data, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON in the project's form, whole or not at all."""
    write_text(path, to_json(data))


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path, *, made_by: str) -> dict[str, Any]:
    """Return a JSON object that a stage wrote.

    Raises:
        MissingFileError: no such file; the message names the stage that makes it.
        InputError: it is not a JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(path, repair=f"run `dvc repro {made_by}` to make it") from None
    except ValueError as error:
        raise InputError(
            f"{path} is not JSON ({error}); run `dvc repro -f {made_by}` to make it again"
        ) from None
    if not isinstance(data, dict):
        raise InputError(
            f"{path} is not a JSON object; run `dvc repro -f {made_by}` to make it again"
        )
    return data


def require(path: Path, *, made_by: str) -> Path:
    """Return the path if it exists.

    Raises:
        MissingFileError: it does not; the message names the stage that makes it.
    """
    if not path.exists():
        raise MissingFileError(path, repair=f"run `dvc repro {made_by}` to make it")
    return path


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_folder(folder: Path) -> dict[str, str]:
    """Return relative POSIX path -> SHA-256 of every file below a folder, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def sha256_json(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of data in the project's JSON form, in hex."""
    return hashlib.sha256(to_json(data).encode()).hexdigest()
