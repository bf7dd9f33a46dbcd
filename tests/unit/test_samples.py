"""samples.parquet: columns, types, bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from trtproof.artifacts import sha256_file
from trtproof.measure.samples import (
    ORDER,
    Block,
    counted,
    make_samples,
    medians_by_round,
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


def test_medians_are_per_round_and_contender() -> None:
    medians = medians_by_round(make_samples(BLOCKS), "torch-fp32", 1)
    assert medians.to_dict() == {0: 20.0, 1: 45.0}
