"""Every error that a user can cause or repair; no other module defines one.

PipelineError                       one line for the user, exit code 1 ├── ConfigError
params.yaml or conf/: unknown key, wrong type, out of range, contradiction ├── UnknownNameError
a registered name that does not exist ├── ImportPathError
"package.module:attribute" cannot be imported ├── AdapterError
a function of the user's own package breaks its contract ├── InputError
a file, sample or model that the user owns is wrong │   ├── MissingFileError │   └──
UnkeyedFileError  a file was read that no key contains ├── ModelError         the model cannot be
exported, or its export differs from it ├── CalibrationError                no data, NaN, or
nothing to calibrate ├── PlanError                       a plan must not be opened on this machine
│   ├── PlanMissingError │   ├── PlanCorruptError │   └── PlanForeignError ├── BuildFailedError
deterministic: recorded as `failed`, the other variants go on ├── BackendError
not deterministic (out of memory, crash, time-out): nothing is recorded └── HardwareError
the machine contradicts itself or the configuration

The text says what is wrong, with the value, and then the command or key that repairs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class PipelineError(Exception):
    """Be the one root of all errors that are shown as one line instead of a traceback."""


class ConfigError(PipelineError):
    """Say which setting is wrong and where to change it."""

    def __init__(self, *, key: str, problem: str, repair: str) -> None:
        super().__init__(f"{key}: {problem}; {repair}")
        self.key = key


class UnknownNameError(PipelineError):
    """Say which names exist when one does not."""

    def __init__(self, *, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no {kind} {name!r}; I know about {', '.join(sorted(known))}")
        self.kind = kind
        self.name = name


class ImportPathError(PipelineError):
    """Say why "package.module:attribute" cannot be had."""

    def __init__(self, *, path: str, problem: str) -> None:
        super().__init__(
            f"cannot import {path!r}: {problem}; write it as 'package.module:attribute' and list "
            "its folder in `pythonpath`"
        )
        self.path = path


class AdapterError(PipelineError):
    """Say what is wrong with a function of the user's own package: "package.module:attribute"."""

    def __init__(self, *, function: str, problem: str, repair: str) -> None:
        super().__init__(f"{function}: {problem}; {repair}")
        self.function = function


class InputError(PipelineError):
    """Say what is wrong with something that the user owns."""


class MissingFileError(InputError):
    """Say which command makes, or which key names, a file that is not there."""

    def __init__(self, path: Path | str, *, repair: str) -> None:
        super().__init__(f"{path} does not exist; {repair}")
        self.path = Path(path)


class UnkeyedFileError(InputError):
    """Stop a stage that read a file which is in no key: its result could go stale unnoticed."""

    def __init__(self, path: Path | str, *, setting: str) -> None:
        super().__init__(f"opened {path}, which is not in the key; add it to {setting}")
        self.path = Path(path)


class ModelError(PipelineError):
    """Say why a model cannot be exported or why its export is not the model."""


class CalibrationError(PipelineError):
    """Say why ranges cannot be had from the calibration set."""


class PlanError(PipelineError):
    """Be the root of the reasons not to open a plan."""


class PlanMissingError(PlanError):
    """The variant's folder has no plan to open."""


class PlanCorruptError(PlanError):
    """The plan or its sidecar is not what the build wrote."""


class PlanForeignError(PlanError):
    """The plan was made for other hardware or other software than this machine has."""


class BuildFailedError(PipelineError):
    """A build failed for a reason that the next try would meet again; `log` is what led to it."""

    def __init__(self, *, code: str, text: str, repair: str, log: str = "") -> None:
        super().__init__(f"{text}; {repair}")
        self.log = log
        self.code = code
        self.text = text
        self.repair = repair


class BackendError(PipelineError):
    """A backend failed in a way that another try may not: nothing is recorded or cached."""


class DeviceMemoryError(BackendError):
    """The GPU's memory, or host memory that can be pinned, is used up."""


class CudaGraphError(BackendError):
    """A launch cannot be recorded as a CUDA graph; launching it plainly may still work."""


class HardwareError(PipelineError):
    """The machine contradicts itself or the configuration."""
