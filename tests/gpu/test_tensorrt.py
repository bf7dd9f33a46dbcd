"""The product's own build, load and run on a real TensorRT, against ONNX Runtime on the CPU.

Needs an NVIDIA GPU, TensorRT with its libraries, cuda-python. Run first on a new machine:
`pytest -m "gpu and tensorrt" tests/gpu/test_tensorrt.py`. The same file runs on the strict fake in
tests/unit/test_tensorrt_host_tests.py, so that what fails here is TensorRT's answer and not a slip
of the tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.fakes import SIGNATURE, make_feeds, write_model
from tests.tensorrt_plans import MEAN, make_nonzero

from trtproof.backends.base import BuildSpec, Runner, RunOptions, run_once
from trtproof.backends.cuda.device import open_device
from trtproof.backends.onnxruntime import open_graph
from trtproof.backends.tensorrt import BACKEND, library
from trtproof.errors import BackendError
from trtproof.models.base import ModelFiles
from trtproof.precision import PASSES
from trtproof.sidecar import EngineRecord, find_differences
from trtproof.tensor import Feeds, Signature

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.tensorrt,
    pytest.mark.skipif(find_spec("tensorrt") is None, reason="TensorRT is not installed"),
]

ONE_PROFILE = ({"batch": (1, 4, 8)},)
TWO_PROFILES = ({"batch": (1, 1, 2)}, {"batch": (4, 16, 16)})
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}
COUNTS = (1, 8, 3, 3, 8, 1)


@dataclass(frozen=True)
class Built:
    """A plan in a variant's folder, and the float32 model that it must answer like."""

    folder: Path
    plan: str
    facts: Mapping[str, Any]
    reference: Path

    def expect(self, feeds: Feeds) -> Feeds:
        return open_graph(self.reference, threads=1).run(feeds)


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    trt = library.load()
    with open_device() as device:
        return {
            "bindings": library.version(trt),
            "libraries": library.version(trt),
            "device": "cuda",
            "gpu": device.name,
            "compute_capability": device.compute_capability,
            "memory_gib": round(device.memory().total_bytes / 2**30),
        }


