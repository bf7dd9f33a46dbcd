"""Which device a job runs on, and that no other sweep of this machine times anything there.

One job a device: several GPUs work at the same time, the CPU does one thing at a time. The locks
are files that the kernel releases when their holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Final

from trtproof.config import TargetConfig
from trtproof.probing_gpu import find_gpus
from trtproof.progress import note

CPU: Final = "cpu"
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
ASK_AGAIN_S: Final = 0.2


@dataclass(frozen=True)
class Placement:
    """Where a job may run: the names of devices, and what its processes get to see per device."""

    devices: frozenset[str]
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def find_uuids(targets: Sequence[TargetConfig]) -> list[str]:
    """Return the UUIDs of this machine's GPUs; none where no target asks for one.

    Raises:
        HardwareError: a GPU is here but cannot be used.
    """
    return [gpu.uuid for gpu in find_gpus()] if any(map(_wants_gpu, targets)) else []


def list_devices(placements: Sequence[Placement], gpus: Sequence[str]) -> list[str]:
    """Return the devices that any job may run on."""
    return [name for name in (*gpus, CPU) if any(name in item.devices for item in placements)]


def place_job(target: TargetConfig, gpus: Sequence[str]) -> Placement:
    """Return where a job may run.

    The first GPU, which every target names unless it says otherwise, stands for any of them: the
    job sees the one that it gets. A target that names a later one gets that one. Where the target
    cannot be had at all, the CPU: the job's own probe says what is wrong.
    """
    if not _wants_gpu(target) or not gpus or target.gpu_index >= len(gpus):
        return Placement(frozenset({CPU}))
    if target.gpu_index > 0:
        return Placement(frozenset({gpus[target.gpu_index]}))
    return Placement(frozenset(gpus), {name: {VISIBLE: name} for name in gpus})


def _wants_gpu(target: TargetConfig) -> bool:
    return target.device != CPU


@contextmanager
def hold(device: str, *, give_up: Callable[[], bool], folder: Path | None = None) -> Iterator[bool]:
    """Have a device to oneself among the sweeps of this machine; wait for it if need be.

    A job on a GPU also shares the CPU, which a job on the CPU has to itself. Yields False where
    `give_up` said so before it was to be had.
    """
    place = folder or Path(tempfile.gettempdir())
    wanted = [(CPU, fcntl.LOCK_EX)] if device == CPU else [(CPU, fcntl.LOCK_SH)]
    wanted += [(device, fcntl.LOCK_EX)] if device != CPU else []
    with ExitStack() as stack:
        yield all(stack.enter_context(_lock(place, name, kind, give_up)) for name, kind in wanted)


@contextmanager
def _lock(folder: Path, device: str, kind: int, give_up: Callable[[], bool]) -> Iterator[bool]:
    descriptor = _open(folder / f"trtproof-{re.sub(r'[^A-Za-z0-9-]', '-', device)}.lock")
    told = held = False
    try:
        while not held and not give_up():
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if not told:
                    note(f"waiting for {device}, on which another job runs")
                told = True
                sleep(ASK_AGAIN_S)
        yield held
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open a lock file that may be another user's: reading is enough to lock it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)
