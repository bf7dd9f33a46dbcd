"""Compare trtproof's timing loop with two others on the very same runner, interleaved.

Run in the project's root after `dvc repro`:

    python benchmarks/runner_bias.py --batch 1 torch-fp16-graph onnxruntime-fp16-graph

Prints for every variant the median of one request (upload, launch, download, wait) by trtproof's
loop, by a plain loop written here and by torch.utils.benchmark (means of 20 calls), and the ratio
of ours to both. Blocks alternate, so that a drift of the machine's clock meets all three alike.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from torch.utils.benchmark import Timer

from trtproof import artifacts, data
from trtproof.backends import BACKENDS
from trtproof.backends.base import Runner, RunOptions
from trtproof.config import RunConfig, load_section
from trtproof.device_choice import use_device
from trtproof.hardware import load_hardware
from trtproof.measure.clock import MonotonicClock, ProcessCpuClock
from trtproof.measure.loop import BlockRule, Loop
from trtproof.sidecar import verify_plan
from trtproof.tensor import Feeds

ITEMS = 8
WARM = 200
CALLS = 20


def take_requests(batch: int) -> list[Feeds]:
    """Return requests that rotate over the first samples of the evaluation split."""
    feeds = next(iter(data.open_split("evaluation").batches(ITEMS))).feeds
    return [
        {
            name: np.take(array, range(at, at + batch), axis=0, mode="wrap")
            for name, array in feeds.items()
        }
        for at in range(ITEMS)
    ]


def plain_loop(runner: Runner, requests: list[Feeds], count: int) -> list[float]:
    """Return nanoseconds; shares no line with trtproof's loop."""
    times = []
    for number in range(count):
        runner.stage(0, requests[number % ITEMS])
        begun = perf_counter_ns()
        runner.upload(0)
        runner.launch(0)
        runner.download(0)
        runner.wait()
        times.append(float(perf_counter_ns() - begun))
    return times


def torch_timer(runner: Runner, requests: list[Feeds], count: int) -> list[float]:
    """Return nanoseconds of a call by torch.utils.benchmark, which synchronizes around a number."""
    del requests
    timer = Timer("up(0); go(0); down(0); wait()", globals={
        "up": runner.upload, "go": runner.launch, "down": runner.download, "wait": runner.wait,
    })  # fmt: skip
    return [timer.timeit(CALLS).mean * 1e9 for _ in range(count // CALLS)]


def measure(variant: str, batch: int, rounds: int, count: int) -> str:
    """Return one line about one variant."""
    folder = artifacts.build(variant)
    hardware = load_hardware()
    record = verify_plan(folder, hardware.engine[load_section(str, "variants", variant, "backend")])
    run = load_section(RunConfig, "variants", variant, "run")
    options = RunOptions(threads=1, device=str(record.facts["device"]), cuda_graph=run.cuda_graph)
    with BACKENDS.load(record.backend).open(Path(folder), str(record.plan), options) as engine:
        runner, requests = engine.runner(0), take_requests(batch)
        loop = Loop(runner, requests, MonotonicClock(), ProcessCpuClock())
        plain_loop(runner, requests, WARM)

        def ours(runner: Runner, requests: list[Feeds], count: int) -> list[float]:
            del runner, requests
            rows = loop.run_block(BlockRule(count, 0.0, warm_iterations=10, warm_seconds=0.0))
            return [float(row[2]) for row in rows if row[0] == 1]

        ways: dict[str, Callable[[Runner, list[Feeds], int], list[float]]] = {
            "trtproof": ours, "plain": plain_loop, "torch.utils.benchmark": torch_timer,
        }  # fmt: skip
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            for name in list(ways)[:: 1 if number % 2 else -1]:
                times[name] += ways[name](runner, requests, count)
    medians = {name: statistics.median(found) / 1e6 for name, found in times.items()}
    own = medians["trtproof"]
    shown = ", ".join(f"{name} {value:.4f} ms" for name, value in medians.items())
    ratios = ", ".join(f"{own / medians[name]:.4f}" for name in list(ways)[1:])
    return f"{variant} batch {batch}: {shown}; ours/others {ratios}"


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=200)
    chosen = parser.parse_args()
    use_device(load_hardware())
    for variant in chosen.variants:
        print(measure(variant, chosen.batch, chosen.rounds, chosen.requests), flush=True)


if __name__ == "__main__":
    main()
