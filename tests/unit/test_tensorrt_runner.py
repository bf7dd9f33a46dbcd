"""TensorRT engines on the strict fake of both majors: answers are ONNX Runtime's, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fake_cuda.gpu import current_machine
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import VERSIONS
from tests.fakes import SIGNATURE, make_feeds
from tests.tensorrt_builds import use_fake
from tests.tensorrt_plans import (
    MEAN,
    PLAN_FILE,
    RESHAPED,
    SCRATCH_BYTES,
    TWO_PROFILES,
    expect,
    make_nonzero,
    make_reshape,
    write_variant,
)

from trtproof.backends.base import Runner, RunOptions, run_once
from trtproof.backends.tensorrt import BACKEND
from trtproof.errors import BackendError, ConfigError, DeviceMemoryError, HardwareError
from trtproof.tensor import Feeds, Signature, TensorSpec


@pytest.fixture(params=VERSIONS)
def host(request: pytest.FixtureRequest) -> Host:
    return Host(version=request.param)


@pytest.fixture
def trt(host: Host, monkeypatch: pytest.MonkeyPatch) -> Any:
    return use_fake(monkeypatch, host)


@pytest.fixture
def stack(trt: Any) -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened
    assert trt._rules == []
    assert not any(current_machine().live.values()), "something was not given back"


@pytest.fixture
def refusing(trt: Any) -> Iterator[ExitStack]:
    """For what is refused while it is opened: its traceback holds the objects in no order."""
    with ExitStack() as opened:
        yield opened
    assert not any(current_machine().live.values()), "something was not given back"


def open_runner(stack: ExitStack, folder: Path, **options: Any) -> Any:
    run_options = RunOptions(threads=1, device="cuda", **options)
    return stack.enter_context(BACKEND.open(folder, PLAN_FILE, run_options))


def check(runner: Runner, folder: Path, feeds: Feeds, slot: int = 0) -> None:
    wanted, got = expect(folder, feeds), run_once(runner, feeds, slot)
    assert list(got) == list(wanted)
    for name, value in wanted.items():
        assert got[name].tobytes() == value.tobytes()
        assert got[name].shape == value.shape


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("context_memory", ["static", "user_managed"])
def test_answers_are_onnx_runtimes_for_every_shape_and_slot(
    stack: ExitStack, tmp_path: Path, host: Host, cuda_graph: bool, context_memory: str
) -> None:
    folder = write_variant(tmp_path, host=host)
    opened = open_runner(stack, folder, cuda_graph=cuda_graph, context_memory=context_memory)
    runner = opened.runner(0)
    for number, count in enumerate((1, 8, 4, 4, 8, 1)):
        check(runner, folder, make_feeds(count, seed=number), number % 2)
    assert opened.facts.get("cuda_graph_captured", 0) == int(cuda_graph)


def test_slots_of_unlike_shapes_may_alternate(stack: ExitStack, tmp_path: Path, host: Host) -> None:
    folder = write_variant(tmp_path, host=host)
    runner = open_runner(stack, folder).runner(0)
    first, second = make_feeds(2, seed=1), make_feeds(5, seed=2)
    runner.stage(0, first)
    runner.stage(1, second)
    for _ in range(2):
        for slot in (0, 1):
            runner.upload(slot)
            runner.launch(slot)
            runner.download(slot)
    runner.wait()
    for slot, feeds in enumerate((first, second)):
        np.testing.assert_array_equal(runner.read(slot)["logits"], expect(folder, feeds)["logits"])


def test_each_runner_has_a_context_and_a_stream_of_its_own(
    stack: ExitStack, tmp_path: Path, host: Host
) -> None:
    folder = write_variant(tmp_path, host=host)
    opened = open_runner(stack, folder, context_memory="user_managed", cuda_graph=True)
    runners = [opened.runner(stream) for stream in range(3)]
    for number, runner in enumerate(runners):
        runner.stage(0, make_feeds(number + 1, seed=number))
    for runner in runners:
        runner.upload(0)
        runner.launch(0)
        runner.download(0)
    for number, runner in enumerate(runners):
        runner.wait()
        wanted = expect(folder, make_feeds(number + 1, seed=number))
        np.testing.assert_array_equal(runner.read(0)["logits"], wanted["logits"])
    assert len({id(runner.context) for runner in runners}) == 3
    assert len({runner.stream.address for runner in runners}) == 3


# profiles


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_the_profile_tuned_for_the_nearest_shape_is_taken(
    stack: ExitStack, tmp_path: Path, host: Host, count: int
) -> None:
    folder = write_variant(tmp_path, host=host, profiles=TWO_PROFILES)
    opened = open_runner(stack, folder, cuda_graph=True)
    check(opened.runner(0), folder, make_feeds(count))
    assert opened.facts["profile"] == (0 if count <= 2 else 1)
    assert opened.facts["profiles_count"] == 2


def test_requests_may_switch_between_profiles(stack: ExitStack, tmp_path: Path, host: Host) -> None:
    folder = write_variant(tmp_path, host=host, profiles=TWO_PROFILES)
    runner = open_runner(stack, folder, context_memory="user_managed").runner(0)
    for number, count in enumerate((1, 16, 2, 9, 1)):
        check(runner, folder, make_feeds(count, seed=number), number % 2)


def test_a_shape_in_no_profile_is_refused_in_tensorrts_words(
    stack: ExitStack, tmp_path: Path, host: Host
) -> None:
    folder = write_variant(tmp_path, host=host, profiles=TWO_PROFILES)
    runner = open_runner(stack, folder).runner(0)
    with pytest.raises(BackendError) as caught:
        runner.stage(0, make_feeds(17))
    text = str(caught.value)
    assert "input 'input' of shape [17, 1, 6, 6]" in text
    assert "profile 0 takes [1, 1, 6, 6] to [2, 1, 6, 6]" in text
    assert "profile 1 takes [2, 1, 6, 6] to [16, 1, 6, 6]" in text
    assert "Supplied binding dimension exceed min ~ max range" in text
    assert "build.profiles" in text
    check(runner, folder, make_feeds(16))


# inputs that hold shapes, outputs whose shape depends on the data


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_an_input_that_holds_a_shape_lives_on_the_host(
    stack: ExitStack, tmp_path: Path, host: Host, cuda_graph: bool
) -> None:
    profiles = [{"to": [[1, 1], [3, 4], [12, 12]]}]
    folder = write_variant(
        tmp_path, make_reshape(), signature=RESHAPED, host=host, profiles=profiles
    )
    runner = open_runner(stack, folder, cuda_graph=cuda_graph).runner(0)
    values = np.arange(12, dtype=np.float32)
    for to in ((3, 4), (4, 3), (2, 6), (3, 4)):
        check(runner, folder, {"x": values, "to": np.array(to, np.int64)})


def test_an_output_may_have_a_shape_that_only_the_data_tell(
    stack: ExitStack, tmp_path: Path, host: Host
) -> None:
    profiles = [{"x": [[1], [8], [64]]}]
    folder = write_variant(tmp_path, make_nonzero(), signature=MEAN, host=host, profiles=profiles)
    runner = open_runner(stack, folder).runner(0)
    for number, count in enumerate((4, 64, 9, 1)):
        values = (np.arange(count) % 3 - 1).astype(np.float32)
        check(runner, folder, {"x": values}, number % 2)
    check(runner, folder, {"x": np.zeros(5, np.float32)})


def test_an_output_that_gets_no_memory_says_so(
    stack: ExitStack, tmp_path: Path, host: Host
) -> None:
    profiles = [{"x": [[1], [8], [64]]}]
    folder = write_variant(tmp_path, make_nonzero(), signature=MEAN, host=host, profiles=profiles)
    runner = open_runner(stack, folder).runner(0)
    runner.stage(0, {"x": np.ones(8, np.float32)})
    runner.upload(0)
    current_machine().fail("cudaMalloc", "cudaErrorMemoryAllocation")
    with pytest.raises(DeviceMemoryError, match="64 bytes"):
        runner.launch(0)


# graphs


@pytest.mark.parametrize(
    ("faults", "header", "options", "reason"),
    [
        ({"capture_refused": "yes"}, {}, {}, "this layer cannot be captured"),
        (
            {},
            {"weight_streaming": True},
            {"weight_streaming_mib": 0},
            "weights are streamed from the host",
        ),
    ],
)
def test_a_graph_that_cannot_be_is_recorded_as_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faults: dict[str, str],
    header: dict[str, Any],
    options: dict[str, Any],
    reason: str,
) -> None:
    use_fake(monkeypatch, Host(faults=faults))
    folder = write_variant(tmp_path, **header)
    with ExitStack() as stack:
        opened = open_runner(stack, folder, cuda_graph=True, **options)
        check(opened.runner(0), folder, make_feeds(3))
        assert opened.facts["cuda_graph_captured"] == 0
        assert reason in opened.facts["cuda_graph_failure"]


def test_a_data_dependent_output_cannot_be_captured(
    stack: ExitStack, tmp_path: Path, host: Host
) -> None:
    profiles = [{"x": [[1], [8], [64]]}]
    folder = write_variant(tmp_path, make_nonzero(), signature=MEAN, host=host, profiles=profiles)
    opened = open_runner(stack, folder, cuda_graph=True)
    check(opened.runner(0), folder, {"x": np.ones(3, np.float32)})
    assert opened.facts["cuda_graph_captured"] == 0
    assert opened.facts["cuda_graph_failure"] == "the shape of output 'y' depends on the data"


def test_a_graph_of_one_slot_survives_more_memory_for_the_other(
    stack: ExitStack, tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_variant(tmp_path, host=host)
    opened = open_runner(stack, folder, cuda_graph=True, context_memory="user_managed")
    runner = opened.runner(0)
    runner.stage(0, make_feeds(1))
    kind = type(runner.context)
    monkeypatch.setattr(
        kind.__bases__[0], "update_device_memory_size_for_shapes", lambda _: 2 * SCRATCH_BYTES
    )
    runner.stage(1, make_feeds(8))
    for slot in (0, 1):
        runner.upload(slot)
        runner.launch(slot)
        runner.download(slot)
    runner.wait()
    wanted = expect(folder, make_feeds(1))["logits"]
    np.testing.assert_array_equal(runner.read(0)["logits"], wanted)
    assert opened.facts["scratch_bytes"] == 2 * SCRATCH_BYTES


# memory and weights


def test_memory_that_is_used_is_recorded(stack: ExitStack, tmp_path: Path, host: Host) -> None:
    folder = write_variant(tmp_path, host=host)
    opened = open_runner(stack, folder, context_memory="user_managed")
    runner = opened.runner(0)
    run_once(runner, make_feeds(2))
    facts = opened.facts
    assert facts["scratch_bytes"] == facts["activations_bytes"] == SCRATCH_BYTES
    assert facts["context_memory"] == "user_managed"
    assert facts["tensorrt"] == host.version
    assert facts["waiting"] == "spin"
    assert facts["weights_bytes"] > 0


def test_weights_are_streamed_within_a_budget(stack: ExitStack, tmp_path: Path, host: Host) -> None:
    folder = write_variant(tmp_path, host=host, weight_streaming=True)
    opened = open_runner(stack, folder, weight_streaming_mib=0)
    check(opened.runner(0), folder, make_feeds(2))
    assert opened.facts["weights_budget_bytes"] == 0
    assert opened.facts["weights_streamed_bytes"] == opened.facts["weights_bytes"]


def test_a_plan_whose_weights_cannot_be_streamed_is_refused(
    refusing: ExitStack, tmp_path: Path, host: Host
) -> None:
    folder = write_variant(tmp_path, host=host)
    with pytest.raises(ConfigError, match=r"build\.options\.weight_streaming"):
        open_runner(refusing, folder, weight_streaming_mib=1)


# what is refused


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"version": "10.3.0.26"}, "expecting library version"),
        ({"compute_capability": "8.9"}, "expecting compute 9.0 got compute 8.9"),
    ],
)
def test_a_plan_of_another_machine_is_refused_with_the_repair(
    refusing: ExitStack, tmp_path: Path, host: Host, header: dict[str, Any], words: str
) -> None:
    folder = write_variant(tmp_path / "tensorrt-fp16", host=host, **header)
    with pytest.raises(BackendError, match=words) as caught:
        open_runner(refusing, folder)
    assert "dvc repro -f build@" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"garbage", None])
def test_a_broken_plan_is_refused_with_the_repair(
    refusing: ExitStack, tmp_path: Path, host: Host, data: bytes | None
) -> None:
    folder = write_variant(tmp_path, host=host)
    path = folder / PLAN_FILE
    path.write_bytes(path.read_bytes()[3:] if data is None else data)
    with pytest.raises(BackendError, match="dvc repro -f build@"):
        open_runner(refusing, folder)


def test_a_plan_that_brings_its_own_runtime_is_loaded(
    stack: ExitStack, tmp_path: Path, host: Host
) -> None:
    folder = write_variant(
        tmp_path, host=host, version="10.13.0.1", version_compatible=True, lean_runtime=True
    )
    check(open_runner(stack, folder).runner(0), folder, make_feeds(1))


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (
            Signature((TensorSpec("other", "float32", ("batch", 1, 6, 6)),), SIGNATURE.outputs),
            "the engine's inputs are input, the signature's other",
        ),
        (
            Signature(SIGNATURE.inputs, (TensorSpec("probs", "float32", ("batch", 5)),)),
            "the engine's outputs are logits, the signature's probs",
        ),
        (
            Signature((TensorSpec("input", "float16", ("batch", 1, 6, 6)),), SIGNATURE.outputs),
            "'input' is FLOAT in the engine and float16 in the signature",
        ),
    ],
)
def test_a_plan_of_another_model_is_refused(
    refusing: ExitStack, tmp_path: Path, host: Host, signature: Signature, words: str
) -> None:
    folder = write_variant(tmp_path, host=host, signature=signature)
    with pytest.raises(BackendError, match=words):
        open_runner(refusing, folder)


def test_a_tensor_that_is_not_laid_out_row_by_row_is_refused(
    refusing: ExitStack, tmp_path: Path, host: Host
) -> None:
    folder = write_variant(tmp_path, host=host, formats={"input": "CHW32"})
    with pytest.raises(BackendError, match="'input' has the format CHW32"):
        open_runner(refusing, folder)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("runtime_nullptr", HardwareError, "factory function returned nullptr"),
        ("runtime_out_of_memory", BackendError, "Out of memory"),
        ("context_null", BackendError, "making an execution context"),
        ("enqueue_refused", BackendError, "a layer said no"),
    ],
)
def test_what_tensorrt_refuses_is_told_in_its_words_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    kind: type[Exception],
    words: str,
) -> None:
    use_fake(monkeypatch, Host(faults={fault: "a layer said no"}))
    folder = write_variant(tmp_path)

    def run() -> None:
        with ExitStack() as stack:
            run_once(open_runner(stack, folder).runner(0), make_feeds(2))

    with pytest.raises(kind, match=words):
        run()
    assert not any(current_machine().live.values())


def test_an_engine_that_was_closed_gives_no_runner(trt: Any, tmp_path: Path, host: Host) -> None:
    folder = write_variant(tmp_path, host=host)
    with ExitStack() as stack:
        opened = open_runner(stack, folder)
    with pytest.raises(BackendError, match="closed"):
        opened.runner(0)


def test_parts_are_those_of_the_gpu(stack: ExitStack, tmp_path: Path, host: Host) -> None:
    folder = write_variant(tmp_path, host=host)
    runner = open_runner(stack, folder, parts=True, cuda_graph=True).runner(0)
    run_once(runner, make_feeds(2))
    parts = runner.times_ns()
    assert parts.device_ns == 50_000
    assert parts.h2d_ns is not None
    assert parts.enqueue_ns is not None
