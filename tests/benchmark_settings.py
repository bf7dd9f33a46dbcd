"""A small conf/benchmark for tests: the latency scenario alone unless asked for more."""

from __future__ import annotations

import copy
from typing import Any

from trtproof.benchmark_config import BenchmarkConfig
from trtproof.config import decode

BENCHMARK: dict[str, Any] = {
    "profile": "smoke",
    "rounds": 4,
    "most_rounds": 4,
    "requests": 3,
    "block_seconds": 0.0,
    "max_minutes": 0.5,
    "restart_every_rounds": 0,
    "batches": [1, 2],
    "items": 4,
    "cpu_affinity": None,
    "answer_tolerance": 0.01,
    "warmup": {
        "seconds": 0.001,
        "cap_seconds": 0.01,
        "iterations": 1,
        "block_iterations": 1,
        "block_seconds": 0.0,
    },
    "disturbance": {
        "pressure_share": 0.10,
        "steal_share": 0.01,
        "foreign_share": 0.05,
        "power_cap_share": 0.25,
        "most_left_out_share": 0.5,
        "reruns": 0,
    },
    "figures": {
        "wall_p10": {"minimum_effect": 0.05, "wanted_halfwidth": 0.01},
        "cpu_p50": {"minimum_effect": 0.03, "wanted_halfwidth": None},
    },
    "scenario_minutes": None,
    "throughput": None,
    "sustained": None,
    "cold": None,
    "device": None,
    "energy": None,
    "memory_ledger": False,
    "trtexec": None,
}
THROUGHPUT: dict[str, Any] = {
    "batches": [1, 2],
    "streams": [1, 2],
    "rounds": 2,
    "seconds": 0.02,
    "warm_seconds": 0.002,
}
SUSTAINED: dict[str, Any] = {
    "batches": [1],
    "seconds": 0.01,
    "cap_seconds": 0.02,
    "block_seconds": 0.01,
}
COLD: dict[str, Any] = {"processes": 2}
DEVICE: dict[str, Any] = {
    "rounds": 4,
    "requests": 6,
    "seconds": 0.0,
    "parts_requests": 3,
}
ENERGY: dict[str, Any] = {
    "batches": [1],
    "windows": 2,
    "seconds": 0.02,
    "load_seconds": 0.01,
    "idle_seconds": 0.01,
}


TRTEXEC: dict[str, Any] = {
    "protocols": ["trtexec10", "trtexec11"],
    "warm_up_ms": 5.0,
    "seconds": 0.02,
    "iterations": 10,
}


def settings(**changes: Any) -> dict[str, Any]:
    """Return the settings as plain data; a mapping changes the keys of a section that it names."""
    merged = copy.deepcopy(BENCHMARK)
    for key, value in changes.items():
        section = isinstance(value, dict) and isinstance(merged[key], dict)
        merged[key] = merged[key] | value if section else value
    return merged


def benchmark_config(**changes: Any) -> BenchmarkConfig:
    """Return the settings as a stage gets them."""
    return decode(BenchmarkConfig, settings(**changes), key="benchmark")
