"""ONNX Runtime as a library: its errors, and which providers it has for a device.

No session is made here; that is trtproof.backends.onnxruntime's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, Literal

from trtproof.backends.host import import_library
from trtproof.errors import BackendError

Device = Literal["cpu", "cuda"]

CPU_PROVIDER: Final = "CPUExecutionProvider"
CUDA_PROVIDER: Final = "CUDAExecutionProvider"
SETTINGS_FILE: Final = "session.json"
"""The CUDA provider's settings, beside a plan that it runs; no other plan has one."""
PROVIDERS: Final[dict[Device, str]] = {"cpu": CPU_PROVIDER, "cuda": CUDA_PROVIDER}

CUDA_OPTIONS: Final = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
"""Full float32, and the same convolution algorithm in every run: a search picks by the clock."""

CUDA_REPAIR: Final = (
    "`pip install 'trtproof[cuda]'` on a machine with an NVIDIA GPU, or set the device to cpu"
)


def find_providers(device: Device) -> list[Any]:
    """Return the providers to make a session of, the device's first.

    Shapes are computed on the CPU on every device.

    Raises:
        BackendError: this ONNX Runtime has no provider for the device.
    """
    ort = import_library("onnxruntime", install="pip install 'trtproof[cpu]'")
    known = ort.get_available_providers()
    if PROVIDERS[device] not in known:
        raise BackendError(
            f"ONNX Runtime {ort.__version__} here has no {PROVIDERS[device]} for device {device} "
            f"(it has {', '.join(known)}); {CUDA_REPAIR}"
        )
    return [CPU_PROVIDER] if device == "cpu" else [(CUDA_PROVIDER, CUDA_OPTIONS), CPU_PROVIDER]


def require_provider(taken: Sequence[str], device: Device) -> None:
    """Refuse a session that left out the device's provider: ONNX Runtime only warns and goes on.

    Raises:
        BackendError: it computes on the CPU instead.
    """
    if PROVIDERS[device] not in taken:
        raise BackendError(
            f"ONNX Runtime could not start its {PROVIDERS[device]} and took "
            f"{', '.join(taken)} instead (its libraries or the driver do not fit); {CUDA_REPAIR}"
        )


@contextmanager
def errors_as_backend_error(doing: str) -> Iterator[None]:
    """Turn the library's errors into a `BackendError` that says what was being done."""
    try:
        yield
    except library_errors() as error:
        raise BackendError(f"{doing}: {first_line(error)}") from error


@cache
def library_errors() -> tuple[type[Exception], ...]:
    """Return every error class of the library (no common one) and what its wrapper raises."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    classes = [value for value in vars(state).values() if isinstance(value, type)]
    return (
        *(kind for kind in classes if issubclass(kind, Exception)),
        ValueError,
        RuntimeError,
        MemoryError,
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
