"""Every variant by trtexec's protocols: the loop, and real workers on a fake GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.benchmark_settings import TRTEXEC
from tests.fakes import FakeClock
from tests.unit.test_device_rounds import COPY_NS, gpu_contender, make_inputs
from tests.unit.test_session import children, contender

from trtproof.backends.base import PartTimes
from trtproof.measure.answers import collect_evaluated
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.launch import Launcher
from trtproof.measure.link import Contender
from trtproof.measure.loop import NullRunner
from trtproof.measure.marked import MARKED_COLUMNS
from trtproof.measure.samples import make_samples, of_scenario
from trtproof.measure.scenarios import ScenarioRecord, run_scenarios
from trtproof.measure.trtexec_loop import ProtocolLoop, ProtocolRule
from trtproof.tensor import Feeds

TRANSFERS = ProtocolRule(
    data_transfers=True, spin_wait=False, warm_up_ms=0.001, seconds=1e-6, iterations=3
)
RESIDENT = replace(TRANSFERS, data_transfers=False, spin_wait=True)


class Noting(NullRunner):
    """Write down every call, and how many queries are in flight."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.flying = 0
        self.most = 0

    def stage(self, slot: int, feeds: Feeds) -> None:
        self.calls.append(f"stage {slot}")

    def upload(self, slot: int) -> None:
        self.calls.append(f"upload {slot}")

    def launch(self, slot: int) -> None:
        self.calls.append(f"launch {slot}")
        self.flying += 1
        self.most = max(self.most, self.flying)

    def download(self, slot: int) -> None:
        self.calls.append(f"download {slot}")

    def wait(self) -> None:
        self.calls.append("wait")

    def wait_asleep(self) -> None:
        self.calls.append("asleep")

    def finish_request(self, slot: int) -> PartTimes:
        self.calls.append(f"finish {slot}")
        self.flying -= 1
        return PartTimes(h2d_ns=1, device_ns=2, d2h_ns=3, enqueue_ns=4)

    def finish_launch(self) -> PartTimes:
        self.calls.append("finish")
        self.flying -= 1
        return PartTimes(device_ns=2, enqueue_ns=4)


def run_loop(rule: ProtocolRule, steps_ns: Sequence[int] = (100,)) -> tuple[Noting, Any]:
    runner = Noting()
    requests: list[Feeds] = [{"x": np.array([value])} for value in range(3)]
    done = ProtocolLoop(runner, requests, FakeClock(list(steps_ns)), rule).run()
    return runner, done


def test_one_query_is_always_queued_ahead_and_never_two() -> None:
    runner, done = run_loop(TRANSFERS)
    prepared, timed = runner.calls[:6], runner.calls[6:]
    assert prepared == ["asleep", "stage 0", "upload 0", "stage 1", "upload 1", "wait"]
    query = ["upload {0}", "launch {0}", "download {0}"]
    first, second = ([text.format(slot) for text in query] for slot in (0, 1))
    assert timed[:10] == [*first, *second, "finish 0", *first][:10]
    assert timed[-2:] == [f"finish {(len(done.rows) - 1) % 2}", "wait"]
    assert runner.most == 2
    assert runner.flying == 0
    assert len(done.rows) == sum(call.startswith("launch") for call in runner.calls)


def test_without_transfers_inputs_are_resident_and_nothing_is_copied() -> None:
    runner, done = run_loop(RESIDENT)
    assert "asleep" not in runner.calls
    assert runner.calls.count("upload 0") == runner.calls.count("upload 1") == 1
    assert not any(call.startswith("download") for call in runner.calls)
    columns = dict(zip(MARKED_COLUMNS, done.rows.T, strict=True))
    assert set(columns["device_ns"]) == {2}
    assert set(columns["h2d_ns"]) == set(columns["d2h_ns"]) == {-1}
    assert set(columns["enqueue_ns"]) == {4}


def test_the_warm_up_is_cut_by_when_a_query_started() -> None:
    _, done = run_loop(TRANSFERS)  # readings of the clock are 100 ns apart, the warm-up is 1000
    rows, starts = done.rows, done.rows[:, 1]
    assert set(rows[starts < starts[0] - 100 + 1000, 0]) == {0}
    counted = rows[rows[:, 0] == 1]
    assert set(rows[starts >= starts[0] - 100 + 1000, 0]) == {1}
    assert len(counted) >= 3
    assert starts[-1] >= 2000  # goes on for the whole duration after the warm-up
    assert done.wall_ns == counted[-1, 1] + counted[-1, 2] - counted[0, 1]


