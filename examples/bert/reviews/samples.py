"""The samples, `dataset.factory`, and how several become a batch, `dataset.collate`."""

import numpy as np

from reviews.texts import tokenise, write_review


def make_samples(split, seed, count):
    """Return pairs of inputs by name and class; every sample has a length of its own."""
    random = np.random.default_rng(seed)
    reviews = [write_review(random) for _ in range(count)]
    return [(as_inputs(text), label) for text, label in reviews]


def as_inputs(text):
    """Return the numbers of the words, and a mask of ones."""
    ids = np.array(tokenise(text), np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def pad(samples):
    """Return arrays (batch, sequence), padded to a multiple of 16."""
    longest = max(len(sample["input_ids"]) for sample in samples)
    length = -(-longest // 16) * 16
    return {name: np.stack([widen(s[name], length) for s in samples]) for name in samples[0]}


def widen(row, length):
    """Return a row with zeros at its end: [PAD], and masked."""
    return np.pad(row, (0, length - len(row)))
