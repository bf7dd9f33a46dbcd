"""PyTorch on a real GPU: its settings, its CUDA graph and torch.compile, on our memory and stream.

Needs an NVIDIA GPU, cuda-python and PyTorch's CUDA build. Run with `pytest -m gpu tests/gpu`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trtproof.backends.base import RunOptions, run_once
from trtproof.backends.torch_compile import time_compilation
from trtproof.backends.torch_cuda import Settings, open_engine
from trtproof.errors import BuildFailedError
from trtproof.tensor import Signature, TensorSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.compile's own, of PyTorch
]

EAGER = Settings(dtype="float32", channels_last=False, cudnn_benchmark=False, compile=None)
HALF = Settings(dtype="float16", channels_last=True, cudnn_benchmark=True, compile=None)
COMPILED = Settings(dtype="float16", channels_last=True, cudnn_benchmark=False, compile="default")
SIGNATURE = Signature(
    inputs=(TensorSpec("x", "float32", ("batch", 3, 32, 32)),),
    outputs=(TensorSpec("y", "float32", ("batch", 10)),),
)
RNG = np.random.default_rng(0)


def make_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 32 * 32, 10)
    ).eval()


def request(batch: int) -> dict[str, Any]:
    return {"x": RNG.standard_normal((batch, 3, 32, 32)).astype(np.float32)}


def answer_on_cpu(feeds: dict[str, Any]) -> Any:
    with torch.inference_mode():
        return make_module()(torch.from_numpy(feeds["x"])).numpy()


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize(("settings", "tolerance"), [(EAGER, 1e-4), (HALF, 1e-2), (COMPILED, 1e-2)])
def test_the_gpu_answers_as_the_cpu_does(
    settings: Settings, tolerance: float, cuda_graph: bool
) -> None:
    options = RunOptions(threads=1, device="cuda", cuda_graph=cuda_graph)
    with open_engine(make_module(), SIGNATURE, options, settings, tf32=False) as engine:
        runner = engine.runner(0)
        for place, batch in enumerate((4, 4, 4, 7, 4)):
            feeds = request(batch)
            got = run_once(runner, feeds, place % 2)["y"]
            np.testing.assert_allclose(got, answer_on_cpu(feeds), rtol=tolerance, atol=tolerance)
        assert engine.facts.get("cuda_graph_captured") == (1 if cuda_graph else None), engine.facts


def test_tf32_is_off_unless_asked_for() -> None:
    options = RunOptions(threads=1, device="cuda")
    feeds, errors = request(8), []
    for tf32 in (False, True):
        with open_engine(make_module(), SIGNATURE, options, EAGER, tf32=tf32) as engine:
            got = run_once(engine.runner(0), feeds)["y"]
        errors.append(float(np.abs(got - answer_on_cpu(feeds)).max()))
    assert errors[1] > 4 * errors[0]


def test_compilation_is_timed_and_a_module_that_breaks_the_graph_is_a_failed_build() -> None:
    seconds = time_compilation(make_module(), SIGNATURE, COMPILED, tf32=False, extents={"batch": 4})
    assert seconds > 0

    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make_module()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch._dynamo.graph_break()
            return self.inner(x)

    with pytest.raises(BuildFailedError, match="whole"):
        time_compilation(Breaks(), SIGNATURE, COMPILED, tf32=False, extents={"batch": 4})
