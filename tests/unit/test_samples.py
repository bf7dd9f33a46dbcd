"""samples.parquet: columns, types, bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from trtproof.artifacts import sha256_file
from trtproof.measure.samples import (
    ORDER,
    Block,
    counted,
    make_samples,
    read_samples,
    write_samples,
)
from trtproof.measure.schedule import Turn


def block(contender: str, number: int, e2e_ns: list[int], *, warm: int = 1) -> Block:
    rows = np.array(
        [(int(place >= warm), 100 * place, value, 7) for place, value in enumerate(e2e_ns)],
        dtype=np.int64,
    )
    return Block(Turn(0, number, 0, 1, contender), worker=3, device="abc", rows=rows)


BLOCKS = [
    block("torch-fp32", 0, [900, 10, 20, 30]),
    block("torch-fp32/again", 0, [900, 11]),
    block("torch-fp32", 1, [900, 40, 50]),
]


def test_the_columns_are_the_final_ones() -> None:
    assert ",".join(ORDER) == (
        "variant,contender,scenario,batch,streams,stream,worker,session,round,position,sample,"
        "status,protocol,device,t_start_ns,e2e_ns,device_ns,h2d_ns,d2h_ns,enqueue_ns,cpu_ns"
    )
    assert list(make_samples(BLOCKS).columns) == list(ORDER)


def test_every_request_is_one_row() -> None:
    samples = make_samples(BLOCKS)
    assert len(samples) == 9
    assert samples["e2e_ns"].tolist() == [900, 10, 20, 30, 900, 11, 900, 40, 50]
    assert samples["sample"].tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2]


def test_the_second_run_of_the_reference_is_the_same_variant() -> None:
    samples = make_samples(BLOCKS)
    assert set(samples["variant"]) == {"torch-fp32"}
    assert set(samples["contender"]) == {"torch-fp32", "torch-fp32/again"}


def test_warmup_is_stored_and_does_not_count() -> None:
    samples = make_samples(BLOCKS)
    assert samples["status"].value_counts().to_dict() == {"counted": 6, "warmup": 3}
    assert 900 not in counted(samples)["e2e_ns"].tolist()


def test_what_a_cpu_run_cannot_have_is_absent_and_not_zero() -> None:
    samples = make_samples(BLOCKS)
    for name in ("device_ns", "h2d_ns", "d2h_ns", "enqueue_ns"):
        assert samples[name].isna().all()
        assert samples[name].dtype == "Int64"


def test_samples_survive_the_file(tmp_path: Path) -> None:
    samples = make_samples(BLOCKS)
    write_samples(tmp_path / "s.parquet", samples)
    pd.testing.assert_frame_equal(read_samples(tmp_path / "s.parquet"), samples)


def test_equal_samples_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_samples(tmp_path / name, make_samples(BLOCKS))
    assert sha256_file(tmp_path / "a") == sha256_file(tmp_path / "b")


def test_a_round_left_out_is_marked_for_all_contenders_and_kept() -> None:
    samples = make_samples(BLOCKS, left_out={0})
    first = samples[samples["round"] == 0]
    assert first["status"].tolist() == ["warmup", *["disturbed"] * 3, "warmup", "disturbed"]
    assert set(counted(samples)["round"]) == {1}
    assert len(samples) == 9


def test_only_latency_rounds_are_left_out() -> None:
    window = replace(BLOCKS[0], scenario="throughput", streams=2, stream=1)
    samples = make_samples([window], left_out={0})
    assert set(samples["status"]) == {"warmup", "counted"}
    assert samples[["streams", "stream"]].drop_duplicates().to_numpy().tolist() == [[2, 1]]


def test_a_window_that_was_disturbed_is_marked() -> None:
    window = replace(BLOCKS[0], scenario="throughput", disturbed=True)
    assert set(make_samples([window])["status"]) == {"warmup", "disturbed"}


def test_processor_time_that_was_not_measured_is_absent() -> None:
    rows = np.array([(1, 0, 10, -1), (1, 10, 10, 0)], dtype=np.int64)
    samples = make_samples([replace(BLOCKS[0], rows=rows)])
    assert samples["cpu_ns"].isna().tolist() == [True, False]


def test_scenarios_are_read_one_at_a_time(tmp_path: Path) -> None:
    window = replace(BLOCKS[0], scenario="throughput")
    write_samples(tmp_path / "s.parquet", make_samples([*BLOCKS, window]))
    latency = read_samples(tmp_path / "s.parquet")
    pd.testing.assert_frame_equal(latency, make_samples(BLOCKS))
    assert len(read_samples(tmp_path / "s.parquet", scenario="throughput")) == 4
    assert len(read_samples(tmp_path / "s.parquet", scenario=None)) == 13
