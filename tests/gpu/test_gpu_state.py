"""The GPU's state on a real GPU: what the fake NVML stands for.

Needs an NVIDIA GPU that nobody else uses, cuda-python and a PyTorch with CUDA for the load; no
TensorRT. Run with `pytest -m gpu tests/gpu/test_gpu_state.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from tests.benchmark_settings import benchmark_config
from tests.cuda_backend import SIZED_BACKEND
from tests.fakes import TESTS, make_feeds, write_fake_plan

from trtproof.backends.base import RunOptions
from trtproof.hardware import Hardware
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.energy import compare_energy, measure_energy
from trtproof.measure.gpu_counters import THROTTLE_FIELDS, GpuCounters
from trtproof.measure.gpu_state import GpuMonitor, compare_readings, watch_gpu
from trtproof.measure.gpu_tenants import Tenants
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.link import Contender
from trtproof.measure.memory_ledger import measure_memory
from trtproof.nvml import find_handle, open_nvml
from trtproof.probing_gpu import Gpu, find_gpu

pytestmark = pytest.mark.gpu

MIB = 1 << 20
TOLERANCE_BYTES = 64 * MIB
LOAD = (
    "import sys, time, torch\n"
    "a = torch.randn(8192, 8192, device='cuda', dtype=torch.bfloat16)\n"
    "b = a @ a; torch.cuda.synchronize(); print('ready', flush=True)\n"
    "end = time.monotonic() + float(sys.argv[1])\n"
    "while time.monotonic() < end:\n"
    "    for _ in range(20): b = a @ a\n"
    "    torch.cuda.synchronize()\n"
    "print('done', flush=True)\n"
)


@pytest.fixture(scope="module")
def gpu() -> Gpu:
    found = find_gpu(0)
    assert found is not None
    return found


@pytest.fixture
def hardware(gpu: Gpu) -> Hardware:
    return Hardware(slug="here", engine={}, bench={"gpu_uuid": gpu.short_uuid})


@pytest.fixture
def monitor(hardware: Hardware) -> Iterator[GpuMonitor]:
    with watch_gpu(hardware) as found:
        assert found is not None
        yield found


def say(*facts: object) -> None:
    """Show what was read: `pytest -s` keeps it for the record of a machine."""
    sys.stdout.write(" ".join(map(str, facts)) + "\n")


def load(seconds: float) -> subprocess.Popen[str]:
    """Start products of matrices in a process of ours; returns once they run."""
    child = subprocess.Popen(
        [sys.executable, "-c", LOAD, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_everything_that_is_read_is_told_here(monitor: GpuMonitor) -> None:
    now = monitor.read().now
    told = {name for name, value in vars(now).items() if value is not None}
    say(sorted(vars(now).items(), key=str), monitor.facts)
    assert told >= {
        "sm_mhz", "memory_mhz", "temperature_c", "power_w", "p_state", "energy_mj", "used_bytes",
        "processes", "reasons",
    }  # fmt: skip
    assert set(now.throttled_ns) == set(THROTTLE_FIELDS)
    assert monitor.facts["throttling_is"] == "counted"


def test_load_shows_in_clock_power_energy_and_counters_of_nanoseconds(monitor: GpuMonitor) -> None:
    sleep(2.0)
    idle_before = monitor.read()
    sleep(2.0)
    idle_after = monitor.read()
    with load(6.0) as child:
        sleep(1.0)
        before, begun_s = monitor.read(), monotonic()
        sleep(5.0)
        after, spent_s = monitor.read(), monotonic() - begun_s
        child.wait()
    busy, idle = compare_readings(before, after), compare_readings(idle_before, idle_after)
    use, rest = compare_energy(before, after), compare_energy(idle_before, idle_after)
    say("idle", idle, rest, "busy", busy, use)
    assert use.power_w > 1.5 * rest.power_w
    assert use.polled_mj == pytest.approx(use.counted_mj, rel=0.25)
    assert busy.sm_mhz is not None
    assert busy.sm_mhz > 300
    for name, lost_ns in busy.throttled_ns.items():
        assert lost_ns <= 1.1e9 * spent_s, f"{name} is not in nanoseconds"
    assert (busy.others_count, busy.others_share) == (0, 0.0)


def test_a_process_of_ours_is_seen_and_is_not_anothers(monitor: GpuMonitor) -> None:
    before = monitor.read().now.processes
    with load(3.0) as child:
        sleep(1.0)
        reading = monitor.read()
        child.wait()
    say(before, reading.now.processes, child.pid)
    assert before is not None
    assert reading.now.processes is not None
    assert len(reading.now.processes - before) == 1
    assert reading.others_count == len(before - {os.getpid()})  # other tests of this process


def test_a_second_process_that_is_not_ours_disturbs(hardware: Hardware) -> None:
    with open_nvml() as nvml:
        assert nvml is not None
        counters = GpuCounters(nvml, find_handle(nvml, str(hardware.bench["gpu_uuid"])))
        nobody = Tenants(counters.read_processes(), children=frozenset)
        with GpuMonitor(counters, MonotonicClock(), nobody) as monitor, load(4.0) as child:
            sleep(0.5)
            before = monitor.read()
            sleep(2.0)
            found = compare_readings(before, monitor.read())
            child.wait()
    say(found)
    assert found.others_count == 1
    assert found.others_share is not None
    assert found.others_share > 0.05


def inputs(folder: Path, gpu: Gpu, monitor: GpuMonitor, **changes: Any) -> SessionInputs:
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu.uuid
    one = Contender(
        name="sized",
        variant="sized",
        backend=SIZED_BACKEND,
        folder=write_fake_plan(folder / "sized", weights_mib=512, work_mib=128),
        plan="engine.fake",
        options=RunOptions(threads=1, device="cuda", pythonpath=(str(TESTS), str(TESTS.parent))),
    )
    config = benchmark_config(batches=[1], **changes)
    return SessionInputs([one], make_feeds(4), config, "device", gpu=monitor)


def test_the_memory_ledger_adds_up(tmp_path: Path, gpu: Gpu, monitor: GpuMonitor) -> None:
    (note,) = measure_memory(Launcher(inputs(tmp_path, gpu, monitor), tmp_path))
    say(note)
    sizes = {part["part"]: part["size_bytes"] for part in note["parts"]}
    assert sizes["context"] > 50 * MIB
    assert sizes["weights"] == pytest.approx(512 * MIB, abs=16 * MIB)
    assert sizes["activations"] == pytest.approx(128 * MIB, abs=16 * MIB)
    assert sizes["io"] > 0
    assert abs(note["unexplained_bytes"]) <= TOLERANCE_BYTES
    assert note["peak_bytes"] >= note["total_bytes"] - TOLERANCE_BYTES


def test_energy_is_measured_by_windows(tmp_path: Path, gpu: Gpu, monitor: GpuMonitor) -> None:
    energy = {
        "batches": [1], "windows": 2, "seconds": 5.0, "load_seconds": 1.0, "idle_seconds": 3.0,
    }  # fmt: skip
    wanted = inputs(tmp_path, gpu, monitor, energy=energy)
    assert wanted.config.energy
    idle, *windows = measure_energy(Launcher(wanted, tmp_path), wanted.config.energy)
    say(idle, windows)
    assert idle["power_w"] > 5
    figures = [note["mj_per_inference"] for note in windows]
    assert len(figures) == 2
    assert max(figures) < 1.2 * min(figures)
    assert all(note["causes"] == [] for note in windows)
