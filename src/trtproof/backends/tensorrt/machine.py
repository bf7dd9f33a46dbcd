"""Whether the GPU that TensorRT would take is the one that hardware.json speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trtproof.backends.cuda.device import open_device
from trtproof.backends.tensorrt.calls import OptionalCalls
from trtproof.errors import BackendError, HardwareError


def require_gpu(facts: Mapping[str, Any], calls: OptionalCalls) -> None:
    """Refuse to build on another GPU than the probe found: TensorRT takes the first it sees.

    Without cuda-python nobody can tell; that is kept in `calls`.

    Raises:
        BackendError: it is another one.
    """
    try:
        with open_device() as device:
            here = {"gpu": device.name, "compute_capability": device.compute_capability}
    except HardwareError as error:
        calls.unavailable["gpu"] = f"unavailable: {error}"
        return
    for name, found in here.items():
        stated = facts.get(name, found)
        if stated != found:
            raise BackendError(
                f"TensorRT would build on a GPU with {name} {found}, but hardware.json says "
                f"{stated}; put the GPU that target.gpu_index means first, as in "
                "CUDA_VISIBLE_DEVICES=1 with target.gpu_index=0, and run `dvc repro`"
            )
