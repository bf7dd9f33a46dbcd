"""Put a machine with an NVIDIA GPU and TensorRT in place of this one, in every process of a test.

Python imports this at its start because the test puts this folder on PYTHONPATH, after those of the
fake TensorRT and CUDA. TRTPROOF_FAKE_MACHINE is a JSON object:

    driver    NVML's driver version ("580.65.06")
    versions  distribution -> installed version; null hides one that is
    hang      module that sleeps when it is imported
    die       module that ends the process when it is imported
"""

from __future__ import annotations

import importlib.abc
import json
import os
import signal
import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

WHOLE = {"tensorrt-cu13-bindings": "11.4.0.106", "tensorrt-cu13-libs": "11.4.0.106"}


def make_nvml(machine: dict[str, Any]) -> Any:
    """Return a pynvml of one GPU."""
    import pynvml

    nvml: Any = ModuleType("pynvml")
    nvml.__dict__.update({k: v for k, v in vars(pynvml).items() if not k.startswith("nvml")})
    nvml.nvmlInit = nvml.nvmlShutdown = lambda: None
    nvml.nvmlDeviceGetCount = lambda: 1
    nvml.nvmlDeviceGetHandleByIndex = nvml.nvmlDeviceGetIndex = lambda index: index
    nvml.nvmlDeviceGetMigMode = lambda _: [0, 0]
    nvml.nvmlDeviceIsMigDeviceHandle = lambda _: 0
    nvml.nvmlDeviceGetUUID = lambda _: "GPU-00000000-1111-2222-3333-444444444444"
    nvml.nvmlDeviceGetName = lambda _: "NVIDIA Fake 9000"
    nvml.nvmlDeviceGetCudaComputeCapability = lambda _: (9, 0)
    nvml.nvmlDeviceGetMemoryInfo = lambda _: SimpleNamespace(total=80 * 2**30)
    nvml.nvmlDeviceGetComputeMode = lambda _: machine.get("compute_mode", 0)
    nvml.nvmlDeviceGetPowerManagementLimit = lambda _: 700_000
    nvml.nvmlDeviceGetEccMode = lambda _: (1, 1)
    nvml.nvmlDeviceGetMaxClockInfo = lambda _, __: 1980
    nvml.nvmlSystemGetDriverVersion = lambda: machine.get("driver", "580.65.06")
    nvml.nvmlSystemGetCudaDriverVersion = lambda: 13000
    return nvml


class Breaker(importlib.abc.MetaPathFinder):
    """Sleep or die when a module is imported."""

    def __init__(self, machine: dict[str, Any]) -> None:
        self._machine = machine

    def find_spec(self, name: str, *_: Any) -> None:
        if name == self._machine.get("hang"):
            time.sleep(600)
        if name == self._machine.get("die"):
            os.kill(os.getpid(), signal.SIGSEGV)


def put(machine: dict[str, Any]) -> None:
    """Put the machine in place."""
    sys.modules["pynvml"] = make_nvml(machine)
    from trtproof import distributions

    real = distributions.installed_version
    versions = WHOLE | machine.get("versions", {})
    distributions.installed_version = lambda name: (
        versions[name] if name in versions else real(name)
    )
    sys.meta_path.insert(0, Breaker(machine))


if "TRTPROOF_FAKE_MACHINE" in os.environ:
    put(json.loads(os.environ["TRTPROOF_FAKE_MACHINE"]))
