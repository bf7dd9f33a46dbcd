"""How long torch.compile takes on the GPU: a part of building a variant."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from trtproof.backends.base import RunOptions, run_once
from trtproof.backends.torch_cuda import Settings, open_engine
from trtproof.errors import BackendError, BuildFailedError
from trtproof.tensor import Signature

if TYPE_CHECKING:
    from torch import nn


def time_compilation(
    module: nn.Module,
    signature: Signature,
    settings: Settings,
    *,
    tf32: bool,
    extents: Mapping[str, int],
) -> float:
    """Return the seconds to the first answer of the compiled module, without torch's disk cache.

    Raises:
        BuildFailedError: torch.compile cannot compile the module whole.
        BackendError: the module fails, or the GPU has no memory left.
    """
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor import config as inductor

    feeds = {
        spec.name: np.zeros(spec.resolve(extents), np.dtype(spec.dtype))
        for spec in signature.inputs
    }
    options = RunOptions(threads=torch.get_num_threads(), device="cuda")
    kept, inductor.force_disable_caches = inductor.force_disable_caches, True
    try:
        with open_engine(module, signature, options, settings, tf32=tf32) as engine:
            started = perf_counter()
            run_once(engine.runner(0), feeds)
            return perf_counter() - started
    except BackendError as error:
        if not isinstance(error.__cause__, TorchDynamoException):
            raise
        raise BuildFailedError(
            code="not_compiled",
            text=f"torch.compile cannot compile the module whole: {error}",
            repair="correct the module, or drop build.options.compile in conf/variant",
        ) from error
    finally:
        inductor.force_disable_caches = kept
