"""ONNX Runtime's exceptions, which have no common class, as this project's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from trtproof.errors import BackendError


@contextmanager
def errors_as_backend_error(doing: str) -> Iterator[None]:
    """Turn what the library raises in the block into one line that begins with `doing`.

    Raises:
        BackendError: the library refused something.
    """
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
    """Return the first line of an error's message, or its class where it has none."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
