"""One measurement at a time per device and user, across repositories."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from trtproof.errors import BackendError

POLL_S: Final = 0.5
PATIENCE_S: Final = 1800.0
"""How long to wait for another measurement to end before giving up."""


@contextmanager
def hold_device(
    device: str, *, note: Callable[[str], None], patience_s: float = PATIENCE_S
) -> Iterator[Path]:
    """Hold the device's lock while the block runs; the system releases it when the process dies.

    `note` is told once when another process has it.

    Raises:
        BackendError: it was not free within `patience_s`.
    """
    path = lock_folder() / f"{device}.lock"
    with path.open("a+") as file:
        deadline = monotonic() + patience_s
        told = False
        while not _try_lock(file.fileno()):
            if monotonic() >= deadline:
                raise BackendError(
                    f"another measurement has held {path} for {patience_s:.0f} s; "
                    "let it end, then run `dvc repro` again"
                )
            if not told:
                note(f"waiting for another measurement on this device ({path})")
                told = True
            sleep(POLL_S)
        yield path


def lock_folder() -> Path:
    """Return the user's own folder for lock files, made if need be."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = Path(runtime) if runtime and Path(runtime).is_dir() else Path(tempfile.gettempdir())
    folder = place / f"trtproof-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
