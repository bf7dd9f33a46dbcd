"""What is installed and what the machine is, without loading any of the heavy libraries."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from trtproof import __version__, distributions, probing_tensorrt
from trtproof.doctor.base import Finding, failed, ok, skipped
from trtproof.errors import HardwareError
from trtproof.nvml import open_nvml
from trtproof.probing_gpu import cuda_version, find_gpu

PACKAGES: Final = (
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "dvc",
    "cuda-python",
    "cuda-bindings",
    "nvidia-ml-py",
    *probing_tensorrt.BINDINGS,
    *probing_tensorrt.LIBRARIES,
    *probing_tensorrt.RTX,
)
VARIABLES: Final = ("CUDA_", "NVIDIA_", "LD_LIBRARY_PATH", "LD_PRELOAD", "TRTPROOF_", "TENSORRT_")
CONTAINER_MARKS: Final = ("/.dockerenv", "/run/.containerenv")
NGC_MARK: Final = "NVIDIA_PRODUCT_NAME"
"""NVIDIA's containers set it; their Python packages are not in a fresh virtual environment."""

LEAST_FREE_GIB: Final = 5
BYTES_PER_GIB: Final = 1024**3


def check_python() -> Finding:
    """Say which Python, system and container this is."""
    facts = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "container": any(Path(mark).exists() for mark in CONTAINER_MARKS),
        "nvidia_container": os.environ.get(NGC_MARK),
        "virtual_environment": sys.prefix != sys.base_prefix,
        "executable": sys.executable,
        "variables": {
            name: value for name, value in os.environ.items() if name.startswith(VARIABLES)
        },
    }
    if facts["nvidia_container"] and facts["virtual_environment"] and not _sees_system_packages():
        return failed(
            f"a plain virtual environment in NVIDIA's container {facts['nvidia_container']} hides "
            "the TensorRT that the container brings",
            "make it with `python -m venv --system-site-packages .venv`, or install "
            "`trtproof[tensorrt]` into it",
            **facts,
        )
    return ok(f"Python {facts['python']} on {facts['system']}", **facts)


def _sees_system_packages() -> bool:
    settings = Path(sys.prefix) / "pyvenv.cfg"
    text = settings.read_text(encoding="utf-8") if settings.exists() else ""
    return "include-system-site-packages = true" in text.lower()


def check_packages() -> Finding:
    """Refuse packages that overwrite each other or are of different versions."""
    versions = {name: distributions.installed_version(name) for name in PACKAGES}
    facts = {name: version for name, version in versions.items() if version is not None}
    if "onnxruntime" in facts and "onnxruntime-gpu" in facts:
        return failed(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
            "pip uninstall -y onnxruntime onnxruntime-gpu, then install one of them",
            versions=facts,
        )
    try:
        found = probing_tensorrt.installed()
    except HardwareError as error:
        text, _, repair = str(error).rpartition("; ")
        return failed(text, repair, versions=facts)
    bindings, libraries = found.get("bindings"), found.get("libraries")
    if bindings and libraries and not _same_version(bindings, libraries):
        return failed(
            f"TensorRT's bindings are {bindings}, its libraries {libraries}",
            "install both of one version: pip install --force-reinstall 'trtproof[tensorrt]'",
            versions=facts,
        )
    return ok(f"trtproof {__version__}, {len(facts)} packages of interest", versions=facts)


def _same_version(bindings: str, libraries: str) -> bool:
    """Say whether the shorter version is the beginning of the longer: 10.16.1 and 10.16.1.11."""
    pairs = zip(bindings.split("."), libraries.split("."), strict=False)
    return all(one == other for one, other in pairs)


def check_driver() -> Finding:
    """Hold the driver against what the installed packages' CUDA needs."""
    with open_nvml() as nvml:
        if nvml is None:
            return skipped("this machine has no NVIDIA driver")
        driver = str(nvml.nvmlSystemGetDriverVersion())
        supported = int(nvml.nvmlSystemGetCudaDriverVersion())
    cuda = probing_tensorrt.package_cuda() or cuda_version()
    facts = {"driver": driver, "cuda_of_driver": supported, "cuda_of_packages": cuda}
    short = probing_tensorrt.driver_shortfall(driver, cuda)
    if short:
        needs = short["driver_too_old"]["needs"]
        return failed(
            f"driver {driver} is too old for CUDA {cuda}, which the installed packages need",
            f"install driver {needs} or newer, or packages for an older CUDA",
            **facts,
        )
    return ok(f"driver {driver}, packages for CUDA {cuda or 'unknown'}", **facts)


def check_gpu() -> Finding:
    """Say which GPU would be measured; one that is hidden or exclusive is an error."""
    gpu = find_gpu(0)
    if gpu is None:
        return skipped("this machine has no NVIDIA GPU")
    facts = {
        "name": gpu.name,
        "compute_capability": gpu.compute_capability,
        "memory_gib": gpu.memory_gib,
        **gpu.settings,
    }
    return ok(f"{gpu.name}, compute capability {gpu.compute_capability}", **facts)


def check_disk() -> Finding:
    """Look for room and for the right to write, where plans and timing caches go."""
    places = {"project": Path.cwd(), "temporary": Path(tempfile.gettempdir())}
    places["cache"] = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    facts: dict[str, float] = {}
    for name, place in places.items():
        existing = next(path for path in (place, *place.parents) if path.exists())
        facts[f"{name}_free_gib"] = round(shutil.disk_usage(existing).free / BYTES_PER_GIB, 1)
        if not os.access(existing, os.W_OK):
            return failed(f"{existing} cannot be written", "give yourself the right to write it")
    name, least = min(facts.items(), key=lambda item: item[1])
    if least < LEAST_FREE_GIB:
        return failed(
            f"only {least} GiB are free ({name.removesuffix('_free_gib')} folder)",
            f"free at least {LEAST_FREE_GIB} GiB: plans and their copies in DVC's cache are large",
            **facts,
        )
    return ok(f"at least {least} GiB free", **facts)


def check_dvc() -> Finding:
    """See that the `dvc` on the path is this environment's: another one's keys would be wrong."""
    found = shutil.which("dvc")
    if found is None:
        return failed(
            "there is no `dvc` on the path",
            "activate the environment of trtproof",
        )
    if Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        return failed(
            f"the `dvc` on the path is {found}, of another environment",
            f"put {Path(sys.executable).parent} first on PATH",
        )
    return ok(f"dvc {distributions.installed_version('dvc')}", path=found)


def check_project() -> Finding:
    """See that the settings compose, where this folder is a project."""
    if not Path("conf").is_dir():
        return skipped("this folder has no conf/: run it in a project to check its settings")
    from trtproof.compose import compose, require_composed
    from trtproof.config import parse_params
    from trtproof.settings_check import check_settings

    params = parse_params(compose())
    check_settings(params)
    require_composed()
    names = ", ".join(params.variants)
    return ok(f"settings are sound; variants: {names}", variants=list(params.variants))


def check_trtexec() -> Finding:
    """Say where trtexec is; it is only used to compare with."""
    found = find_trtexec()
    return ok(found, path=found) if found else skipped("there is no trtexec on the path")


def find_trtexec() -> str | None:
    """Return NVIDIA's trtexec: on the path, or where its packages put it."""
    usual = "/usr/src/tensorrt/bin/trtexec"
    return shutil.which("trtexec") or (usual if Path(usual).exists() else None)