@pytest.mark.parametrize("iterations", [1, 10, 25])
def test_so_many_queries_count_at_least(iterations: int) -> None:
    _, done = run_loop(replace(TRANSFERS, seconds=0.0, warm_up_ms=0.0, iterations=iterations))
    assert int(done.rows[:, 0].sum()) == iterations
    assert done.is_marked


def run(folder: Path, contenders: list[Contender], **changes: Any) -> ScenarioRecord:
    settings = TRTEXEC | changes
    launcher = Launcher(make_inputs(contenders, trtexec=settings), folder)
    evaluated = collect_evaluated(launcher)
    return run_scenarios(launcher, clock=MonotonicClock(), evaluated=evaluated)


def test_each_protocol_times_what_its_switches_say(tmp_path: Path) -> None:
    plain = gpu_contender(tmp_path, "plain", kernel_ns=70_000)
    graph = gpu_contender(tmp_path, "graph", cuda_graph=True)
    record = run(tmp_path, [plain, graph, replace(plain, name="plain/again")])
    assert list(record.notes) == ["trtexec"]
    measured = [note for note in record.notes["trtexec"] if "reason" not in note]
    assert [(note["protocol"], note["contender"], note["batch"]) for note in measured] == [
        ("trtexec10", "plain", 1),
        ("trtexec10", "plain", 2),
        ("trtexec11", "graph", 1),
        ("trtexec11", "graph", 2),
    ]
    assert measured[0]["switches"] == {
        "data_transfers": True, "cuda_graph": False, "spin_wait": False
    }  # fmt: skip
    refused = {
        (note["protocol"], note["contender"]): note["reason"]
        for note in record.notes["trtexec"]
        if "reason" in note
    }
    assert refused == {
        ("trtexec10", "graph"):
            "trtexec10 launches without a CUDA graph, and its run.cuda_graph is true",
        ("trtexec11", "plain"):
            "trtexec11 replays a CUDA graph, and its run.cuda_graph is false",
    }  # fmt: skip
    samples = of_scenario(make_samples(record.blocks), "trtexec")
    for note in measured:
        own = samples[(samples["contender"] == note["contender"])]
        own = own[own["batch"] == note["batch"]]
        assert set(own["protocol"]) == {note["protocol"]}
        assert int((own["status"] == "counted").sum()) == note["queries_count"] >= 10
        assert int((own["status"] == "warmup").sum()) == note["warm_up_count"] >= 1
        with_copies = note["protocol"] == "trtexec10"
        assert set(own["device_ns"]) == {70_000 if with_copies else 100_000}
        if with_copies:
            assert set(own["h2d_ns"]) == {COPY_NS[note["batch"]]}
        else:
            assert own["h2d_ns"].isna().all()
            assert own["d2h_ns"].isna().all()
        counted = own[own["status"] == "counted"]
        ends = counted["t_start_ns"] + counted["e2e_ns"]
        assert note["wall_ns"] == ends.max() - counted["t_start_ns"].min()
    assert not children()


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"obstacle": "the weights are streamed"}, "its launches could not be captured"),
        ({"unmarked": True}, "its runner gives no times of the device"),
    ],
)
def test_what_could_not_be_timed_as_the_protocol_says_is_no_figure(
    tmp_path: Path, plan: dict[str, Any], reason: str
) -> None:
    graph = gpu_contender(tmp_path, "graph", cuda_graph=True, **plan)
    record = run(tmp_path, [graph], protocols=["trtexec11"])
    assert [note["reason"].startswith(reason) for note in record.notes["trtexec"]] == [True] * 2
    assert record.blocks == []


def test_on_a_processor_no_protocol_can_be_followed(tmp_path: Path) -> None:
    first = contender(tmp_path, "a")
    record = run(tmp_path, [first, replace(first, name="a/again")])
    notes = record.notes["trtexec"]
    assert [note["contender"] for note in notes] == ["a"] * 4  # protocols and batches, once each
    assert {note["reason"] for note in notes} == {
        "it runs on the CPU, which has neither copies nor events"
    }
    assert record.blocks == []
