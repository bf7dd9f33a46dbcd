"""TRTPROOF_TRACE=1: write down every call of TensorRT's bindings with its result and log lines.

One file per process in trtproof-trace/ below the current folder, a line per call, written before
the next: a crash loses nothing. There are no weights and no data in it: of bytes only their number,
of a path only the last part. The strict fake plays such a file back, so that a bug report from a
machine with TensorRT becomes a test on one without. What is timed while it is written is slower.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Final, TextIO

VARIABLE: Final = "TRTPROOF_TRACE"
FOLDER: Final = Path("trtproof-trace")
MOST_OF_ONE: Final = 100
"""Calls written of one method of one object: a benchmark makes millions that are all alike."""

PLAIN: Final = (bool, int, float, type(None))


def wanted() -> bool:
    """Say whether the user asked for a trace."""
    return os.environ.get(VARIABLE, "") not in {"", "0"}


class Tape:
    """The file, the numbers of the objects in it, and log lines that no call has taken yet."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._counts: Counter[tuple[int, str]] = Counter()
        self._lines: list[str] = []
        self._objects = 0

    def append(self, line: Any) -> None:
        """Take a log line; VERBOSE ones are left out."""
        if line.severity != "VERBOSE":
            self._lines.append(str(line))

    def number(self) -> int:
        """Return a number for a new object; 0 is the module."""
        self._objects += 1
        return self._objects

    def write(self, number: int, name: str, **entry: Any) -> None:
        """Write one call, with the log lines since the one before."""
        self._counts[number, name] += 1
        if self._counts[number, name] > MOST_OF_ONE:
            self._lines.clear()
            return
        line = {"on": number, "name": name, **entry}
        if self._lines:
            line["log"] = list(self._lines)
            self._lines.clear()
        self._file.write(json.dumps(line) + "\n")


class Traced:
    """One object of TensorRT's, or its module; passes everything on and writes it down."""

    def __init__(self, target: Any, tape: Tape, number: int) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_tape", tape)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute; a method becomes one that is written down when it is called."""
        value = self._ask(name, "get", lambda: getattr(self._target, name))
        if name.startswith("__") or (isinstance(value, type) and not _is_object(value)):
            return value
        if not callable(value) or _is_enum(value):
            wrapped = _wrap(value, self._tape)
            self._tape.write(self._number, name, kind="get", result=_encode(wrapped))
            return wrapped
        return lambda *args, **options: self._call(name, value, args, options)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the object itself."""
        self._ask(name, "set", lambda: setattr(self._target, name, _unwrap(value)))
        self._tape.write(self._number, name, kind="set", args=[_encode(value)])

    def __bool__(self) -> bool:
        """Say what the object says: a profile that was refused is false."""
        truth = bool(self._target)
        self._tape.write(self._number, "__bool__", kind="call", args=[], result=truth)
        return truth

    def __bytes__(self) -> bytes:
        """Return the object's bytes; only their number is written."""
        data = bytes(self._target)
        self._tape.write(self._number, "__bytes__", kind="call", args=[], result=_encode(data))
        return data

    def _call(
        self, name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        given = [_encode(value) for value in (*args, *options.values())]
        plain = [_unwrap(value) for value in args]
        plain_options = {key: _unwrap(value) for key, value in options.items()}
        result = self._ask(name, "call", lambda: function(*plain, **plain_options), given)
        wrapped = _wrap(result, self._tape)
        self._tape.write(self._number, name, kind="call", args=given, result=_encode(wrapped))
        return wrapped

    def _ask(self, name: str, kind: str, act: Any, given: list[Any] | None = None) -> Any:
        """Do it; an exception is written down and goes on its way."""
        try:
            return act()
        except BaseException as error:  # an interrupt is the last thing that a tape should lack
            what = {"type": type(error).__name__, "text": str(error)}
            self._tape.write(self._number, name, kind=kind, args=given or [], error=what)
            raise


@cache
def traced(trt: Any) -> Any:
    """Return the module as one that writes down what is called, and the tape it writes to."""
    FOLDER.mkdir(exist_ok=True)
    program = Path(sys.argv[0]).stem or "python"
    path = FOLDER / f"{program}-{os.getpid()}.jsonl"
    tape = Tape(path.open("w", encoding="utf-8", buffering=1))
    tape.write(0, "__version__", kind="get", result=str(trt.__version__))
    return Traced(trt, tape, 0)


def tape_of(module: Any) -> Tape:
    """Return the tape of a traced module, which takes TensorRT's log lines."""
    tape: Tape = object.__getattribute__(module, "_tape")
    return tape


def _is_enum(value: Any) -> bool:
    return hasattr(type(value), "__members__")


def _is_object(kind: Any) -> bool:
    """Say whether a class is one that is made by calling it, not one to inherit from or an enum."""
    return kind.__name__ in {"Builder", "Runtime", "OnnxParser"}


def _is_dims(value: Any) -> bool:
    return type(value).__name__.startswith("Dims")


def _wrap(value: Any, tape: Tape) -> Any:
    """Return TensorRT's own objects traced, and everything else as it is."""
    if isinstance(value, (*PLAIN, str, bytes, memoryview, list, tuple, Traced)):
        return value
    if _is_enum(value) or _is_dims(value) or isinstance(value, type):
        return value
    return Traced(value, tape, tape.number())


def _unwrap(value: Any) -> Any:
    return object.__getattribute__(value, "_target") if isinstance(value, Traced) else value


def _encode(value: Any) -> Any:
    """Return a value as JSON that holds neither data nor places on this machine."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list | tuple) or _is_dims(value):
        return [_encode(item) for item in value]
    if isinstance(value, str):
        return {"path": PurePath(value).name} if PurePath(value).is_absolute() else value
    return _encode_object(value)


def _encode_object(value: Any) -> dict[str, Any]:
    if isinstance(value, Traced):
        return {"object": object.__getattribute__(value, "_number")}
    if isinstance(value, bytes | memoryview):
        return {"bytes": len(value)}
    if _is_enum(value):
        return {"enum": [type(value).__name__, value.name]}
    return {"own": type(value).__name__}
