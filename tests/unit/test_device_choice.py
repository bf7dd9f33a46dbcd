"""The probed GPU is the one that every process sees."""

from __future__ import annotations

import os
from typing import Any, Self

import pytest

from trtproof import device_choice
from trtproof.device_choice import VARIABLE, use_device
from trtproof.errors import HardwareError
from trtproof.hardware import Hardware
from trtproof.probing_gpu import Gpu

GPUS = [Gpu(place, f"GPU-{place}", "H200", "9.0", 141) for place in range(3)]


def hardware(bench: dict[str, Any]) -> Hardware:
    return Hardware(slug="h200", engine={}, bench=bench)


@pytest.fixture(autouse=True)
def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1,2")
    monkeypatch.setattr(
        device_choice,
        "find_uuid",
        lambda short: next((gpu.uuid for gpu in GPUS[1:] if gpu.short_uuid == short), None),
    )


def test_the_probed_gpu_is_the_only_one_that_children_see() -> None:
    use_device(hardware({"gpu_uuid": GPUS[2].short_uuid}))
    assert os.environ[VARIABLE] == "GPU-2"


def test_a_run_on_the_cpu_leaves_the_choice_alone() -> None:
    use_device(hardware({}))
    assert os.environ[VARIABLE] == "1,2"


def test_a_gpu_that_has_gone_is_an_error_with_the_repair() -> None:
    with pytest.raises(HardwareError, match=r"dvc repro probe.*CUDA_VISIBLE_DEVICES"):
        use_device(hardware({"gpu_uuid": GPUS[0].short_uuid}))


def test_the_uuid_is_found_by_its_hash_among_those_that_cuda_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(device_choice, "visible_devices", lambda nvml: [2, 0])
    monkeypatch.setattr(device_choice, "ask", lambda call, handle: GPUS[handle].uuid)

    class Nvml:
        nvmlDeviceGetUUID = None  # noqa: N815 - NVML's own name

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(device_choice, "open_nvml", Nvml)
    assert device_choice.find_uuid(GPUS[0].short_uuid) == "GPU-0"
    assert device_choice.find_uuid(GPUS[1].short_uuid) is None
