"""The one place that imports TensorRT, and the one logger that a process may give it.

TensorRT keeps the first logger it meets for the life of the process and warns about any other, so
there is one, never collected, whose lines go to whoever captures at the time.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol

from trtproof.backends.tensorrt import trace
from trtproof.errors import HardwareError
from trtproof.progress import note

OLDEST_MAJOR: Final = 10
INSTALL: Final = "pip install 'trtproof[tensorrt]'"
NEEDS_LIBRARIES: Final = "the libraries of the bindings' version are on the loader's path"

_captures: list[Lines] = []


class Lines(Protocol):
    """Whatever takes log lines."""

    def append(self, line: LogLine, /) -> object:
        """Take one line."""
        ...


@dataclass(frozen=True)
class LogLine:
    """One line of TensorRT's log; `severity` is the name, as in "WARNING"."""

    severity: str
    text: str

    def __str__(self) -> str:
        return f"[{self.severity}] {self.text}"


def load() -> Any:
    """Return the module `tensorrt`, imported once.

    Raises:
        HardwareError: it is not installed, its libraries are not found, it is TensorRT-RTX under
            another name, or too old.
    """
    try:
        trt: Any = importlib.import_module("tensorrt")
    except ModuleNotFoundError as error:
        if error.name != "tensorrt":
            raise HardwareError(f"tensorrt cannot be imported: {error}; run `{INSTALL}`") from error
        raise HardwareError(_not_installed()) from None
    except (ImportError, OSError, RuntimeError) as error:
        raise HardwareError(
            f"tensorrt cannot be imported: {error}; see that {NEEDS_LIBRARIES}, or run "
            "`trtproof doctor`"
        ) from error
    _refuse_other_products(trt)
    return _trace(trt) if trace.wanted() else trt


def _trace(trt: Any) -> Any:
    """Return the module as one whose calls are written down, with the log lines they bring."""
    module = trace.traced(trt)
    tape = trace.tape_of(module)
    if not any(lines is tape for lines in _captures):
        _captures.append(tape)
        note(f"{trace.VARIABLE} is set: calls go to {trace.FOLDER}/, and timings are slower")
    return module


def _not_installed() -> str:
    if importlib.util.find_spec("tensorrt_rtx") is not None:
        return (
            "tensorrt_rtx is installed, which is not TensorRT: its engines are other engines; run "
            f"`{INSTALL}`"
        )
    return f"tensorrt is not installed; run `{INSTALL}`"


def _refuse_other_products(trt: Any) -> None:
    if "rtx" in str(trt.__name__):
        raise HardwareError(
            f"the module tensorrt is {trt.__name__}, which is not TensorRT; run `{INSTALL}`"
        )
    if major(trt) < OLDEST_MAJOR:
        raise HardwareError(
            f"tensorrt {version(trt)} is installed, but trtproof needs 10.13 or newer; "
            f"run `{INSTALL} --upgrade`"
        )


def version(trt: Any) -> str:
    """Return the bindings' version, as in "11.4.0.106"."""
    return str(trt.__version__)


def major(trt: Any) -> int:
    """Return the first number of the version."""
    return int(version(trt).partition(".")[0])


@cache
def logger(trt: Any) -> Any:
    """Return the process's one logger of this module."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Pass every line on to all captures; an exception in here would be swallowed."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            """Keep one line."""
            for lines in _captures:
                lines.append(LogLine(severity.name, msg))

    return Logger()


@contextmanager
def capture(lines: list[LogLine] | None = None) -> Iterator[list[LogLine]]:
    """Yield the list that TensorRT's log lines are appended to inside the block.

    Captures nest: an outer one gets the lines of the inner ones too. Anything with `append` does
    for `lines`, such as a file's writer.
    """
    kept: list[LogLine] = [] if lines is None else lines
    _captures.append(kept)
    try:
        yield kept
    finally:
        # By identity: two empty lists are equal.
        _captures[:] = [other for other in _captures if other is not kept]
