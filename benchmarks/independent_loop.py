"""A timing loop that shares no code with trtproof: its own clock reads, its own inputs.

Started by real_sessions.py, told on stdin how many requests to run and where to put their times.
Deliberately imports nothing of trtproof.
"""

from __future__ import annotations

import gc
import sys
from time import perf_counter_ns

import numpy as np
import onnxruntime


def main(plan: str, items: str, threads: int) -> None:
    """Answer lines `COUNT SECONDS BATCH FILE` with the nanoseconds of so many requests, or more."""
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
        times: list[int] = []
        while len(times) < int(count) or perf_counter_ns() < until:
            request = requests[len(times) % len(requests)]
            begun = perf_counter_ns()
            session.run(None, {name: request})
            times.append(perf_counter_ns() - begun)
        np.save(out.strip(), np.array(times, dtype=np.int64))
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
