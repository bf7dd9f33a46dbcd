"""variant.build.options of the TensorRT backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from trtproof.config import decode
from trtproof.setting_types import NonNegative, Positive, PositiveFloat, Section

OptimizationLevel = Annotated[int, Meta(ge=0, le=5)]


class TensorRtOptions(Section, frozen=True):
    """What a user may say of a build besides precision, TF32, workspace and profiles.

    The defaults are TensorRT's own, except that the verbosity of the plan is always detailed.
    """

    builder_optimization_level: OptimizationLevel = 3
    """How long the builder searches: 0 is quick and poor, 5 tries everything."""

    max_aux_streams: NonNegative | None = None
    """Streams besides the caller's that one inference may use; null leaves it to TensorRT."""

    avg_timing_iterations: Positive = 1
    """How often each kernel is timed when kernels are chosen."""

    tiling_optimization_level: Literal["NONE", "FAST", "MODERATE", "FULL"] = "NONE"
    """How long the builder searches for tilings that stay in the L2 cache."""

    version_compatible: bool = False
    """Let later TensorRT versions load the plan; slower, and a larger file."""

    embed_lean_runtime: bool = True
    """Put the runtime that a version-compatible plan needs into the plan."""

    hardware_compatibility: Literal["NONE", "AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY"] = "NONE"
    """Which other GPUs may load the plan; slower."""

    weight_streaming: bool = False
    """Let weights stay in host memory at run time."""

    plugins: tuple[str, ...] = ()
    """Libraries (.so) of the user's own operators: copied beside the plan."""

    precision_gate: Literal["fail", "warn"] = "fail"
    """What happens when the built engine provably computes in another precision than asked."""

    timing_cache: bool = True
    """Remember kernel timings for the next build of the same key, which then chooses the same."""

    timing_cache_dir: str | None = None
    """Where they are kept; null is trtproof/timing in the user's cache folder."""

    max_build_minutes: PositiveFloat = 120.0
    """A build that takes longer is stopped; nothing is recorded then."""

    verbose_log: bool = False
    """Keep every line in build.log: tens of megabytes for a large model."""


def read_options(options: Mapping[str, Any], *, key: str = "build.options") -> TensorRtOptions:
    """Return a variant's options as the type; `key` is where they stand, for the error.

    Raises:
        ConfigError: an unknown option, a wrong type or a value out of range.
    """
    return decode(TensorRtOptions, dict(options), key=key)
