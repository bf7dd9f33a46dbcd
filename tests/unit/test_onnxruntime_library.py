from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
from tests.onnx_graphs import residual_convolution

from trtproof.backends.onnxruntime import open_graph
from trtproof.backends.onnxruntime_library import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    find_providers,
    require_provider,
)
from trtproof.errors import BackendError


@pytest.fixture
def library_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ONNX Runtime say that it was built for CUDA."""
    known = [CUDA_PROVIDER, CPU_PROVIDER]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: known)


def test_the_cpu_is_asked_for_alone(library_with_cuda: None) -> None:
    assert find_providers("cpu") == [CPU_PROVIDER]


def test_cuda_comes_first_and_computes_in_full_float32(library_with_cuda: None) -> None:
    (name, options), second = find_providers("cuda")
    assert (name, second) == (CUDA_PROVIDER, CPU_PROVIDER)
    assert options["use_tf32"] == "0"


def test_a_library_without_the_provider_is_refused_by_name() -> None:
    with pytest.raises(BackendError, match="no CUDAExecutionProvider for device cuda"):
        find_providers("cuda")


def test_a_session_that_fell_back_to_the_cpu_is_refused(
    library_with_cuda: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def make(path: str, options: object, providers: list[Any]) -> SimpleNamespace:
        asked.extend(providers)
        return SimpleNamespace(get_providers=lambda: [CPU_PROVIDER], get_outputs=list)

    monkeypatch.setattr(onnxruntime, "InferenceSession", make)
    with pytest.raises(BackendError, match="took CPUExecutionProvider instead"):
        open_graph(residual_convolution().write(tmp_path), threads=1, device="cuda")
    assert asked[0][0] == CUDA_PROVIDER


def test_a_session_on_the_device_is_accepted() -> None:
    require_provider([CUDA_PROVIDER, CPU_PROVIDER], "cuda")
    require_provider([CPU_PROVIDER], "cpu")
