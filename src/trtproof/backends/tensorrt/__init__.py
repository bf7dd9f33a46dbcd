"""TensorRT 10.16+ and 11 by one code path; never executed by us on TensorRT itself.

library      import tensorrt once, refuse tensorrt_rtx, the one logger of the process
calls        calls that a good build can do without: "unavailable: reason" instead of an error
errors       what TensorRT's log lines mean: recorded failures, or errors that record nothing
reasons      why a machine cannot run a precision, from hardware.json alone
options      variant.build.options of this backend as a type
checks       what the builder accepts in silence: checked before TensorRT sees the model
build_*      the build, in a process of its own
gate         sidecar against this machine before anything is deserialised
inspect      the engine inspector's JSON of both majors
engine       a plan loaded on this machine (tensors, ranges: its inputs, outputs and profiles)
runner       one stream of it: context, shapes, memory, launch (allocator: data-dependent outputs)

Names: in this package a variable (or attribute) called trt, builder, network, parser, config,
profile, plan, runtime, engine, context, inspector, timing_cache or parser_error holds that object
of TensorRT's and nothing else, so that a test can hold every access against the recorded surfaces
of both majors. TensorRT is reached through `library.load()` only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from trtproof.backends.base import BuildSpec, CompileRecord, Engine, Facts, RunOptions
from trtproof.backends.tensorrt import reasons
from trtproof.reason import Reason

if TYPE_CHECKING:
    from trtproof.models.base import ModelFiles


class TensorRtBackend:
    """Registered as "tensorrt"."""

    name = "tensorrt"

    def unavailable(self, facts: Facts, precision: str) -> Reason | None:
        """Return the first thing that is missing, in the order of what to repair first."""
        return reasons.first_missing(facts, precision)

    def compile(self, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
        """Write the plan into the folder `out`.

        Raises:
            ConfigError: an option or a profile is wrong.
            BuildFailedError: a cause that the next try meets again; it is recorded.
            BackendError: out of memory, a CUDA error, a crash, a time-out; nothing is recorded.
        """
        from trtproof.backends.tensorrt.build import compile_plan

        return compile_plan(model, spec, out)

    def open(self, folder: Path, plan: str, options: RunOptions) -> AbstractContextManager[Engine]:
        """Load the plan on the first GPU that this process sees.

        Raises:
            HardwareError: TensorRT, CUDA or the GPU cannot be used.
            BackendError: TensorRT refuses the plan, or it is not the signature's.
        """
        from trtproof.backends.tensorrt.engine import open_engine

        return open_engine(folder, plan, options)


BACKEND = TensorRtBackend()
