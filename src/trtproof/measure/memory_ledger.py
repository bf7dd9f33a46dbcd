"""Where a variant's memory goes, measured in a process of its own while the GPU is otherwise idle.

Each figure names its source. Parts are differences of what the driver tells inside of the worker;
their sum is held against what NVML sees from outside, and the rest is shown as unexplained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from trtproof import progress
from trtproof.backends.memory import CUDA
from trtproof.measure.budget import plan_warmup
from trtproof.measure.energy import ON_THE_CPU
from trtproof.measure.gpu_state import GpuMonitor
from trtproof.measure.launch import OPEN_TIMEOUT_S, Launcher
from trtproof.measure.link import Contender
from trtproof.measure.rounds import SLOWNESS

NVML: Final = "nvmlDeviceGetMemoryInfo, before and after"
MEM_GET_INFO: Final = "cudaMemGetInfo, before and after"
OWN_BUFFERS: Final = "what we allocated"
NOT_ON_IT: Final = "this variant runs on the CPU, not on the GPU"
NO_FIGURE: Final = "this GPU does not tell the memory in use"
IO_PART: Final = "io"


@dataclass(frozen=True)
class Part:
    """One line of the ledger; `size_bytes` is negative where memory was given back."""

    part: str
    size_bytes: int
    source: str


@dataclass(frozen=True)
class Outside:
    """Memory in use on the GPU as NVML sees it, by all processes.

    `context` is after the worker made its context, `warm` after its warm-up, `peak` the most that
    was polled meanwhile.
    """

    idle: int
    context: int
    warm: int
    peak: int


def measure_memory(launcher: Launcher) -> list[dict[str, Any]]:
    """Return one note per variant, a `reason` in place of figures; or a single one for all.

    Raises:
        BackendError: a worker reports an error, crashes or hangs.
        HardwareError: the GPU no longer answers.
    """
    gpu = launcher.inputs.gpu
    if gpu is None:
        return [{"reason": ON_THE_CPU.replace("energy", "memory")}]
    if gpu.read().now.used_bytes is None:
        return [{"reason": NO_FIGURE}]
    variants = launcher.inputs.variants
    return [
        _measure(launcher, contender, gpu)
        for contender in progress.track(
            variants, title="benchmark, GPU memory", total=len(variants)
        )
    ]


def balance(
    inside: Mapping[str, int], told: Sequence[Mapping[str, Any]], outside: Outside
) -> dict[str, Any]:
    """Return the parts, their sum's rest to what NVML sees, and what libraries tell of parts.

    Args:
        inside: memory in use as cudaMemGetInfo says, by moment: context, loaded, warm.
        told: what the engine and its runner say of themselves: part, size_bytes, source.
        outside: the same from outside.
    """
    io_bytes = sum(figure["size_bytes"] for figure in told if figure["part"] == IO_PART)
    parts = [
        Part("context", outside.context - outside.idle, NVML),
        Part("weights", inside["loaded"] - inside["context"], MEM_GET_INFO),
        Part("activations", inside["warm"] - inside["loaded"] - io_bytes, MEM_GET_INFO),
        Part(IO_PART, io_bytes, OWN_BUFFERS),
    ]
    total = outside.warm - outside.idle
    rest = total - sum(part.size_bytes for part in parts)
    return {
        "parts": [asdict(part) for part in parts],
        "unexplained_bytes": rest,
        "total_bytes": total,
        "peak_bytes": outside.peak - outside.idle,
        "told": [dict(figure) for figure in told],
    }


def _measure(launcher: Launcher, contender: Contender, gpu: GpuMonitor) -> dict[str, Any]:
    """Return the ledger of one variant at the first batch size."""
    if contender.options.device != CUDA:
        return {"contender": contender.name, "reason": NOT_ON_IT}
    config = launcher.inputs.config
    batch = max(config.batches[0], contender.least_batch)
    idle = _used(gpu)
    gpu.reset_peak()
    with launcher.start(contender) as link:
        timeout_s = OPEN_TIMEOUT_S
        device = contender.options.device
        link.ask("open_context", timeout_s=timeout_s, device=device)
        context = _used(gpu)
        launcher.open(link)
        rule = plan_warmup(config, contenders=1, sessions=1)
        warm_timeout_s = timeout_s + SLOWNESS * rule.cap_seconds
        link.ask("warm_up", timeout_s=warm_timeout_s, batch=batch, rule=asdict(rule))
        reply = link.ask("tell_memory", timeout_s=timeout_s)
        outside = Outside(idle, context, _used(gpu), gpu.peak_bytes or 0)
        process_bytes = gpu.read_process_bytes().get(link.pid)
    return {
        "contender": contender.name,
        "batch": batch,
        "worker": link.number,
        "host_peak_bytes": reply["peak_rss_bytes"],
        "plan_bytes": (contender.folder / contender.plan).stat().st_size,
        "process_bytes": process_bytes,
        **balance(reply["used_bytes"], reply["told"], outside),
    }


def _used(gpu: GpuMonitor) -> int:
    """Return the memory in use now."""
    return gpu.read().now.used_bytes or 0
