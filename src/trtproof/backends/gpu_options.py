"""variant.build.options of the backends that run on a CPU too: what they take on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from trtproof.config import decode
from trtproof.setting_types import Section


class TorchOptions(Section, frozen=True):
    """How the reference's module runs on a GPU; shown with every figure of it."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    channels_last: bool = False
    """Keep weights and images as (N, H, W, C), which tensor cores prefer."""

    cudnn_benchmark: bool = False
    """Let cuDNN time its convolution algorithms at the first request of each shape."""

    compile: Literal["default", "max-autotune-no-cudagraphs"] | None = None
    """torch.compile's mode; a CUDA graph is `run.cuda_graph`, for every backend alike."""


class OnnxRuntimeOptions(Section, frozen=True):
    """How ONNX Runtime's CUDA provider chooses its kernels."""

    nhwc: bool = False
    """Compute convolutions as (N, H, W, C), which tensor cores prefer."""

    conv_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] = "EXHAUSTIVE"
    """How cuDNN's algorithm of each convolution is chosen, when a session first meets a shape."""


KINDS: Final[Mapping[str, type[TorchOptions | OnnxRuntimeOptions]]] = {
    "torch": TorchOptions,
    "onnxruntime": OnnxRuntimeOptions,
}


def read_gpu_options(
    backend: str, options: Mapping[str, Any], *, key: str = "build.options"
) -> dict[str, Any]:
    """Return all options of a backend on a GPU, the defaults filled in.

    Raises:
        ConfigError: an unknown option, or a value that it does not take; `key` is where it stands.
    """
    stated: dict[str, Any] = msgspec.to_builtins(decode(KINDS[backend], dict(options), key=key))
    return stated
