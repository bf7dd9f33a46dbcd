"""The samples: `dataset.factory`."""

import numpy as np

from dictation.sounds import WORDS, hear, speak


def make_samples(split, seed, count, noise):
    """Return pairs of inputs by name and transcript, sorted by length to share batches."""
    random = np.random.default_rng(seed)
    pairs = [make_sample(random, noise) for _ in range(count)]
    return sorted(pairs, key=lambda pair: len(pair[0]["features"]))


def make_sample(random, noise):
    """Return features, padded with silence to a multiple of 32 frames, and words spoken."""
    words = random.choice(WORDS, size=random.integers(1, 4))
    features = hear(speak(random, "|".join(words), noise))
    padded = np.pad(features, ((0, -len(features) % 32), (0, 0)))
    return {"features": padded}, " ".join(words)
