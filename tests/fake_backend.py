"""A backend of numpy alone: sums its input, and misbehaves when its plan says so.

Workers import it by path, so it is a module of its own. Its plan is JSON: `scale`, and faults
`nan`, `mixes` (the samples of a batch), `die_at` (request number), `error_at`, `hang_at` (after
touching the file `mark`), `slow_s`, `drifts_after` (so many times that it was opened),
`wrong_stream` (its number).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trtproof.backends.base import BuildSpec, CompileRecord, Engine, Facts, RunOptions
from trtproof.backends.host import SLOTS, HostRunner, load_signature
from trtproof.errors import BackendError, BuildFailedError
from trtproof.models.base import ModelFiles
from trtproof.reason import Reason
from trtproof.tensor import Array, Feeds, Signature

PLAN_FILE = "engine.fake"


class FakeRunner(HostRunner):
    def __init__(self, signature: Signature, plan: Mapping[str, Any]) -> None:
        super().__init__(signature)
        self._plan = plan
        self._inputs: list[list[Array]] = [[] for _ in range(SLOTS)]
        self._outputs: list[Array | None] = [None] * SLOTS
        self._count = 0

    def bind(self, slot: int, buffers: Feeds) -> None:
        self._inputs[slot] = list(buffers.values())

    def launch(self, slot: int) -> None:
        self._count += 1
        if self._count == self._plan.get("die_at"):
            sys.stderr.write("something minor\nfatal: the fake died\n")
            sys.stderr.flush()
            os._exit(9)
        if self._count == self._plan.get("error_at"):
            raise BackendError(f"request {self._count} is too much for the fake")
        if self._count == self._plan.get("hang_at"):
            Path(self._plan.get("mark", os.devnull)).touch()
            time.sleep(3600)
        time.sleep(self._plan.get("slow_s", 0.0))
        sums = sum(array.reshape(len(array), -1).sum(axis=1) for array in self._inputs[slot])
        values = np.stack([sums * self._plan.get("scale", 1.0), sums], axis=1).astype(np.float32)
        if self._plan.get("nan"):
            values[0, 0] = np.nan
        if self._plan.get("mixes"):
            values += values.mean(axis=0) - values[0]
        self._outputs[slot] = values

    def read(self, slot: int) -> Feeds:
        output = self._outputs[slot]
        assert output is not None
        return {self.signature.output_names[0]: output.copy()}

    def release(self) -> None:
        self._outputs = [None] * SLOTS


class FakeEngine:
    def __init__(self, signature: Signature, plan: Mapping[str, Any]) -> None:
        self.signature = signature
        self.facts: Mapping[str, Any] = {"provider": "fake"}
        self._plan = plan

    def runner(self, stream: int) -> FakeRunner:
        wrong = {"scale": 3.0} if stream == self._plan.get("wrong_stream") else {}
        return FakeRunner(self.signature, {**self._plan, **wrong})


class FakeBackend:
    name = "fake"

    def unavailable(self, facts: Facts, precision: str) -> Reason | None:
        if facts:
            return None
        return Reason(code="not_installed", text="no fake here", repair="install the fake")

    def compile(self, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
        (out / PLAN_FILE).write_text(json.dumps(dict(spec.options)), encoding="utf-8")
        if "fails" in spec.options:
            raise BuildFailedError(code="fake", text="the fake says no", repair="ask nicely")
        if "crashes" in spec.options:
            raise BackendError(f"no memory for {out.name}")
        return CompileRecord(plan=PLAN_FILE, facts={"made_by": "fake"}, log="fake\n")

    @contextmanager
    def open(self, folder: Path, plan: str, options: RunOptions) -> Iterator[Engine]:
        settings = json.loads((folder / plan).read_text(encoding="utf-8"))
        opened = folder / "opened"
        with opened.open("a", encoding="ascii") as file:
            file.write(".")
        if opened.stat().st_size > settings.get("drifts_after", float("inf")):
            settings["scale"] = 2.0
        yield FakeEngine(load_signature(folder), settings)


BACKEND = FakeBackend()
