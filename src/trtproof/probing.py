"""What this machine is: hardware.json, made without importing any of the libraries it is about."""

from __future__ import annotations

import re
from typing import Any, Final

from trtproof import distributions, probing_cpu, probing_gpu, probing_tensorrt
from trtproof.config import TargetConfig
from trtproof.errors import HardwareError
from trtproof.hardware import Hardware
from trtproof.probing_gpu import Gpu

ONNXRUNTIME_BUILDS: Final = ("onnxruntime", "onnxruntime-gpu")


def probe(target: TargetConfig) -> Hardware:
    """Return the facts of the device that everything will run on.

    Raises:
        HardwareError: the machine contradicts itself or the target, with the repair.
    """
    gpu = choose_device(target)
    engine = {
        "onnxruntime": onnxruntime_facts(gpu),
        "tensorrt": tensorrt_facts(gpu),
        "torch": torch_facts(gpu),
    }
    for backend in target.require:
        if not {"version", "bindings"} & engine.get(backend, {}).keys():
            raise HardwareError(
                f"target.require lists {backend}, which is not installed here; install "
                f"`trtproof[{_extra(backend, gpu)}]`, or take it off the list in conf/target/"
            )
    if gpu is None:
        cpu = probing_cpu.cpu_facts()["cpu"]
        return Hardware(slug=slugify(f"cpu {cpu}"), engine=engine, bench=bench_facts(gpu))
    return Hardware(slug=slugify(gpu.slug), engine=engine, bench=bench_facts(gpu))


def choose_device(target: TargetConfig) -> Gpu | None:
    """Return the GPU to run on, or None for the CPU.

    Raises:
        HardwareError: `cuda` without a GPU, or a GPU that cannot be used.
    """
    if target.device == "cpu":
        return None
    gpu = probing_gpu.find_gpu(target.gpu_index)
    if gpu is None and target.device == "cuda":
        raise HardwareError(
            f"target.device is {target.device}, but this machine shows no NVIDIA GPU; "
            "choose `target=cpu`, or check that `nvidia-smi` works"
        )
    return gpu


def torch_facts(gpu: Gpu | None) -> dict[str, Any]:
    """Return what PyTorch's plans are tied to.

    Raises:
        HardwareError: a GPU is here, but the installed build has no CUDA.
    """
    version = distributions.installed_version("torch")
    if version is None:
        return {}
    public, _, local = version.partition("+")
    if gpu is not None and local == "cpu":
        raise HardwareError(
            f"this machine has {gpu.name}, but torch {version} is a build without CUDA; install "
            "PyTorch's CUDA build (pytorch.org says how), or choose `target=cpu`"
        )
    return {"version": public} | device_facts(gpu)


def onnxruntime_facts(gpu: Gpu | None) -> dict[str, Any]:
    """Return what ONNX Runtime's plans are tied to.

    Raises:
        HardwareError: two builds are installed over each other, or a GPU is here and only the build
            for CPUs is.
    """
    found = {
        name: version
        for name in ONNXRUNTIME_BUILDS
        if (version := distributions.public_version(name)) is not None
    }
    if not found:
        return {}
    if len(found) > 1:
        both = " and ".join(f"{name} {version}" for name, version in found.items())
        raise HardwareError(
            f"{both} are both installed and overwrite each other's files; run "
            "`pip uninstall -y onnxruntime onnxruntime-gpu`, then install `trtproof[cpu]` or "
            "`trtproof[cuda]`"
        )
    if gpu is not None and "onnxruntime" in found:
        raise HardwareError(
            f"this machine has {gpu.name}, but onnxruntime {found['onnxruntime']} is the build for "
            "CPUs; run `pip uninstall -y onnxruntime` and install `trtproof[cuda]`, or choose "
            "`target=cpu`"
        )
    return {"version": next(iter(found.values()))} | device_facts(gpu)


def tensorrt_facts(gpu: Gpu | None) -> dict[str, Any]:
    """Return what TensorRT's plans are tied to; without bindings no device, on a CPU no `gpu`.

    Raises:
        HardwareError: two builds of the bindings lie over each other.
    """
    facts = probing_tensorrt.installed()
    if gpu is None or "bindings" not in facts:
        return facts
    device = device_facts(gpu)
    built_for = probing_tensorrt.package_cuda()
    if built_for and "cuda" not in device:
        device["cuda"] = built_for
    driver = gpu.settings.get("driver")
    return (
        facts | device | probing_tensorrt.driver_shortfall(driver, built_for or device.get("cuda"))
    )


def device_facts(gpu: Gpu | None) -> dict[str, Any]:
    """Return the device that plans of any backend are tied to."""
    if gpu is None:
        return {"device": "cpu"} | probing_cpu.cpu_facts()
    cuda = probing_gpu.cuda_version()
    facts = {
        "device": "cuda",
        "gpu": gpu.name,
        "compute_capability": gpu.compute_capability,
        "memory_gib": gpu.memory_gib,
    }
    return facts | ({"cuda": cuda} if cuda else {})


def bench_facts(gpu: Gpu | None) -> dict[str, Any]:
    """Return what decides timings and no plan: the host, and a GPU's driver and settings."""
    facts = probing_cpu.host_facts()
    if gpu is None:
        return facts
    return facts | dict(gpu.settings) | {"gpu_uuid": gpu.short_uuid}


def slugify(name: str) -> str:
    """Return a device's name as a metrics key: lower case, digits and single dashes, no dots."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _extra(backend: str, gpu: Gpu | None) -> str:
    """Return the optional dependency of trtproof that brings a backend."""
    return "tensorrt" if backend == "tensorrt" else ("cpu" if gpu is None else "cuda")
