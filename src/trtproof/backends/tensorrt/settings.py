"""A builder's configuration from an order, read back where a flag could be ignored in silence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from trtproof.backends.tensorrt import library
from trtproof.backends.tensorrt.calls import OptionalCalls
from trtproof.backends.tensorrt.errors import failure
from trtproof.backends.tensorrt.order import BuildOrder
from trtproof.errors import BuildFailedError

BYTES_PER_MIB: Final = 1 << 20
NUMBERS: Final = ("builder_optimization_level", "max_aux_streams", "avg_timing_iterations")


def make_config(trt: Any, builder: Any, order: BuildOrder, calls: OptionalCalls) -> Any:
    """Return the configuration of one build, without profiles.

    Raises:
        BuildFailedError: a flag that the plan was to have did not take effect.
    """
    config = builder.create_builder_config()
    if config is None:
        raise BuildFailedError(
            code="no_config",
            text="TensorRT makes no builder configuration",
            repair="run `trtproof doctor`",
        )
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, order.workspace_mib * BYTES_PER_MIB)
    _set_flag(config, trt.BuilderFlag.TF32, on=order.tf32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _set_compatibility(trt, config, order.options)
    _set_search(trt, config, order.options, calls)
    return config


def _set_flag(config: Any, flag: Any, *, on: bool) -> None:
    """Set or clear a flag and see that it took effect."""
    with library.capture() as lines:
        if on:
            config.set_flag(flag)
        else:
            config.clear_flag(flag)
        effective = bool(config.get_flag(flag))
    if effective != on:
        raise _ignored(name=flag.name, asked=on, effective=effective, lines=lines)


def _set_compatibility(trt: Any, config: Any, options: dict[str, Any]) -> None:
    """Set what lets other versions or GPUs load the plan, and see that TensorRT took it."""
    if options["version_compatible"]:
        _set_flag(config, trt.BuilderFlag.VERSION_COMPATIBLE, on=True)
        if not options["embed_lean_runtime"]:
            _set_flag(config, trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME, on=True)
    if options["weight_streaming"]:
        _set_flag(config, trt.BuilderFlag.WEIGHT_STREAMING, on=True)
    wanted = options["hardware_compatibility"]
    if wanted == "NONE":
        return
    with library.capture() as lines:
        config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, wanted)
        effective = config.hardware_compatibility_level.name
    if effective != wanted:
        raise _ignored(
            name="hardware_compatibility", asked=wanted, effective=effective, lines=lines
        )


def _set_search(trt: Any, config: Any, options: dict[str, Any], calls: OptionalCalls) -> None:
    """Set how the builder searches; a plan without one of these is a good plan all the same."""
    for name in NUMBERS:
        if options[name] is not None:
            calls.optional(name, partial(setattr, config, name, options[name]))
    if options["tiling_optimization_level"] != "NONE":

        def tile() -> None:
            level = getattr(trt.TilingOptimizationLevel, options["tiling_optimization_level"])
            config.tiling_optimization_level = level

        calls.optional("tiling_optimization_level", tile)


def read_back(trt: Any, config: Any, calls: OptionalCalls) -> dict[str, Any]:
    """Return the settings as TensorRT holds them; what it cannot tell is left out."""
    pool = trt.MemoryPoolType.WORKSPACE
    questions: dict[str, Callable[[], Any]] = {
        "builder_optimization_level": lambda: int(config.builder_optimization_level),
        "max_aux_streams": lambda: int(config.max_aux_streams),
        "avg_timing_iterations": lambda: int(config.avg_timing_iterations),
        "tiling_optimization_level": lambda: config.tiling_optimization_level.name,
        "hardware_compatibility": lambda: config.hardware_compatibility_level.name,
        "tf32": lambda: bool(config.get_flag(trt.BuilderFlag.TF32)),
        "workspace_mib": lambda: config.get_memory_pool_limit(pool) // BYTES_PER_MIB,
        "profiles": lambda: int(config.num_optimization_profiles),
    }
    answers = {name: calls.optional(f"{name} (read)", ask) for name, ask in questions.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


def add_profiles(builder: Any, config: Any, order: BuildOrder) -> None:
    """Add the order's optimization profiles.

    Raises:
        BuildFailedError: TensorRT refuses one.
    """
    for position, shapes in enumerate(order.profiles):
        with library.capture() as lines:
            profile = builder.create_optimization_profile()
            for name, (low, usual, high) in shapes.items():
                profile.set_shape(name, tuple(low), tuple(usual), tuple(high))
            taken = bool(profile) and config.add_optimization_profile(profile) >= 0
        if not taken:
            raise failure(
                f"adding optimization profile {position}",
                lines,
                code="profile_refused",
                repair="correct build.profiles in conf/variant and run `trtproof compose`",
            )


def _ignored(
    *, name: str, asked: Any, effective: Any, lines: list[library.LogLine]
) -> BuildFailedError:
    said = "; ".join(line.text for line in lines if line.severity != "VERBOSE")
    because = f" ({said})" if said else ""
    return BuildFailedError(
        code="not_in_effect",
        text=f"{name} was to be {asked}, but TensorRT leaves it at {effective}{because}",
        repair="take the option out of conf/variant, or use a TensorRT that has it",
    )
