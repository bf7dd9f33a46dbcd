"""A timing loop that shares no code with trtproof: its own clock reads, its own inputs.

Started by real_sessions.py, told on stdin how many requests to run and where to put their times.
Deliberately imports nothing of trtproof.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np
import onnxruntime


def main(plan: str, items: str, threads: int, call: str) -> None:
    """Time `session.run` or, with `call` "binding", arrays bound beforehand.

    Answer lines `COUNT SECONDS BATCH FILE` with the nanoseconds of so many requests, or more.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(plan, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    with np.load(items) as stored:
        samples = stored["0"]
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        count, seconds, batch, out = line.split(maxsplit=3)
        size, until = int(batch), perf_counter_ns() + float(seconds) * 1e9
        requests = [
            np.ascontiguousarray(np.take(samples, range(at, at + size), axis=0, mode="wrap"))
            for at in range(len(samples))
        ]
        calls = [bind(session, name, request, call) for request in requests]
        times: list[int] = []
        while len(times) < int(count) or perf_counter_ns() < until:
            answer = calls[len(times) % len(calls)]
            begun = perf_counter_ns()
            answer()
            times.append(perf_counter_ns() - begun)
        np.save(out.strip(), np.array(times, dtype=np.int64))
        print("done", flush=True)


def bind(
    session: onnxruntime.InferenceSession, name: str, request: np.ndarray, call: str
) -> Callable[[], object]:
    """Return what answers one request."""
    if call == "run":
        return lambda: session.run(None, {name: request})
    binding = session.io_binding()
    binding.bind_cpu_input(name, request)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    session.run_with_iobinding(binding)
    return lambda: session.run_with_iobinding(binding)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
