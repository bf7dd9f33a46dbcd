"""Kernel timings kept from build to build, outside of the project: one file per engine key.

The engine key is all that decides a plan: model, settings and machine. TensorRT takes any bytes as
a cache without a word, so the file says whose it is and what its content must hash to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trtproof import artifacts
from trtproof.progress import note

MAGIC: Final = b"trtproof timing cache 1"
HEADER_LINES: Final = 3


@dataclass(frozen=True)
class TimingCacheFile:
    """Where the timings of one engine key are kept."""

    path: Path
    key: str

    def read(self) -> bytes:
        """Return the kept timings; nothing, with a warning, where the file is not to be used."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            note(f"timing cache {self.path} cannot be read ({error}): building without it")
            return b""
        magic, key, digest, content = _split(data)
        if (magic, key) != (MAGIC, self.key.encode()):
            note(f"timing cache {self.path} is not of this engine: building without it")
            return b""
        if hashlib.sha256(content).hexdigest().encode() != digest:
            note(f"timing cache {self.path} is damaged: building without it")
            return b""
        return content

    def write(self, content: bytes) -> None:
        """Keep timings, whole or not at all; warn where the folder takes none."""
        digest = hashlib.sha256(content).hexdigest().encode()
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(b"\n".join((MAGIC, self.key.encode(), digest, content)))
            temporary.replace(self.path)
        except OSError as error:
            note(f"timing cache {self.path} cannot be written ({error}): the next build times anew")


def _split(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    parts = data.split(b"\n", HEADER_LINES)
    parts += [b""] * (HEADER_LINES + 1 - len(parts))
    return parts[0], parts[1], parts[2], parts[3]


def cache_file(folder: str | None, key: Mapping[str, Any]) -> TimingCacheFile:
    """Return the file of an engine key; without a folder it lies in the user's cache folder."""
    digest = artifacts.sha256_json(key)
    return TimingCacheFile(
        path=(Path(folder) if folder else default_folder()) / f"{digest[:32]}.timing", key=digest
    )


def default_folder() -> Path:
    """Return trtproof/timing in the user's cache folder (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "trtproof" / "timing"
