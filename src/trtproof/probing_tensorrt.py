"""Which TensorRT is installed here, found without importing it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from trtproof import distributions
from trtproof.errors import HardwareError

BINDINGS: Final = (
    "tensorrt-cu13-bindings",
    "tensorrt-cu12-bindings",
    "tensorrt-bindings",
    "tensorrt",
)
LIBRARIES: Final = ("tensorrt-cu13-libs", "tensorrt-cu12-libs", "tensorrt-libs")
RTX: Final = ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12")
SYSTEM_FOLDERS: Final = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/tensorrt/lib",
    "/usr/local/TensorRT/lib",
    "/opt/tensorrt/lib",
)
"""Where the Debian and RPM packages, the tar file and NVIDIA's containers put the libraries."""

OLDEST_DRIVERS: Final = {13: 580, 12: 535}
"""CUDA major -> oldest driver branch. 580 is CUDA's own minimum for 13.x (CUDA Compatibility guide,
table 1); CUDA 12.x runs from 525 on, but TensorRT's packages for it ask for 535."""


def installed() -> dict[str, Any]:
    """Return what is installed: `bindings` and `libraries` with their versions.

    Nothing without bindings, except `rtx`: the version of TensorRT-RTX, where only that is here.

    Raises:
        HardwareError: two builds of the bindings lie over each other.
    """
    builds = [name for name in BINDINGS[:2] if distributions.public_version(name)]
    if len(builds) > 1:
        raise HardwareError(
            f"{' and '.join(builds)} are both installed and overwrite each other's files; run "
            f"`pip uninstall -y {' '.join(builds)}`, then install `trtproof[tensorrt]`"
        )
    bindings = _first_version(BINDINGS)
    if bindings is None:
        rtx = _first_version(RTX)
        return {} if rtx is None else {"rtx": rtx}
    libraries = _first_version(LIBRARIES) or system_libraries(bindings)
    return {"bindings": bindings} | ({"libraries": libraries} if libraries else {})


def package_cuda() -> str | None:
    """Return the CUDA major that the installed bindings are built for, where their name says it."""
    for name in BINDINGS[:2]:
        if distributions.public_version(name):
            return name.removeprefix("tensorrt-cu").removesuffix("-bindings")
    return None


def driver_shortfall(driver: str | None, cuda: str | None) -> dict[str, Any]:
    """Return `{"driver_too_old": ...}` where this driver cannot run this CUDA; else nothing.

    A driver that is new enough is no fact of the plans: its version must rebuild nothing.
    """
    if driver is None or cuda is None:
        return {}
    needed = OLDEST_DRIVERS.get(int(cuda.partition(".")[0]), 0)
    if int(driver.partition(".")[0]) >= needed:
        return {}
    return {"driver_too_old": {"driver": driver, "cuda": cuda, "needs": needed}}


def system_libraries(bindings: str) -> str | None:
    """Return the version of a libnvinfer of the bindings' major on the loader's usual paths.

    The file's own name says it, as in libnvinfer.so.10.16.1; None where there is none.
    """
    major = bindings.partition(".")[0]
    for folder in library_folders():
        found = folder / f"libnvinfer.so.{major}"
        if found.exists():
            full = re.fullmatch(r"libnvinfer\.so\.([\d.]+)", found.resolve().name)
            return full[1] if full else major
    return None


def library_folders() -> Iterator[Path]:
    """Yield the folders where the loader, or a person, looks for TensorRT's libraries."""
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder)
    yield from map(Path, SYSTEM_FOLDERS)


def _first_version(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(distributions.public_version, names)), None)
