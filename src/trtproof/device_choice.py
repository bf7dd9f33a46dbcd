"""The one GPU of a run: chosen by the probe, the same for every process of every stage."""

from __future__ import annotations

import os

from trtproof import probing_gpu
from trtproof.errors import HardwareError
from trtproof.hardware import Hardware

VARIABLE = "CUDA_VISIBLE_DEVICES"


def use_device(hardware: Hardware) -> None:
    """Let this process and its children see the probed GPU alone, under its UUID.

    Call it before any CUDA library is loaded. A run on the CPU is left as it is.

    Raises:
        HardwareError: the probed GPU is no longer here.
    """
    wanted = hardware.bench.get("gpu_uuid")
    if wanted is None:
        return
    uuid = find_uuid(str(wanted))
    if uuid is None:
        problem = (
            "the GPU that the probe recorded is not among those that this process may use; "
            "run `dvc repro probe`, or correct CUDA_VISIBLE_DEVICES"
        )
        raise HardwareError(problem)
    os.environ[VARIABLE] = uuid


def find_uuid(short_uuid: str) -> str | None:
    """Return the UUID of the visible GPU that the probe recorded under this hash."""
    with probing_gpu.open_nvml() as nvml:
        if nvml is None:
            return None
        count = probing_gpu.ask(nvml.nvmlDeviceGetCount)
        numbers = probing_gpu.visible_numbers(nvml, count)
        found = [probing_gpu.read_gpu(nvml, number) for number in numbers]
    return next((gpu.uuid for gpu in found if gpu.short_uuid == short_uuid), None)
