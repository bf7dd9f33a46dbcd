"""The worker process: what it imports, what it answers, how it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fakes import (
    FAKE_BACKEND,
    TESTS,
    FakeClock,
    make_feeds,
    write_fake_plan,
    write_model,
)

from trtproof.backends import BACKENDS
from trtproof.backends.base import BuildSpec, RunOptions
from trtproof.backends.onnxruntime import BACKEND as ONNXRUNTIME
from trtproof.errors import BackendError
from trtproof.measure.link import Contender, WorkerLink
from trtproof.measure.worker import Worker, serve
from trtproof.models.base import load_files

RULE = {"requests": 3, "seconds": 0.0, "warm_iterations": 1, "warm_seconds": 0.0}
HEAVY = {"dvc", "hydra", "omegaconf", "pandas", "pyarrow", "msgspec", "yaml", "scipy", "onnx"}


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.npz"
    np.savez(path, allow_pickle=False, **{"0": make_feeds(4)["input"]})
    return path


def fake_contender(folder: Path, **faults: Any) -> Contender:
    return Contender(
        name="fake-a",
        variant="fake-a",
        backend=FAKE_BACKEND,
        folder=write_fake_plan(folder / "plan", **faults),
        plan="engine.fake",
        options=RunOptions(threads=1, pythonpath=(str(TESTS),)),
    )


def start(contender: Contender, folder: Path) -> WorkerLink:
    return WorkerLink(contender, number=0, folder=folder)


def test_a_worker_imports_only_what_runs_a_plan(tmp_path: Path, items: Path) -> None:
    plan = tmp_path / "build"
    plan.mkdir()
    write_model(tmp_path / "source")
    spec = BuildSpec("fp32", False, 1, [], {}, {"device": "cpu"}, {})
    ONNXRUNTIME.compile(load_files(tmp_path / "source"), spec, plan)
    write_fake_plan(plan)
    contender = Contender(
        "ort", "ort", BACKENDS.path("onnxruntime"), plan, "engine.onnx", RunOptions(threads=1)
    )
    with start(contender, tmp_path) as link:
        reply = link.open(items=items, names=["input"], timeout_s=60)
        link.ask("warm_up", timeout_s=60, batch=1, rule=warmup())
        link.ask("run_block", timeout_s=60, batch=1, rule=RULE, out=str(tmp_path / "b.npy"))
    assert {"numpy", "onnxruntime", "trtproof"} <= set(reply["imports"])
    assert not HEAVY & set(reply["imports"])


def warmup() -> dict[str, Any]:
    return {"seconds": 0.0, "cap_seconds": 0.0, "iterations": 1}


def test_a_block_comes_back_as_rows_of_nanoseconds(tmp_path: Path, items: Path) -> None:
    out = tmp_path / "block.npy"
    with start(fake_contender(tmp_path), tmp_path) as link:
        link.open(items=items, names=["input"], timeout_s=60)
        link.ask("warm_up", timeout_s=60, batch=2, rule=warmup())
        reply = link.ask("run_block", timeout_s=60, batch=2, rule=RULE, out=str(out))
    rows = np.load(out)
    assert rows.dtype == np.int64
    assert rows[:, 0].tolist() == [0, 1, 1, 1]
    assert (rows[:, 2] > 0).all()
    assert reply["peak_rss_bytes"] > 0


def test_answers_belong_to_the_rotated_items(tmp_path: Path, items: Path) -> None:
    out = tmp_path / "answers.npz"
    with start(fake_contender(tmp_path, scale=2.0), tmp_path) as link:
        link.open(items=items, names=["input"], timeout_s=60)
        reply = link.ask("write_outputs", timeout_s=60, batch=3, out=str(out))
    sums = make_feeds(4)["input"].reshape(4, -1).sum(axis=1)
    with np.load(out) as stored:
        assert reply == {"names": ["logits"], "requests_count": 4}
        np.testing.assert_array_equal(stored["3.0"][:, 1], sums[[3, 0, 1]])
        np.testing.assert_array_equal(stored["3.0"][:, 0], 2 * sums[[3, 0, 1]])


def test_a_crash_names_the_contender_and_its_last_words(tmp_path: Path, items: Path) -> None:
    with start(fake_contender(tmp_path, die_at=2), tmp_path) as link:
        link.open(items=items, names=["input"], timeout_s=60)
        with pytest.raises(BackendError, match=r"fake-a died \(exit code 9\): fatal: the fake"):
            link.ask("run_block", timeout_s=60, batch=1, rule=RULE, out=str(tmp_path / "b.npy"))


def test_an_error_of_the_backend_is_told_in_its_words(tmp_path: Path, items: Path) -> None:
    with start(fake_contender(tmp_path, error_at=1), tmp_path) as link:
        link.open(items=items, names=["input"], timeout_s=60)
        with pytest.raises(BackendError, match=r"worker of fake-a: request 1 is too much"):
            link.ask("warm_up", timeout_s=60, batch=1, rule=warmup())


def test_a_worker_that_hangs_is_given_up_and_ended(tmp_path: Path, items: Path) -> None:
    link = start(fake_contender(tmp_path, hang_at=1), tmp_path)
    with link:
        link.open(items=items, names=["input"], timeout_s=60)
        with pytest.raises(BackendError, match=r"fake-a did not answer within 1 s"):
            link.ask("warm_up", timeout_s=1, batch=1, rule=warmup())
        link.kill()
    assert is_gone(link.pid)


def test_a_plan_that_cannot_be_opened_is_an_error_of_its_contender(
    tmp_path: Path, items: Path
) -> None:
    contender = fake_contender(tmp_path)
    (contender.folder / "signature.json").unlink()
    link = start(contender, tmp_path)
    with pytest.raises(BackendError, match=r"worker of fake-a: .*signature.json"), link:
        link.open(items=items, names=["input"], timeout_s=60)


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    link = start(fake_contender(tmp_path), tmp_path)
    link.close()
    link.close()
    assert is_gone(link.pid)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


STARTER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.test_worker import fake_contender
from trtproof.measure.link import WorkerLink
folder = Path({folder!r})
link = WorkerLink(fake_contender(folder), number=0, folder=folder)
print(link.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has the call")
def test_a_killed_orchestrator_leaves_no_worker(tmp_path: Path) -> None:
    code = STARTER.format(root=str(TESTS.parent), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        assert not is_gone(pid)
        child.kill()
    assert wait_until_gone(pid)


def wait_until_gone(pid: int, *, limit_s: float = 20.0) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if is_gone(pid):
            return True
        time.sleep(0.05)
    return False


def test_replies_are_one_line_each_and_close_ends_the_service() -> None:
    commands = io.StringIO(
        json.dumps({"do": "time_harness", "rule": RULE})
        + "\n"
        + json.dumps({"do": "warm_up", "batch": 1, "rule": warmup()})
        + "\n"
        + json.dumps({"do": "close"})
        + "\n"
        + json.dumps({"do": "close"})
    )
    replies = io.StringIO()
    serve(Worker(FakeClock([5])), commands, replies)
    answers = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert [answer["ok"] for answer in answers] == [True, False, True]
    assert answers[0]["e2e_ns"] == 5
    assert "before it opened a plan" in answers[1]["error"]
