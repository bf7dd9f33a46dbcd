"""How a converted graph is computed truthfully on a CPU, whatever its target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trtproof.errors import BackendError, InputError
from trtproof.precision.emulation import write_emulated
from trtproof.precision.graph import copy_model

MIN_ONNXRUNTIME: Final = (1, 30)


@dataclass(frozen=True)
class Executor:
    """What is done to a graph before ONNX Runtime runs it.

    `needs_rounding` marks graphs whose float16 values are quantised.
    """

    optimized: bool
    emulated: bool = False
    needs_rounding: bool = False


EXECUTORS: Final[Mapping[str, Executor]] = {
    "onnxruntime": Executor(optimized=True),
    "onnxruntime-unoptimized": Executor(optimized=False, needs_rounding=True),
    "onnxruntime-emulated": Executor(optimized=False, emulated=True),
}
"""Executor of a precision record -> what it means.

Unoptimised: ONNX Runtime's optimiser replaces Q/DQ in float16 and float8 by operators that compute
something else. Emulated: its CPU has no bfloat16 kernels, so that operators compute in float32 and
round to bfloat16.
"""


@dataclass(frozen=True)
class Prepared:
    """A graph that can be opened here, and whether it may be optimised."""

    model: Path
    optimized: bool


def prepare(model: Path, executor: str, folder: Path, *, version: str) -> Prepared:
    """Return the graph to open for a converted model; `folder` takes what must be written for it.

    `version` is ONNX Runtime's.

    Raises:
        InputError: the record names an unknown executor.
        BackendError: this ONNX Runtime computes such graphs wrongly.
        MissingFileError, ModelError: the model cannot be read.
    """
    chosen = _find(executor, model, version)
    if chosen.emulated:
        emulated = folder / "emulated.onnx"
        write_emulated(model, emulated)
        return Prepared(emulated, chosen.optimized)
    return Prepared(model, chosen.optimized)


def write_prepared(model: Path, executor: str, out: Path, *, version: str) -> None:
    """Write the graph that computes a converted model, external data beside it.

    Raises:
        As `prepare`.
    """
    write = write_emulated if _find(executor, model, version).emulated else copy_model
    write(model, out)


def _find(executor: str, model: Path, version: str) -> Executor:
    """Return what a record's executor means, once this ONNX Runtime is found fit for it.

    Raises:
        InputError: there is no such executor.
        BackendError: this ONNX Runtime computes such graphs wrongly.
    """
    if executor not in EXECUTORS:
        raise InputError(
            f"the record beside {model} names the executor {executor!r}; I know about "
            f"{', '.join(sorted(EXECUTORS))}; run `dvc repro -f convert` to make it again"
        )
    if EXECUTORS[executor].needs_rounding:
        require_rounding(version)
    return EXECUTORS[executor]


def require_rounding(version: str) -> None:
    """Refuse an ONNX Runtime whose QuantizeLinear truncates float16 values.

    Before 1.30 it does, on the CPU: half of all quantised values are off by one, and a correct
    model reads as if INT8 had cost accuracy (14 dB instead of 42 dB).

    Raises:
        BackendError: it is too old.
    """
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if found < MIN_ONNXRUNTIME:
        raise BackendError(
            f"ONNX Runtime {version} truncates float16 values instead of rounding them when it "
            "quantises, which looks like lost accuracy; run `pip install 'onnxruntime>=1.30'`"
        )
