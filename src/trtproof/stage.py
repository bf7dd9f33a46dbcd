"""What every stage script does before and after its own work."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from trtproof.durations import record_seconds
from trtproof.errors import HardwareError, PipelineError, UnkeyedFileError

PR_SET_PDEATHSIG = 1
FREE_NAMES = (".dvc", ".git", "artifacts", "metrics", "params.yaml", "stages", "dvc.yaml")
"""What a stage may read below the project without its being in `model.files`: DVC keys it."""

_unkeyed: list[UnkeyedFileError] = []


def run(main: Callable[..., None]) -> None:
    """Run a stage: a `PipelineError` becomes one line and exit code 1.

    The process dies with the dvc that started it (a stage that outlives its dvc keeps writing:
    measured), and refuses to run under a dvc of another environment, which would key the result
    with the wrong versions.
    """
    die_with_parent()
    try:
        _require_this_environments_dvc()
        started = monotonic()
        main(*sys.argv[1:])
        if _unkeyed:
            raise _unkeyed[0]
        record_seconds(monotonic() - started)
    except PipelineError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; other systems have no such call."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call took effect
        os.kill(os.getpid(), signal.SIGKILL)


def _require_this_environments_dvc() -> None:
    """Refuse to run under a dvc of another environment than this interpreter's."""
    command_line = Path(f"/proc/{os.getppid()}/cmdline")
    if "DVC_ROOT" not in os.environ or not command_line.exists():
        return  # started by hand, or no /proc here
    starter = Path(command_line.read_bytes().split(b"\0")[0].decode())
    if (
        starter.is_absolute()
        and starter.name.startswith("python")
        and starter.parent != Path(sys.executable).parent
    ):
        raise HardwareError(
            f"dvc runs on {starter}, but this stage on {sys.executable}: the keys would name the "
            "wrong versions; activate the environment that trtproof and dvc are installed in, "
            "then run `dvc repro` again"
        )


def guard_opens(
    allowed: Sequence[Path],
    *,
    setting: str,
    root: Path | None = None,
    pythonpath: Sequence[str] = (),
) -> None:
    """From now on stop this process when it opens a file of the user's that no key contains.

    `allowed` holds files and folders. Watched are the project and the folders of `pythonpath`, and
    in them what Python or safetensors opens; other native readers are not seen. The environment,
    trtproof's own code (keyed otherwise) and files opened for writing are not the user's inputs.

    Raises (later, from the open itself, and again from `run` where the caller swallowed it):
        UnkeyedFileError: names the file and the `setting` to add it to.
    """
    base = (root or Path.cwd()).resolve()
    watched = [base, *((base / folder).resolve() for folder in pythonpath)]
    places = [
        *(path.resolve() for path in allowed),
        *(base / name for name in FREE_NAMES),
        Path(sys.prefix).resolve(),
        Path(__file__).resolve().parent,
    ]

    def check(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path = Path(os.path.normpath(base / os.fsdecode(arguments[0])))
        if _is_written(arguments) or not any(map(path.is_relative_to, watched)):
            return
        real = _source_of(path).resolve()
        if not any(map(real.is_relative_to, places)) and real.is_file():
            shown = path.relative_to(base) if path.is_relative_to(base) else path
            error = UnkeyedFileError(shown, setting=setting)
            _unkeyed.append(error)
            raise error

    sys.addaudithook(check)
    announce_safetensors()


def announce_safetensors() -> None:
    """Let safetensors, which opens files in native code, tell audit hooks as Python's open does.

    Imported by name, not by statement: no stage's result depends on its version because of this.
    """
    native = importlib.import_module("safetensors").safe_open

    def safe_open(filename: str | os.PathLike[str], *arguments: Any, **options: Any) -> Any:
        sys.audit("open", os.fspath(filename), "r", 0)
        return native(filename, *arguments, **options)

    for module in list(sys.modules.values()):
        if getattr(module, "safe_open", None) is native:
            module.__dict__["safe_open"] = safe_open


def _source_of(path: Path) -> Path:
    """Return the module whose cached byte code this is (all that its import opens), or itself."""
    if path.suffix == ".pyc" and path.parent.name == "__pycache__":
        return path.parent.parent / f"{path.name.partition('.')[0]}.py"
    return path


def _is_written(arguments: Sequence[object]) -> bool:
    """Say whether an `open` audit event (path, mode, flags) is for writing."""
    flags = arguments[2] if len(arguments) > 2 else 0  # noqa: PLR2004 - the event's third argument
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
