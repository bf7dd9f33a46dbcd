"""Is what is timed what is evaluated: answers are compared before anything is timed.

A fresh process opens each plan as evaluate does and answers the items one by one. The workers that
will be timed answer the same items at every batch size that will be timed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from trtproof.errors import BackendError
from trtproof.measure.launch import OPEN_TIMEOUT_S, Launcher, Links
from trtproof.measure.link import WorkerLink
from trtproof.measure.schedule import AGAIN
from trtproof.tensor import Array, Feeds, concatenate

ANSWERS_FILE: Final = "answers.npz"
ANSWERS_SCHEMA: Final = "<variant>/<output>: one row per item, in the order of items.indices"

Answers = Mapping[str, Sequence[Feeds]]
"""By contender: the outputs of every rotated request."""


def collect_evaluated(launcher: Launcher) -> dict[str, Feeds]:
    """Return by variant what fresh processes answer to each item alone, as one batch.

    They launch plainly: what a CUDA graph replays is compared with what it was captured from.

    Raises:
        BackendError: a plan cannot be opened or run.
    """
    with ExitStack() as stack:
        plain = [
            replace(item, options=replace(item.options, cuda_graph=False))
            for item in launcher.inputs.variants
        ]
        links, _ = launcher.start_open(plain, stack)
        answers: dict[str, Feeds] = {}
        for name, link in links.items():
            requests = collect(link, link.contender.least_batch, launcher.folder)
            answers[name] = first_rows(requests)
    return answers


def collect(link: WorkerLink, batch: int, folder: Path) -> list[Feeds]:
    """Return a worker's outputs of every rotated request, untimed."""
    out = folder / f"outputs-{link.number}.npz"
    reply = link.ask("write_outputs", timeout_s=OPEN_TIMEOUT_S, batch=batch, out=str(out))
    with np.load(out, allow_pickle=False) as stored:
        return [
            {output: stored[f"{request}.{place}"] for place, output in enumerate(reply["names"])}
            for request in range(reply["requests_count"])
        ]


def first_rows(requests: Sequence[Feeds]) -> Feeds:
    """Return one batch of every request's first sample, which is item i of request i."""
    return concatenate(
        [{name: array[:1] for name, array in outputs.items()} for outputs in requests]
    )


def check_answers(
    launcher: Launcher, links: Links, evaluated: Mapping[str, Feeds]
) -> tuple[dict[str, list[Feeds]], dict[str, dict[str, float]]]:
    """Return the workers' answers at the first batch, and how far they are from the evaluated ones.

    Answers of a variant that runs in a CUDA graph are replayed from it, as they are when timed.

    Raises:
        BackendError: an answer at any batch is further away than benchmark.answer_tolerance.
    """
    config = launcher.inputs.config
    answers: dict[str, list[Feeds]] = {}
    errors: dict[str, dict[str, float]] = {}
    for name, link in links.items():
        expected = evaluated[name.removesuffix(AGAIN)]
        for batch in config.batches:
            requests = collect(link, batch, launcher.folder)
            answers.setdefault(name, requests)
            found = {
                output: relative_error(expected[output], [item[output] for item in requests])
                for output in expected
            }
            refuse_other_answers(found, name, batch, tolerance=config.answer_tolerance)
            worst = errors.setdefault(name, found)
            errors[name] = {output: max(value, worst[output]) for output, value in found.items()}
    return answers, errors


def relative_error(expected: Array, requests: Sequence[Array]) -> float:
    """Return max|difference| / max|expected| over all requests; infinite where NaN differ.

    Args:
        expected: one row per item.
        requests: request i holds the items from i on, around the end.
    """
    worst = 0.0
    scale = float(np.max(np.abs(expected[np.isfinite(expected)]), initial=0.0))
    for first, answer in enumerate(requests):
        rows = expected[(first + np.arange(len(answer))) % len(expected)]
        if rows.shape != answer.shape:
            return float("inf")
        both = np.isfinite(rows) & np.isfinite(answer)
        if not np.array_equal(rows[~both], answer[~both], equal_nan=True):
            return float("inf")
        left, right = rows[both].astype(np.float64), answer[both].astype(np.float64)
        worst = max(worst, float(np.max(np.abs(left - right), initial=0.0)))
    return worst / scale if scale else (float("inf") if worst else 0.0)


def refuse_other_answers(
    errors: Mapping[str, float], contender: str, batch: int, *, tolerance: float
) -> None:
    """Refuse to time a plan that answers otherwise than it was evaluated.

    Raises:
        BackendError: names the variant and the output.
    """
    for output, error in errors.items():
        if error > tolerance:
            raise BackendError(
                f"{contender} at batch {batch} answers otherwise than one by one: output "
                f"{output!r} differs by {error:.2g} of its largest value, {tolerance:g} is allowed "
                "(benchmark.answer_tolerance); a plan that mixes the samples of a batch must not "
                "be timed at this batch"
            )


def write_answers(path: Path, answers: Answers, variants: Sequence[str]) -> None:
    """Write the answers at the first batch; equal answers give equal bytes."""
    arrays = {
        f"{variant}/{output}": array
        for variant in variants
        for output, array in first_rows(answers[variant]).items()
    }
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def describe_answers(
    errors: Mapping[str, Mapping[str, float]], indices: Sequence[int], tolerance: float
) -> dict[str, Any]:
    """Return what run.json says of answers.npz."""
    return {
        "file": ANSWERS_FILE,
        "arrays": ANSWERS_SCHEMA,
        "indices": [int(index) for index in indices],
        "tolerance": tolerance,
        "max_relative_error": {name: dict(outputs) for name, outputs in errors.items()},
    }
