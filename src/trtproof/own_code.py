"""Calls into the user's own code: whatever it raises becomes one line that names the function."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trtproof.errors import AdapterError, PipelineError


@contextmanager
def calling(path: str, *, doing: str = "") -> Iterator[None]:
    """Run the user's "package.module:attribute" in this block; `doing` says what for.

    Raises:
        AdapterError: it raised; the line has the exception, and the file and line of its cause.
        PipelineError: its own, unchanged.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:  # the user's code may raise anything, and all of it is theirs
        what = f"failed {doing}" if doing else "failed"
        problem = f"{what} with {describe_exception(error)}{_place(error)}"
        raise AdapterError(function=path, problem=problem, repair="correct it") from error


def describe_exception(error: BaseException) -> str:
    """Return an exception's type and the first line of its message."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException) -> str:
    """Return " at FILE:LINE" of the innermost frame below the working folder, else of the last."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if frame.lineno]
    here = Path.cwd()
    own = [frame for frame in frames if _is_below(Path(frame.filename), here)]
    if not frames:
        return ""
    frame = (own or frames)[-1]
    path = Path(frame.filename)
    shown = path.relative_to(here).as_posix() if _is_below(path, here) else path.name
    return f" at {shown}:{frame.lineno}"


def _is_below(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and "site-packages" not in path.parts


def require_callable(
    function: Any, path: str, setting: str, /, *given: Any, **options: Any
) -> None:
    """Refuse what is no function, or one that does not take these arguments.

    Raises:
        AdapterError: names the function, and the setting that its keyword arguments come from.
    """
    if not callable(function):
        raise AdapterError(
            function=path,
            problem=f"it is of type {type(function).__name__}, not a function",
            repair="name a function or a class",
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function of C code that states none
        return
    try:
        signature.bind(*given, **options)
    except TypeError as error:
        stated = [*("..." for _ in given), *(f"{name}=..." for name in options)]
        raise AdapterError(
            function=path,
            problem=f"it cannot be called as {path.partition(':')[2]}({', '.join(stated)}) "
            f"({error})",
            repair=f"change its parameters, or {setting}",
        ) from None
