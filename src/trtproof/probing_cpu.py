"""What this machine's processor and memory are, read from /proc and /sys.

Static facts only: nothing here changes while the machine runs. Each read is a function of its own,
so that a test can put another machine in its place.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trtproof.cores import usable_cores

CPUINFO: Final = Path("/proc/cpuinfo")
MEMINFO: Final = Path("/proc/meminfo")
GOVERNOR: Final = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
NO_TURBO: Final = Path("/sys/devices/system/cpu/intel_pstate/no_turbo")
CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
KIB_PER_GIB: Final = 1024 * 1024

ISA: Final[Mapping[str, str]] = {
    # x86: what chooses an inference kernel
    "sse4_1": "sse4_1",
    "avx": "avx",
    "f16c": "f16c",
    "fma": "fma",
    "avx2": "avx2",
    "avx_vnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512vl": "avx512vl",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    # ARM, by the names that libraries use
    "asimd": "neon",
    "asimddp": "dotprod",
    "asimdhp": "neon_fp16",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
}
"""Flag in /proc/cpuinfo -> name in hardware.json."""

ARM_PARTS: Final[Mapping[tuple[str, str], str]] = {
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
}
"""ARM's kernel states numbers, not names (linux: arch/arm64/include/asm/cputype.h)."""


def read_cpuinfo(path: Path = CPUINFO) -> str:
    """Return the kernel's description of the processors; "" on a system that has none."""
    return read_text(path)


def read_text(path: Path) -> str:
    """Return a small file of /proc or /sys; "" where it is missing or closed to us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def kernel_release() -> str:
    """Return the kernel's release, as in "6.8.0-45-generic"."""
    return platform.release()


def cpu_facts() -> dict[str, str]:
    """Return what a plan for this processor is tied to: its model and instruction sets."""
    blocks = _blocks(read_cpuinfo())
    first = blocks[0] if blocks else {}
    return {"cpu": _model_name(first), "isa": _isa(first)}


def host_facts() -> dict[str, Any]:
    """Return what else of the host decides timings, each fact only where it can be read."""
    threads = usable_cores()
    facts: dict[str, Any] = {
        "cpu": cpu_facts()["cpu"],
        "threads_count": len(threads),
        "cores_count": _cores_count(threads),
        "kernel": ".".join(re.findall(r"\d+", kernel_release())[:2]),
        "memory_gib": _memory_gib(),
        "cpu_quota": _cpu_quota(),
        "governor": read_text(GOVERNOR),
        "turbo": {"0": "on", "1": "off"}.get(read_text(NO_TURBO)),
    }
    return {name: value for name, value in facts.items() if value not in {None, ""}}


def _blocks(text: str) -> list[dict[str, str]]:
    """Return one mapping per processor of /proc/cpuinfo."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = (line.partition(":") for line in block.splitlines() if ":" in line)
        facts = {name.strip(): value.strip() for name, _, value in lines}
        if "processor" in facts:
            blocks.append(facts)
    return blocks


def _model_name(facts: Mapping[str, str]) -> str:
    """Return the marketing name without its trade marks, or what else the system says."""
    name = facts.get("model name", "")
    if not name and "CPU part" in facts:
        numbers = (facts.get("CPU implementer", ""), facts["CPU part"])
        name = f"ARM {ARM_PARTS.get(numbers, '-'.join(numbers))}"
    name = name or platform.processor() or platform.machine()
    return " ".join(re.sub(r"\((R|TM|r|tm)\)", "", name).split())


def _isa(facts: Mapping[str, str]) -> str:
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return "+".join(sorted(name for flag, name in ISA.items() if flag in flags))


def _cores_count(threads: list[int]) -> int | None:
    """Return how many physical cores the usable threads are on; None if the kernel is silent."""
    usable = set(map(str, threads))
    cores = {
        (block.get("physical id"), block["core id"])
        for block in _blocks(read_cpuinfo())
        if "core id" in block and block["processor"] in usable
    }
    return len(cores) or None


def _memory_gib() -> int | None:
    found = re.search(r"MemTotal:\s*(\d+) kB", read_text(MEMINFO))
    return round(int(found[1]) / KIB_PER_GIB) if found else None


def _cpu_quota() -> float | None:
    """Return how many processors' worth of time a container may use; None without a limit."""
    quota, _, period = read_text(CPU_QUOTA).partition(" ")
    return round(int(quota) / int(period), 2) if quota.isdigit() and period.isdigit() else None
