"""Random outputs and labels of the kind that each registered scorer reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trtproof.tensor import Feeds

CLASSES = 10
WORDS = ("yes", "no", "perhaps", "seven", "a", "blue")

Made = tuple[Feeds, list[Any]]


def make_classes(random: np.random.Generator, count: int) -> Made:
    logits = random.normal(size=(count, CLASSES)).astype(np.float32)
    return {"logits": logits}, random.integers(0, CLASSES, count).tolist()


def make_maps(random: np.random.Generator, count: int) -> Made:
    labels = random.integers(0, 3, (count, 4, 5))
    labels[random.random(labels.shape) < 0.1] = 255
    return {"scores": random.normal(size=(count, 3, 4, 5))}, labels.tolist()


def make_texts(random: np.random.Generator, count: int) -> Made:
    labels = [" ".join(random.choice(WORDS, random.integers(1, 5))) for _ in range(count)]
    said = [" ".join(random.choice(WORDS, random.integers(0, 5))) for _ in range(count)]
    codes = np.zeros((count, 40), dtype=np.int64)
    for row, text in zip(codes, said, strict=True):
        row[: len(text)] = [ord(letter) for letter in text]
    return {"codes": codes}, labels


def make_numbers(random: np.random.Generator, count: int) -> Made:
    return {"y": random.normal(size=(count, 2))}, random.normal(size=(count, 2)).tolist()


def make_boxes(random: np.random.Generator, count: int) -> Made:
    corners = random.uniform(0, 50, (count, 4, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (count, 4, 2))], axis=2)
    classes = random.integers(0, 3, (count, 4))
    labels = [
        {"boxes": boxes[place, :many].tolist(), "classes": classes[place, :many].tolist()}
        for place, many in enumerate(random.integers(1, 4, count))
    ]
    seen = boxes + random.normal(0, 2, boxes.shape)
    scores = random.permutation(4 * count).reshape(count, 4) / (4 * count)  # no two are equal
    return {"boxes": seen, "scores": scores, "classes": classes}, labels


MAKERS: dict[str, Callable[[np.random.Generator, int], Made]] = {
    "top1": make_classes,
    "top5": make_classes,
    "f1": make_classes,
    "mean_iou": make_maps,
    "answers": make_texts,
    "wer": make_texts,
    "errors": make_numbers,
    "coco_map": make_boxes,
}
