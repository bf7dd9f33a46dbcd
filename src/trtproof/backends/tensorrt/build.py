"""Build a plan: check everything ourselves, let a process of its own build, judge the result."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from trtproof import artifacts
from trtproof.backends.base import BuildSpec, CompileRecord
from trtproof.backends.tensorrt import order as orders
from trtproof.backends.tensorrt.asked import asked_share, node_names
from trtproof.backends.tensorrt.checks import check_model
from trtproof.backends.tensorrt.gate import allowed_differences
from trtproof.backends.tensorrt.inspected import (
    RAW_FILE,
    Asked,
    Inspected,
    inspect_text,
    require_precision,
)
from trtproof.backends.tensorrt.options import TensorRtOptions, read_options
from trtproof.backends.tensorrt.order import Answer, BuildOrder, read_answer
from trtproof.backends.tensorrt.plugins import FOLDER as PLUGIN_FOLDER
from trtproof.backends.tensorrt.shapes import make_profiles
from trtproof.backends.tensorrt.timing_cache import TimingCacheFile, cache_file
from trtproof.errors import BackendError, BuildFailedError, MissingFileError
from trtproof.progress import note

if TYPE_CHECKING:
    from onnx import ModelProto

    from trtproof.models.base import ModelFiles

PROCESS: Final = "trtproof.backends.tensorrt.build_process"
SECONDS_PER_MINUTE: Final = 60
LAST_LINES: Final = 3
"""How many of the log's last lines the error of a crash quotes."""


@dataclass(frozen=True)
class Work:
    """One build under way: its settings and the folder that the process works in.

    `process` is the module that works there.
    """

    spec: BuildSpec
    options: TensorRtOptions
    folder: Path
    out: Path
    process: str = PROCESS


