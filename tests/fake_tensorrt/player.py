"""A cassette of TRTPROOF_TRACE=1 played back: a `tensorrt` that answers as a real one once did.

    monkeypatch.setitem(sys.modules, "tensorrt", make_player(Path("build_process-123.jsonl")))

The code under test must make the calls of the cassette, by name, per object in their order; what it
passes is not compared. Log lines come with the call that brought them.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.module import make_tensorrt

MODULE = 0
LINE = re.compile(r"\[(\w+)\] (.*)", re.DOTALL)
OBJECTS = ("Builder", "Runtime", "OnnxParser")
ERRORS = {"TypeError": TypeError, "AttributeError": AttributeError, "RuntimeError": RuntimeError}


class Cassette:
    """The recorded calls by object, and the logger that their lines go to."""

    def __init__(self, path: Path) -> None:
        self.calls: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            self.calls[entry["on"]].append(entry)
        self.version = str(self.calls[MODULE].pop(0)["result"])
        self.logger: Any = None
        self.trt: Any = None

    def next(self, number: int, name: str, kind: str) -> Any:
        """Return what the next call of an object gave; another call is a difference."""
        left = self.calls[number]
        place = next((i for i, one in enumerate(left) if one["name"] == name), None)
        assert place is not None, f"object {number} was never asked for {name} (again)"
        entry = left.pop(place)
        assert entry["kind"] == kind, f"{name} was a {entry['kind']}, now it is a {kind}"
        for line in entry.get("log", ()):
            found = LINE.match(line)
            assert found, line
            assert self.logger is not None, line
            self.logger.log(self.trt.ILogger.Severity[found[1]], found[2])
        if "error" in entry:
            error = entry["error"]
            raise ERRORS.get(error["type"], RuntimeError)(error["text"])
        return self.decode(entry.get("result"))

    def decode(self, value: Any) -> Any:
        """Return a recorded value; bytes are zeros of the recorded number."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "object":
            return Played(self, content)
        if kind == "bytes":
            return b"\0" * content
        if kind == "enum":
            return getattr(self.trt, content[0])[content[1]]
        return content


class Played:
    """One recorded object."""

    def __init__(self, cassette: Cassette, number: int) -> None:
        object.__setattr__(self, "_cassette", cassette)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        cassette, number = self._cassette, self._number
        if name.startswith("__"):
            return getattr(cassette.trt, name)
        own = vars(cassette.trt).get(name) if number == MODULE else None
        if own is not None and name not in OBJECTS and isinstance(own, type):
            return own
        recorded = next((one for one in cassette.calls[number] if one["name"] == name), None)
        assert recorded is not None, f"object {number} was never asked for {name} (again)"
        if recorded["kind"] == "get":
            return cassette.next(number, name, "get")

        def call(*args: Any, **options: Any) -> Any:
            for value in (*args, *options.values()):
                if isinstance(value, cassette.trt.ILogger):
                    cassette.logger = value
            return cassette.next(number, name, "call")

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        del value
        self._cassette.next(self._number, name, "set")

    def __bool__(self) -> bool:
        return bool(self._cassette.next(self._number, "__bool__", "call"))

    def __bytes__(self) -> bytes:
        return bytes(self._cassette.next(self._number, "__bytes__", "call"))


def make_player(path: Path) -> Any:
    """Return the module that plays a cassette; it has the enums of the cassette's version."""
    cassette = Cassette(path)
    cassette.trt = make_tensorrt(Host(version=cassette.version))
    return Played(cassette, MODULE)
