"""The one GPU of a run: chosen by the probe, the same for every process of every stage."""

from __future__ import annotations

import os

from trtproof.errors import HardwareError
from trtproof.hardware import Hardware
from trtproof.nvml import ask, hash_uuid, open_nvml
from trtproof.probing_gpu import visible_devices

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
    with open_nvml() as nvml:
        if nvml is None:
            return None
        uuids = [ask(nvml.nvmlDeviceGetUUID, handle) for handle in visible_devices(nvml)]
    return next((uuid for uuid in uuids if hash_uuid(uuid) == short_uuid), None)