class Workshop:
    """Builds each plan once and keeps it for all tests."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._folder = folder
        self._facts = facts
        self._built: dict[str, Built] = {}

    def build(
        self,
        name: str,
        *,
        precision: str = "fp32",
        profiles: Any = ONE_PROFILE,
        **options: Any,
    ) -> Built:
        if name not in self._built:
            self._built[name] = self._make(name, precision, profiles, options)
        return self._built[name]

    def _make(self, name: str, precision: str, profiles: Any, options: Any) -> Built:
        folder = self._folder / name
        signature: Signature = SIGNATURE
        if name == "nonzero":
            signature = MEAN
            (folder / "model").mkdir(parents=True)
            onnx.save(make_nonzero(), folder / "model" / "model.onnx")
        else:
            write_model(folder / "model")
        source = folder / "model"
        if precision != "fp32":
            source = folder / "converted"
            source.mkdir()
            PASSES.load(precision)(folder / "model" / "model.onnx", source / "model.onnx", None, {})
        out = folder / "variant"
        out.mkdir()
        spec = BuildSpec(
            precision=precision,
            tf32=False,
            workspace_mib=256,
            profiles=profiles,
            options={"timing_cache": False} | options,
            facts=self._facts,
            model_config={},
        )
        record = BACKEND.compile(ModelFiles(source, signature), spec, out)
        text = json.dumps(signature.to_json())
        (out / "signature.json").write_text(text, encoding="utf-8")
        return Built(out, record.plan, record.facts, folder / "model" / "model.onnx")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, facts: dict[str, Any]) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("plans"), facts)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def open_built(stack: ExitStack, built: Built, **options: Any) -> Any:
    run_options = RunOptions(threads=1, device="cuda", **options)
    return stack.enter_context(BACKEND.open(built.folder, built.plan, run_options))


def check(
    runner: Runner, built: Built, feeds: Feeds, *, slot: int = 0, precision: str = "fp32"
) -> None:
    wanted, got = built.expect(feeds), run_once(runner, feeds, slot)
    assert list(got) == list(wanted)
    for name, value in wanted.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, atol=TOLERANCE[precision], err_msg=name)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("context_memory", ["static", "user_managed"])
def test_the_engine_answers_like_the_model(
    stack: ExitStack, workshop: Workshop, precision: str, cuda_graph: bool, context_memory: str
) -> None:
    built = workshop.build(precision, precision=precision)
    opened = open_built(stack, built, cuda_graph=cuda_graph, context_memory=context_memory)
    runner = opened.runner(0)
    for number, count in enumerate(COUNTS):
        feeds = make_feeds(count, seed=number)
        check(runner, built, feeds, slot=number % 2, precision=precision)
    if cuda_graph:
        assert opened.facts["cuda_graph_captured"] == 1, opened.facts["cuda_graph_failure"]


def test_a_replayed_graph_answers_new_inputs_as_a_plain_launch_does(
    stack: ExitStack, workshop: Workshop
) -> None:
    built = workshop.build("fp32")
    plain = open_built(stack, built).runner(0)
    replayed = open_built(stack, built, cuda_graph=True).runner(0)
    for seed in range(20):
        feeds = make_feeds(4, seed=seed)
        wanted, got = run_once(plain, feeds), run_once(replayed, feeds)
        np.testing.assert_allclose(got["logits"], wanted["logits"], rtol=1e-5, atol=1e-6)


def test_streams_do_not_mix(stack: ExitStack, workshop: Workshop) -> None:
    built = workshop.build("fp32")
    opened = open_built(stack, built, cuda_graph=True)
    runners = [opened.runner(number) for number in range(4)]
    wanted = [built.expect(make_feeds(number + 1, seed=number)) for number in range(4)]

    def answer(number: int) -> bool:
        feeds = make_feeds(number + 1, seed=number)
        answers = [run_once(runners[number], feeds)["logits"] for _ in range(50)]
        return all(np.allclose(got, wanted[number]["logits"], atol=1e-4) for got in answers)

    with ThreadPoolExecutor(max_workers=4) as pool:
        assert all(pool.map(answer, range(4)))


def test_both_profiles_are_used(stack: ExitStack, workshop: Workshop) -> None:
    built = workshop.build("profiles", profiles=TWO_PROFILES)
    opened = open_built(stack, built, cuda_graph=True)
    runner = opened.runner(0)
    used = []
    for number, count in enumerate((1, 16, 2, 9, 1)):
        check(runner, built, make_feeds(count, seed=number), slot=number % 2)
        used.append(opened.facts["profile"])
    assert used == [0, 1, 0, 1, 0]


def test_a_shape_in_no_profile_is_refused_in_tensorrts_words(
    stack: ExitStack, workshop: Workshop
) -> None:
    built = workshop.build("profiles", profiles=TWO_PROFILES)
    runner = open_built(stack, built).runner(0)
    with pytest.raises(BackendError, match=r"profile 1 takes \[4, 1, 6, 6\]") as caught:
        runner.stage(0, make_feeds(17))
    assert "TensorRT says nothing" not in str(caught.value)
    check(runner, built, make_feeds(16))


def test_an_output_may_have_a_shape_that_only_the_data_tell(
    stack: ExitStack, workshop: Workshop
) -> None:
    built = workshop.build("nonzero", profiles=({"n": (1, 8, 64)},))
    opened = open_built(stack, built, cuda_graph=True)
    runner = opened.runner(0)
    for number, count in enumerate((4, 64, 9, 1)):
        feeds = {"x": (np.arange(count) % 3 - 1).astype(np.float32)}
        check(runner, built, feeds, slot=number % 2)
    assert opened.facts["cuda_graph_captured"] == 0


def test_the_parts_of_a_request_are_read_from_the_gpus_clock(
    stack: ExitStack, workshop: Workshop
) -> None:
    runner = open_built(stack, workshop.build("fp32"), parts=True, cuda_graph=True).runner(0)
    for seed in range(10):
        run_once(runner, make_feeds(8, seed=seed))
    parts = runner.times_ns()
    for part in (parts.h2d_ns, parts.device_ns, parts.d2h_ns, parts.enqueue_ns):
        assert part is not None
        assert 0 < part < 100_000_000


def test_what_the_engine_says_of_itself_is_plausible(
    stack: ExitStack, workshop: Workshop, facts: dict[str, Any]
) -> None:
    opened = open_built(stack, workshop.build("fp32"), context_memory="user_managed")
    run_once(opened.runner(0), make_feeds(8))
    found = opened.facts
    assert found["tensorrt"] == facts["bindings"]
    assert found["gpu"] == facts["gpu"]
    assert found["profiles_count"] == 1
    assert found["layers_count"] > 0
    assert found.get("scratch_bytes", 0) <= max(found["activations_bytes"], 1)
    json.dumps(found)


def test_weights_may_be_streamed(stack: ExitStack, workshop: Workshop) -> None:
    built = workshop.build("streamed", weight_streaming=True)
    opened = open_built(stack, built, weight_streaming_mib=0, cuda_graph=True)
    check(opened.runner(0), built, make_feeds(2))
    assert opened.facts["cuda_graph_captured"] == 0
    assert "streamed" in opened.facts["cuda_graph_failure"]


def test_an_engine_may_be_opened_again_and_gives_its_memory_back(workshop: Workshop) -> None:
    built = workshop.build("fp32")
    used = []
    for _ in range(5):
        with ExitStack() as stack:
            check(open_built(stack, built, cuda_graph=True).runner(0), built, make_feeds(4))
        with open_device() as device:
            used.append(device.memory().used_bytes)
    assert used[-1] - used[1] <= 16 << 20, used


# plans that must not be loaded


@pytest.mark.parametrize("damage", ["cut", "version", "garbage", "empty"])
def test_a_plan_that_was_changed_is_refused_with_tensorrts_reason(
    stack: ExitStack, workshop: Workshop, tmp_path: Path, damage: str
) -> None:
    built = workshop.build("fp32")
    data = bytearray((built.folder / built.plan).read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "version":  # the first bytes after the magic number tell version and size
        data[4:64] = bytes(60)
    else:
        data = bytearray(b"no plan" * 100 if damage == "garbage" else b"")
    (tmp_path / built.plan).write_bytes(data)
    (tmp_path / "signature.json").write_bytes((built.folder / "signature.json").read_bytes())
    changed = Built(tmp_path, built.plan, built.facts, built.reference)
    with pytest.raises(BackendError) as caught:
        open_built(stack, changed)
    assert "TensorRT says nothing" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("bindings", "10.3.0.26"), ("gpu", "NVIDIA T4"), ("compute_capability", "7.5")],
)
def test_the_sidecar_keeps_a_plan_of_another_machine_out(
    facts: dict[str, Any], name: str, value: str
) -> None:
    record = EngineRecord(
        variant="v",
        backend="tensorrt",
        recipe="fp32",
        precision="fp32",
        status="built",
        facts=facts | {name: value},
        key={},
        settings={},
    )
    assert [text for text in find_differences(record, facts) if name in text]
