"""What backends share when they run on the CPU: buffers of two requests, no copies to a device."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from trtproof import artifacts
from trtproof.backends.base import PartTimes, RunOptions
from trtproof.cores import usable_cores
from trtproof.errors import BackendError, ConfigError, HardwareError
from trtproof.tensor import Feeds, Signature

SIGNATURE_FILE: Final = "signature.json"
SLOTS: Final = 2
_GPU_ONLY: Final = {"cuda_graph": "a CPU has no CUDA graphs"}
_TENSORRT_ONLY: Final = {
    "context_memory": "only backend tensorrt has execution contexts",
    "weight_streaming_mib": "only backend tensorrt streams weights",
}


def import_library(name: str, *, install: str) -> ModuleType:
    """Return a backend's library.

    Raises:
        HardwareError: it is not installed; names the command `install`.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise HardwareError(f"{name} is not installed; run `{install}`") from None


def load_signature(folder: Path) -> Signature:
    """Return the signature in a variant's folder.

    Raises:
        MissingFileError, InputError: it is not there or not JSON.
    """
    return Signature.from_json(
        artifacts.read_json(folder / SIGNATURE_FILE, made_by=f"build@{folder.name}")
    )


def resolve_threads(threads: int) -> int:
    """Return the number of threads of one inference: 0 takes every core this process may use."""
    return threads or len(usable_cores())


class HostRunner(ABC):
    """The part of a `Runner` that does not infer; host memory is the device's memory here.

    A subclass binds the input arrays of a slot once per shape (`bind`), and launches and reads.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._buffers: list[Feeds] = [{} for _ in range(SLOTS)]

    @abstractmethod
    def bind(self, slot: int, buffers: Feeds) -> None:
        """Take these arrays as the slot's inputs from now on."""

    @abstractmethod
    def release(self) -> None:
        """Let go of everything bound."""

    def stage(self, slot: int, feeds: Feeds) -> None:
        """Copy one request into this slot's own arrays, which are made anew when its shapes change.

        Raises:
            BackendError: an input is missing or has another type than the signature says.
        """
        check_feeds(self.signature, feeds)
        buffers = self._buffers[slot]
        names = self.signature.input_names
        if not buffers or any(buffers[name].shape != feeds[name].shape for name in names):
            buffers = {name: np.empty_like(feeds[name], order="C") for name in names}
            self.bind(slot, buffers)
            self._buffers[slot] = buffers
        for name in names:
            np.copyto(buffers[name], feeds[name])

    def upload(self, slot: int) -> None:  # noqa: B027 - nothing to do here, on purpose
        """Do nothing: there is no other memory."""

    def download(self, slot: int) -> None:  # noqa: B027 - nothing to do here, on purpose
        """Do nothing: there is no other memory."""

    def wait(self) -> None:  # noqa: B027 - nothing to do here, on purpose
        """Do nothing: `launch` returns when the inference is done."""

    def finish_launch(self) -> PartTimes:
        """Return no times: `launch` returns when the inference is done."""
        return PartTimes()

    def finish_request(self, slot: int) -> PartTimes:
        """Return no times: a request is done when `launch` returns."""
        del slot
        return PartTimes()

    def wait_asleep(self) -> None:  # noqa: B027 - nothing waits here, on purpose
        """Do nothing: nothing is waited for."""

    def times_ns(self) -> PartTimes:
        """Return no parts: a CPU run has neither copies nor an enqueue of its own."""
        return PartTimes()

    def close(self) -> None:
        """Let go of both slots; closing again does nothing."""
        self._buffers = [{} for _ in range(SLOTS)]
        self.release()


def check_feeds(signature: Signature, feeds: Feeds) -> None:
    """Refuse a request that does not fit the signature.

    Raises:
        BackendError: an input is missing or has another type than the signature says.
    """
    for spec in signature.inputs:
        if spec.name not in feeds:
            raise BackendError(
                f"input {spec.name!r} is missing; the request has {', '.join(feeds)}"
            )
        if feeds[spec.name].dtype != np.dtype(spec.dtype):
            raise BackendError(f"input {spec.name!r} is {feeds[spec.name].dtype}, not {spec.dtype}")


def refuse_options(backend: str, options: Mapping[str, Any]) -> None:
    """Refuse build options where a backend has none: a misspelt one must not be ignored.

    Raises:
        ConfigError: there are any.
    """
    if options:
        raise ConfigError(
            key="build.options",
            problem=f"backend {backend} has no option {', '.join(sorted(options))}",
            repair="remove it from the variant in conf/variant and run `trtproof compose`",
        )


def refuse_other_options(options: RunOptions) -> None:
    """Refuse what only TensorRT has, and on a CPU what only a GPU has: nothing is ignored.

    Raises:
        ConfigError: one is set.
    """
    neutral = RunOptions(threads=options.threads)
    refused = _TENSORRT_ONLY | (_GPU_ONLY if options.device == "cpu" else {})
    for key, problem in refused.items():
        if getattr(options, key) != getattr(neutral, key):
            wanted = json.dumps(getattr(neutral, key))
            raise ConfigError(
                key=f"run.{key}",
                problem=problem,
                repair=f"set it to {wanted} in conf/variant and run `trtproof compose`",
            )