def compile_plan(model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
    """Write the plan and the inspector's text into a folder; return the record.

    Raises:
        ConfigError: an option or a profile is wrong.
        BuildFailedError: a cause that the next try meets again, found by us or by TensorRT.
        BackendError: out of memory, a CUDA error, a crash, a time-out.
    """
    options = read_options(spec.options)
    profiles = make_profiles(model.signature, spec.profiles)
    proto = check_model(model)
    order = BuildOrder(
        title=f"building {out.name}",
        model=str(model.onnx.resolve()),
        tf32=spec.tf32,
        workspace_mib=spec.workspace_mib,
        profiles=profiles,
        options=msgspec.to_builtins(options),
        plugins=[str(path.resolve()) for path in find_plugins(options)],
        facts=dict(spec.facts),
    )
    with tempfile.TemporaryDirectory(prefix="trtproof-build-") as folder:
        work = Work(spec=spec, options=options, folder=Path(folder), out=out)
        timings = prepare_timings(work, model)
        order.write(work.folder)
        answer = require_built(run_process(work), work)
        return collect(work, answer, proto, keep_timings(work, timings))


def find_plugins(options: TensorRtOptions) -> list[Path]:
    """Return the plug-in libraries.

    Raises:
        MissingFileError: one is not there.
    """
    paths = [Path(name) for name in options.plugins]
    for path in paths:
        if not path.is_file():
            raise MissingFileError(path, repair="correct build.options.plugins in conf/variant")
    return paths


def prepare_timings(work: Work, model: ModelFiles) -> TimingCacheFile | None:
    """Put the timings kept from an earlier build of the same engine key where the process looks."""
    if not work.options.timing_cache:
        return None
    spec = work.spec
    key = {
        "facts": dict(spec.facts),
        "model": artifacts.sha256_folder(model.folder),
        "tf32": spec.tf32,
        "workspace_mib": spec.workspace_mib,
        "profiles": [dict(profile) for profile in spec.profiles],
        "options": msgspec.to_builtins(work.options),
    }
    timings = cache_file(work.options.timing_cache_dir, key)
    kept = timings.read()
    if kept:
        (work.folder / orders.CACHE_IN).write_bytes(kept)
    return timings


def keep_timings(work: Work, timings: TimingCacheFile | None) -> dict[str, Any]:
    """Keep the timings that the build left, and return what the sidecar says of them."""
    path = work.folder / orders.CACHE_OUT
    if timings is None or not path.exists():
        return {}
    content = path.read_bytes()
    timings.write(content)
    return {"timing_cache_sha256": hashlib.sha256(content).hexdigest()}


def run_process(work: Work) -> int:
    """Return the exit code of the build process; negative is the signal that ended it.

    Raises:
        BackendError: it takes longer than the options allow.
    """
    seconds = work.options.max_build_minutes * SECONDS_PER_MINUTE
    try:
        done = subprocess.run(
            [sys.executable, "-m", work.process, str(work.folder)], check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise BackendError(
            f"building {work.out.name} took longer than "
            f"{work.options.max_build_minutes:g} minutes and was stopped{last_lines(work)}; raise "
            "build.options.max_build_minutes, or lower builder_optimization_level"
        ) from None
    return done.returncode


def require_built(code: int, work: Work) -> Answer:
    """Return the answer of a build that worked.

    Raises:
        BuildFailedError: TensorRT refuses for a lasting reason; carries the log.
        BackendError: any other reason, and a process that died without an answer.
    """
    answer = read_answer(work.folder)
    if answer is None:
        raise BackendError(
            f"the process that built {work.out.name} {describe_end(code)}{last_lines(work)}; run "
            "it again, and `trtproof doctor` if it ends like this again"
        )
    if answer.outcome == "failed":
        raise BuildFailedError(
            code=answer.code, text=answer.text, repair=answer.repair, log=read_log(work)
        )
    if answer.outcome == "error":
        raise BackendError(answer.text)
    return answer


def describe_end(code: int) -> str:
    """Return how a process ended, as in "was ended by SIGSEGV"."""
    if code >= 0:
        return f"ended with code {code} and no answer"
    name = signal.Signals(-code).name
    hint = " (Linux does that when the host's memory is full)" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def last_lines(work: Work) -> str:
    """Return the end of TensorRT's log for an error's text."""
    lines = [line for line in read_log(work).splitlines() if line.strip()]
    return f"; TensorRT's last words: {' | '.join(lines[-LAST_LINES:])}" if lines else ""


def read_log(work: Work) -> str:
    """Return the log so far."""
    path = work.folder / orders.LOG_FILE
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def collect(
    work: Work, answer: Answer, proto: ModelProto, timings: Mapping[str, Any]
) -> CompileRecord:
    """Move what the build made into the variant's folder, and judge the precision it computes in.

    Raises:
        BuildFailedError: the engine provably computes in another precision than asked.
    """
    spec, options = work.spec, work.options
    facts = {**answer.facts, **timings, "may_differ": allowed_differences(options)}
    inspected = read_inspection(work, proto)
    if inspected is not None:
        require_precision(inspected, options.precision_gate)
        artifacts.write_text(work.out / RAW_FILE, inspected.text)
        facts["inspection"] = inspected.facts()
    for name, reason in answer.facts.get("unavailable", {}).items():
        note(f"{work.out.name}: {name} is {reason}")
    shutil.move(work.folder / orders.PLAN_FILE, work.out / orders.PLAN_FILE)
    copy_plugins(options, work.out)
    layers = inspected.inspection.layers if inspected else ()
    return CompileRecord(
        plan=orders.PLAN_FILE,
        facts=facts | {"precision": spec.precision},
        layers=[layer.to_json() for layer in layers],
        log=read_log(work),
    )


def copy_plugins(options: TensorRtOptions, out: Path) -> None:
    """Put the plug-in libraries beside the plan, in their order."""
    for number, path in enumerate(find_plugins(options)):
        (out / PLUGIN_FOLDER).mkdir(exist_ok=True)
        shutil.copyfile(path, out / PLUGIN_FOLDER / f"{number:02}-{path.name}")


def read_inspection(work: Work, proto: ModelProto) -> Inspected | None:
    """Return what the inspector said of the engine; None where it could not be asked."""
    path = work.folder / orders.INSPECTOR_FILE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if not text:
        return None
    precision = work.spec.precision
    share = asked_share(proto, precision)
    return inspect_text(text, Asked(precision, share=share, nodes=node_names(proto)))
