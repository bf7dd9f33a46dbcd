"""`python -m trtproof.backends.tensorrt.build_process FOLDER`: carry out the order in a folder.

A process of its own, so that a crash of the library or a build without end takes nothing with it.
Writes the plan, the log, the inspector's text, the timing cache and at last the answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

from trtproof.backends.tensorrt import library
from trtproof.backends.tensorrt.calls import OptionalCalls
from trtproof.backends.tensorrt.errors import failure
from trtproof.backends.tensorrt.inspected import read_engine
from trtproof.backends.tensorrt.library import LogLine
from trtproof.backends.tensorrt.machine import require_gpu
from trtproof.backends.tensorrt.monitor import make_monitor
from trtproof.backends.tensorrt.network import Network, parse_network
from trtproof.backends.tensorrt.order import (
    CACHE_IN,
    CACHE_OUT,
    INSPECTOR_FILE,
    LOG_FILE,
    PLAN_FILE,
    Answer,
    BuildOrder,
    read_order,
)
from trtproof.backends.tensorrt.plugins import load_plugins
from trtproof.backends.tensorrt.settings import add_profiles, make_config, read_back
from trtproof.errors import BuildFailedError, PipelineError
from trtproof.progress import note
from trtproof.stage import die_with_parent

VERBOSE: Final = "VERBOSE"


class LogFile(list[LogLine]):
    """A capture that writes every line at once: a crash must not lose the last ones."""

    def __init__(self, file: TextIO, *, verbose: bool) -> None:
        super().__init__()
        self._file = file
        self._verbose = verbose

    def append(self, line: LogLine) -> None:
        """Write one line."""
        if self._verbose or line.severity != VERBOSE:
            self._file.write(f"{line}\n")


def carry_out(
    order: BuildOrder, folder: Path, work: Callable[[BuildOrder, Path], dict[str, Any]]
) -> Answer:
    """Do the work, which returns facts for the sidecar, and return what became of it."""
    verbose = bool(order.options["verbose_log"])
    with (
        (folder / LOG_FILE).open("w", encoding="utf-8", buffering=1) as file,
        library.capture(LogFile(file, verbose=verbose)),
    ):
        try:
            return Answer("built", facts=work(order, folder))
        except BuildFailedError as error:
            return Answer("failed", code=error.code, text=error.text, repair=error.repair)
        except MemoryError:
            return Answer("error", text="the host ran out of memory; free some and run it again")
        except PipelineError as error:
            return Answer("error", text=str(error))


def build(order: BuildOrder, folder: Path) -> dict[str, Any]:
    """Write the plan into the folder and return facts for the sidecar.

    Raises:
        BuildFailedError, BackendError, HardwareError: see `trtproof.backends.tensorrt.errors`.
    """
    calls = OptionalCalls()
    trt = library.load()
    require_gpu(order.facts, calls)
    load_plugins(trt, map(Path, order.plugins))
    parsed = parse_network(trt, order.model)
    config = make_config(trt, parsed.builder, order, calls)
    add_profiles(parsed.builder, config, order)
    reused = set_timing_cache(config, folder, order, calls)
    monitor = make_monitor(trt, order.title)
    calls.optional("progress_monitor", lambda: setattr(config, "progress_monitor", monitor))
    data = serialize(parsed, config)
    (folder / PLAN_FILE).write_bytes(data)
    keep_timing_cache(config, folder, calls)
    facts = {
        "tensorrt": library.version(trt),
        "network_layers": int(parsed.network.num_layers),
        "effective": read_back(trt, config, calls),
        "timing_cache_reused": reused,
    }
    return facts | inspect_plan(trt, data, folder, calls) | {"unavailable": calls.unavailable}


def serialize(parsed: Network, config: Any) -> bytes:
    """Return the plan's bytes.

    Raises:
        BuildFailedError, BackendError: TensorRT builds none.
    """
    with library.capture() as lines:
        plan = parsed.builder.build_serialized_network(parsed.network, config)
    data = b"" if plan is None else bytes(plan)
    if not data:
        what = "building the engine"
        raise failure(what, lines, code="build_failed", repair="see build.log beside engine.json")
    return data


def set_timing_cache(config: Any, folder: Path, order: BuildOrder, calls: OptionalCalls) -> bool:
    """Give the builder the kept timings, or an empty cache to fill; say whether they were taken."""
    if not order.options["timing_cache"]:
        return False
    kept = (folder / CACHE_IN).read_bytes() if (folder / CACHE_IN).exists() else b""

    def use(data: bytes) -> bool:
        timing_cache = config.create_timing_cache(data)
        return timing_cache is not None and bool(
            config.set_timing_cache(timing_cache, ignore_mismatch=False)
        )

    taken = calls.optional("timing_cache", lambda: use(kept)) if kept else None
    if kept and not taken:
        note(f"{order.title}: TensorRT refuses the kept timing cache; building without it")
    if not taken:
        calls.optional("timing_cache", lambda: use(b""))
    return bool(taken)


def keep_timing_cache(config: Any, folder: Path, calls: OptionalCalls) -> None:
    """Write the timings that the build leaves, where it leaves any."""

    def content() -> bytes:
        timing_cache = config.get_timing_cache()
        return b"" if timing_cache is None else bytes(timing_cache.serialize())

    data = calls.optional("timing_cache (read)", content)
    if data:
        (folder / CACHE_OUT).write_bytes(data)


def inspect_plan(trt: Any, data: bytes, folder: Path, calls: OptionalCalls) -> dict[str, Any]:
    """Load the plan once, write the inspector's text, and return what the engine says of itself.

    A plan that cannot be loaded here is kept: the benchmark's load says why, and the sidecar too.
    """

    def load() -> Any:
        runtime = trt.Runtime(library.logger(trt))
        # A version-compatible plan holds host code; it is ours, from a moment ago.
        runtime.engine_host_code_allowed = True
        return runtime, runtime.deserialize_cuda_engine(data)

    with library.capture() as lines:
        runtime, engine = calls.optional("engine", load) or (None, None)
    if engine is None:
        what = "loading the plan"
        error = failure(what, lines, code="not_loaded", repair="see build.log")
        calls.unavailable.setdefault("engine", f"unavailable: {error}")
        return {}
    (folder / INSPECTOR_FILE).write_text(read_engine(trt, engine, calls), encoding="utf-8")
    facts = ask_engine(engine, calls)
    del engine  # before its runtime
    del runtime
    return facts


def ask_engine(engine: Any, calls: OptionalCalls) -> dict[str, Any]:
    """Return what an engine says of itself; what this version cannot tell is left out."""
    questions = {
        "device_memory_bytes": lambda: int(engine.device_memory_size_v2),
        "engine_layers": lambda: int(engine.num_layers),
        "aux_streams": lambda: int(engine.num_aux_streams),
        "profiles": lambda: int(engine.num_optimization_profiles),
    }
    answers = {name: calls.optional(name, ask) for name, ask in questions.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


def main(folder: Path) -> None:
    """Carry out the order in a folder."""
    die_with_parent()
    carry_out(read_order(folder), folder, build).write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
