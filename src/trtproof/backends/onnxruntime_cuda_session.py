"""ONNX Runtime's CUDA provider: its settings, and sessions that cannot slip onto the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtproof import artifacts
from trtproof.backends.host import import_library
from trtproof.backends.onnxruntime_library import (
    CUDA_PROVIDER,
    SETTINGS_FILE,
    errors_as_backend_error,
)
from trtproof.errors import HardwareError
from trtproof.tensor import Signature

if TYPE_CHECKING:
    import onnxruntime as ort

INSTALL: Final = "pip install 'trtproof[cuda]'"
LOG_FATAL_ONLY: Final = 4
"""What matters is raised as an exception; below this level cuDNN's search prints every algorithm
that it could not use as an error."""


@dataclass(frozen=True)
class Settings:
    """What decides the provider's kernels; recorded in the plan's folder."""

    tf32: bool
    nhwc: bool
    conv_search: str

    def to_options(self, stream: int, *, cuda_graph: bool) -> dict[str, str]:
        """Return the provider's options; `stream` is the address of the stream to launch on."""
        return {
            "device_id": "0",
            "user_compute_stream": str(stream),
            "use_tf32": str(int(self.tf32)),
            "prefer_nhwc": str(int(self.nhwc)),
            "cudnn_conv_algo_search": self.conv_search,
            "enable_cuda_graph": str(int(cuda_graph)),
        }


def load_settings(folder: Path) -> Settings:
    """Return the settings beside a plan."""
    stored = artifacts.read_json(folder / SETTINGS_FILE, made_by=f"build@{folder.name}")
    return Settings(**stored)


def make_session(
    plan: Path, options: Mapping[str, str], *, profile: Path | None = None
) -> ort.InferenceSession:
    """Return a session whose first provider is CUDA's.

    Raises:
        HardwareError: the provider does not start, so that ONNX Runtime would take the CPU.
        BackendError: the library refuses the model.
    """
    ort = import_library("onnxruntime", install=INSTALL)
    ort.set_default_logger_severity(LOG_FATAL_ONLY)
    _preload(ort)
    settings = ort.SessionOptions()
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.log_severity_level = LOG_FATAL_ONLY
    if profile is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(profile)
    with errors_as_backend_error(f"opening {plan} on the GPU"):
        session = ort.InferenceSession(
            str(plan), settings, providers=[(CUDA_PROVIDER, dict(options))]
        )
    session.disable_fallback()
    if session.get_providers()[:1] != [CUDA_PROVIDER]:
        raise HardwareError(
            f"ONNX Runtime {ort.__version__} cannot start its CUDA provider and would run on "
            f"{session.get_providers()[0]}; see that CUDA's and cuDNN's libraries of its version "
            f"are installed (`{INSTALL}`, `trtproof doctor`)"
        )
    return session


def _preload(ort: Any) -> None:
    """Load the CUDA and cuDNN that came as packages: no loader's path leads to them."""
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()


def read_extents(signature: Signature, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return what the symbols of the inputs' shapes are in this request."""
    return {
        symbol: int(extent)
        for spec in signature.inputs
        for symbol, extent in zip(spec.shape, shapes[spec.name], strict=True)
        if not isinstance(symbol, int)
    }
