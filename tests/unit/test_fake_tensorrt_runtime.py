"""The fake TensorRT runtime is strict: each of its rules, broken once.

A fake that takes everything would prove nothing of the code that runs on it.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fake_cuda.gpu import current_machine
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import VERSIONS
from tests.fakes import make_feeds
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

SHAPE = (2, 1, 6, 6)
IN_BYTES = 2 * 36 * 4
OUT_BYTES = 2 * 5 * 4


@pytest.fixture(params=VERSIONS)
def host(request: pytest.FixtureRequest) -> Host:
    return Host(version=request.param)


class Bench:
    """The module, a logger that keeps lines, and what a test needs to run an engine by hand."""

    def __init__(self, trt: Any, host: Host, folder: Path) -> None:
        self.trt = trt
        self.host = host
        self.folder = folder
        self.machine = current_machine()
        self.lines: list[str] = []
        lines = self.lines

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                lines.append(f"{severity.name}: {msg}")

        self.logger = Logger()
        self.runtime = trt.Runtime(self.logger)
        self.engine: Any = None
        """The engine that was loaded last: contexts do not keep theirs alive."""

    def load(self, **header: Any) -> Any:
        folder = write_variant(self.folder, host=self.host, **header)
        self.engine = self.runtime.deserialize_cuda_engine((folder / PLAN_FILE).read_bytes())
        return self.engine

    def stream(self) -> int:
        from tests.fake_cuda.gpu import Stream

        return int(self.machine.add("streams", Stream(0)))

    def memory(self, size: int, kind: str = "device") -> int:
        return self.machine.allocate(kind, size)

    def ready(self, engine: Any) -> tuple[Any, int, int]:
        """Return a context that may be enqueued, and the addresses of its tensors."""
        context = engine.create_execution_context()
        source, target = self.memory(IN_BYTES), self.memory(OUT_BYTES)
        assert context.set_input_shape("input", SHAPE)
        assert context.set_tensor_address("input", source)
        assert context.set_tensor_address("logits", target)
        return context, source, target

    def refused(self, answer: Any, words: str) -> None:
        assert not answer
        assert words in self.lines[-1], self.lines
        assert self.lines[-1].startswith("ERROR")


@pytest.fixture
def bench(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(use_fake(monkeypatch, host), host, tmp_path)


def test_a_legal_run_answers_what_onnx_runtime_answers(bench: Bench) -> None:
    context, source, target = bench.ready(bench.load())
    stream, feeds = bench.stream(), make_feeds(2)
    bench.machine.view("device", source, IN_BYTES)[:] = feeds["input"].reshape(-1).view(np.uint8)
    assert context.infer_shapes() == []
    assert context.execute_async_v3(stream)
    bench.machine.run_all()
    got = bench.machine.view("device", target, OUT_BYTES).view(np.float32)
    assert got.tobytes() == expect(bench.folder, feeds)["logits"].tobytes()


def test_a_misspelt_or_missing_member_fails(bench: Bench) -> None:
    engine = bench.load()
    context = engine.create_execution_context()
    with pytest.raises(AttributeError):
        context.set_input_shap("input", SHAPE)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        context.execute_async_v3()
    with pytest.raises(TypeError, match="incompatible function arguments"):
        context.set_tensor_address("input", pointer=256)
    with pytest.raises(AttributeError, match="no setter"):
        engine.num_layers = 3
    if bench.host.version.startswith("11"):
        with pytest.raises(AttributeError):
            _ = engine.device_memory_size
    else:
        assert engine.device_memory_size == SCRATCH_BYTES


def test_a_shape_outside_the_profile_is_refused(bench: Bench) -> None:
    context = bench.load().create_execution_context()
    answer = context.set_input_shape("input", (9, 1, 6, 6))
    bench.refused(answer, "maximum dimension in profile is 8")


@pytest.mark.parametrize("shape", [(2, 2, 6, 6), (2, 1, 6)])
def test_a_shape_of_another_network_is_refused(bench: Bench, shape: tuple[int, ...]) -> None:
    context = bench.load().create_execution_context()
    bench.refused(context.set_input_shape("input", shape), "static dimension mismatch")


def test_only_inputs_have_shapes_to_set(bench: Bench) -> None:
    context = bench.load().create_execution_context()
    bench.refused(context.set_input_shape("logits", (2, 5)), "no input is called logits")


def test_an_unset_shape_is_named_and_cannot_be_run(bench: Bench) -> None:
    context = bench.load().create_execution_context()
    assert context.infer_shapes() == ["input"]
    for name in ("input", "logits"):
        assert context.set_tensor_address(name, bench.memory(1000))
    bench.refused(context.execute_async_v3(bench.stream()), "not set: ['input']")


def test_an_unset_address_cannot_be_run(bench: Bench) -> None:
    context = bench.load().create_execution_context()
    context.set_input_shape("input", SHAPE)
    answer = context.execute_async_v3(bench.stream())
    bench.refused(answer, "not set: ['input', 'logits']")


def test_addresses_are_of_tensors_aligned_and_not_null(bench: Bench) -> None:
    context = bench.load().create_execution_context()
    bench.refused(context.set_tensor_address("nothing", 256), "no tensor is called nothing")
    bench.refused(context.set_tensor_address("input", 264), "not aligned")
    bench.refused(context.set_tensor_address("input", 0), "null")


def test_memory_that_is_too_small_or_gone_cannot_be_run(bench: Bench) -> None:
    context, source, _ = bench.ready(bench.load())
    context.set_input_shape("input", (8, 1, 6, 6))
    bench.refused(context.execute_async_v3(bench.stream()), "the memory of input is not there")
    context.set_input_shape("input", SHAPE)
    bench.machine.free("device", source)
    bench.refused(context.execute_async_v3(bench.stream()), "the memory of input is not there")


def test_host_memory_is_no_place_for_a_tensor_on_the_gpu(bench: Bench) -> None:
    context, _, _ = bench.ready(bench.load())
    context.set_tensor_address("input", bench.memory(IN_BYTES, "pinned"))
    bench.refused(context.execute_async_v3(bench.stream()), "the memory of input is not there")


def test_the_default_stream_and_a_made_up_one_are_refused(bench: Bench) -> None:
    context, _, _ = bench.ready(bench.load())
    bench.refused(context.execute_async_v3(0), "default stream")
    bench.refused(context.execute_async_v3(77), "the stream does not exist")


def test_a_profile_must_exist_and_be_there_before_the_launch(bench: Bench) -> None:
    context, _, _ = bench.ready(bench.load(profiles=TWO_PROFILES))
    stream = bench.stream()
    bench.refused(context.set_optimization_profile_async(2, stream), "out of range")
    assert context.set_optimization_profile_async(1, stream)
    assert context.infer_shapes() == ["input"], "choosing a profile forgets the shapes"
    context.set_input_shape("input", SHAPE)
    bench.refused(context.execute_async_v3(bench.stream()), "still being switched")
    bench.machine.run_all()
    assert context.execute_async_v3(stream)
    answer = context.set_optimization_profile_async(0, stream)
    bench.refused(answer, "the context is still running")


def test_a_context_without_memory_of_its_own_needs_enough_of_ours(bench: Bench) -> None:
    engine = bench.load()
    managed = bench.trt.ExecutionContextAllocationStrategy.USER_MANAGED
    context, stream = engine.create_execution_context(managed), bench.stream()
    bench.refused(context.update_device_memory_size_for_shapes(), "not set: ['input']")
    context.set_input_shape("input", SHAPE)
    context.set_tensor_address("input", bench.memory(IN_BYTES))
    context.set_tensor_address("logits", bench.memory(OUT_BYTES))
    bench.refused(context.execute_async_v3(stream), "0 bytes of device memory")
    size = context.update_device_memory_size_for_shapes()
    context.set_device_memory(bench.memory(size) + 8, size)
    assert "not aligned" in bench.lines[-1]
    block = bench.memory(size)
    context.set_device_memory(block, size)
    assert context.execute_async_v3(stream)
    other = engine.create_execution_context(managed)
    other.set_device_memory(block, size)
    bench.refused(context.execute_async_v3(stream), "two contexts share")
    del other
    gc.collect()
    bench.machine.free("device", block)
    bench.refused(context.execute_async_v3(stream), "device memory is not there")


def test_memory_is_not_given_to_a_context_that_has_its_own(bench: Bench) -> None:
    context = bench.load().create_execution_context()
    context.set_device_memory(bench.memory(SCRATCH_BYTES), SCRATCH_BYTES)
    assert "not user managed" in bench.lines[-1]


def test_the_weights_budget_is_set_before_contexts_and_within_bounds(bench: Bench) -> None:
    engine = bench.load(weight_streaming=True)
    everything = engine.weight_streaming_budget_v2
    assert everything == engine.streamable_weights_size
    engine.weight_streaming_budget_v2 = everything + 1
    assert engine.weight_streaming_budget_v2 == everything
    context = engine.create_execution_context()
    engine.weight_streaming_budget_v2 = 0
    assert engine.weight_streaming_budget_v2 == everything
    assert "an execution context is active" in bench.lines[-1]
    del context


def test_an_output_of_unknown_shape_needs_an_allocator_and_no_capture(bench: Bench) -> None:
    profiles = [{"x": [[1], [8], [64]]}]
    engine = bench.load(model=make_nonzero(), signature=MEAN, profiles=profiles)
    context, stream = engine.create_execution_context(), bench.stream()
    context.set_input_shape("x", (4,))
    context.set_tensor_address("x", bench.memory(16))
    assert context.get_tensor_shape("y") == (1, -1)
    bench.refused(context.execute_async_v3(stream), "not set: ['y']")
    asked: list[int] = []

    class Allocator(bench.trt.IOutputAllocator):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            bench.trt.IOutputAllocator.__init__(self)

        def reallocate_output_async(
            self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:
            asked.append(size)
            return 0

        def notify_shape(self, tensor_name: str, shape: Any) -> None: ...

    allocator = Allocator()
    bench.refused(context.set_output_allocator("x", allocator), "no output is called x")
    assert context.set_output_allocator("y", allocator)
    bench.refused(context.execute_async_v3(stream), "no memory for output y")
    assert asked[0] > 0
    bench.machine.find("streams", stream).captured = []
    bench.refused(context.execute_async_v3(stream), "cannot be captured")


def test_an_allocator_that_tensorrt_would_never_call_is_refused(bench: Bench) -> None:
    with pytest.raises(TypeError, match="TensorRT calls no IOutputAllocator"):
        type("Wrong", (bench.trt.IOutputAllocator,), {"reallocate": lambda self: None})


def test_a_shape_input_lives_on_the_host_and_is_needed_for_shapes(bench: Bench) -> None:
    profiles = [{"to": [[1, 1], [3, 4], [12, 12]]}]
    engine = bench.load(model=make_reshape(), signature=RESHAPED, profiles=profiles)
    assert engine.get_tensor_location("to") == bench.trt.TensorLocation.HOST
    assert engine.get_tensor_profile_values(0, "to") == profiles[0]["to"]
    with pytest.raises(TypeError):
        engine.get_tensor_profile_values("to", 0)
    context = engine.create_execution_context()
    assert context.infer_shapes() == ["to"]
    address = bench.memory(16, "pinned")
    bench.machine.view("pinned", address, 16).view(np.int64)[:] = (2, 6)
    assert context.set_tensor_address("to", address)
    assert context.infer_shapes() == []
    assert context.get_tensor_shape("y") == (2, 6)


def test_a_profile_shape_of_an_output_cannot_be_read(bench: Bench) -> None:
    engine = bench.load()
    assert engine.get_tensor_profile_shape("input", 0)[2] == (8, 1, 6, 6)
    with pytest.raises(ValueError, match="__len__"):
        engine.get_tensor_profile_shape("logits", 0)


# plans


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"version": "10.3.0.26"}, "not compatible with this version of TensorRT"),
        ({"compute_capability": "8.9"}, "generated on an incompatible device"),
        ({"lean_runtime": True, "version_compatible": True}, "engineHostCodeAllowed is false"),
    ],
)
def test_a_plan_of_another_machine_is_refused(
    bench: Bench, header: dict[str, Any], words: str
) -> None:
    bench.refused(bench.load(**header), words)


@pytest.mark.parametrize(
    ("data", "words"), [(b"", "empty memory buffer"), (b"junk" * 9, "kEXPECTED_MAGIC_TAG")]
)
def test_bytes_that_are_no_plan_are_refused(bench: Bench, data: bytes, words: str) -> None:
    bench.refused(bench.runtime.deserialize_cuda_engine(data), words)


def test_a_plan_of_a_sibling_gpu_is_loaded_with_a_warning(bench: Bench) -> None:
    assert bench.load(gpu="NVIDIA Fake 9001") is not None
    assert bench.lines[-1].startswith("WARNING: Using an engine plan file across different models")


def test_a_second_logger_is_warned_about(bench: Bench) -> None:
    other = Bench(bench.trt, bench.host, bench.folder)
    assert "differs from one already registered" in bench.lines[-1]
    assert not other.lines


# the order of destruction


def test_an_engine_that_goes_before_its_context_is_noticed(bench: Bench) -> None:
    engine = bench.load()
    context = engine.create_execution_context()
    del engine, bench.engine
    gc.collect()
    del context
    gc.collect()
    assert bench.trt._rules == ["the engine was destroyed before its context"]


def test_a_runtime_that_goes_before_its_engine_is_noticed(bench: Bench) -> None:
    engine = bench.load()
    del bench.runtime
    gc.collect()
    del engine, bench.engine
    gc.collect()
    assert bench.trt._rules == ["the runtime was destroyed before its engine"]


def test_memory_and_graphs_that_go_at_the_wrong_time_are_noticed(bench: Bench) -> None:
    engine = bench.load()
    managed = bench.trt.ExecutionContextAllocationStrategy.USER_MANAGED
    context, block = engine.create_execution_context(managed), bench.memory(SCRATCH_BYTES)
    context.set_device_memory(block, SCRATCH_BYTES)
    context.set_input_shape("input", SHAPE)
    context.set_tensor_address("input", bench.memory(IN_BYTES))
    context.set_tensor_address("logits", bench.memory(OUT_BYTES))
    stream = bench.machine.find("streams", bench.stream())
    stream.captured = []
    number = next(iter(bench.machine.live["streams"]))
    assert context.execute_async_v3(number)
    bench.machine.add("executables", stream.captured)
    stream.captured = None
    bench.machine.free("device", block)
    del context
    gc.collect()
    assert bench.trt._rules == [
        "a graph outlived the context that it was captured from",
        "the context's memory was freed before the context",
    ]


# the inspector


@pytest.mark.parametrize("verbosity", ["DETAILED", "LAYER_NAMES_ONLY"])
def test_the_inspector_speaks_the_words_of_its_major(bench: Bench, verbosity: str) -> None:
    from trtproof.backends.tensorrt.inspect import read_inspection

    engine = bench.load(verbosity=verbosity)
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(bench.trt.LayerInformationFormat.JSON)
    assert ("I/O Tensors" in text) == bench.host.version.startswith("11")
    found = read_inspection(text)
    assert list(found.io_names) == ["input", "logits"]
    assert [layer.name for layer in found.layers][:2] == ["stem/Conv", "stem/Relu"]
    detailed = verbosity == "DETAILED"
    assert (found.layers[0].outputs != ()) == detailed
    if detailed:
        assert found.layers[-1].outputs[0].dtype == "float32"
