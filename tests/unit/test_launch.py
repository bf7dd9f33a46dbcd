"""Workers open their plans together, and one that fails does not wait for the others."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from trtproof.errors import BackendError
from trtproof.measure.launch import Launcher
from trtproof.measure.link import Contender, WorkerLink


class FakeLink:
    def __init__(self, contender: Any) -> None:
        self.contender = contender
        self.killed = threading.Event()

    def kill(self) -> None:
        self.killed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...


class FakeLauncher(Launcher):
    """Open the plan "refused" with an error, any other one never."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.links: list[FakeLink] = []

    def start(self, contender: Contender) -> WorkerLink:
        self.links.append(FakeLink(contender))
        return cast("WorkerLink", self.links[-1])

    def open(self, link: WorkerLink) -> dict[str, Any]:
        fake = cast("FakeLink", link)
        if fake.contender.name == "refused":
            raise self.error
        assert fake.killed.wait(60.0), "nobody ended this worker"
        problem = "its pipe is closed"
        raise BackendError(problem)


@pytest.mark.parametrize("error", [BackendError("refused"), KeyboardInterrupt()])
def test_where_one_plan_cannot_be_opened_the_other_workers_end(error: BaseException) -> None:
    launcher = FakeLauncher(error)
    contenders = [cast("Contender", SimpleNamespace(name=name)) for name in ("refused", "slow")]
    with pytest.raises(type(error)), ExitStack() as stack:
        launcher.start_open(contenders, stack)
    assert all(link.killed.is_set() for link in launcher.links)
