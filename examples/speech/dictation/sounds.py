"""Speech of a made-up voice: each letter is a chord of two tones, a space is silence."""

import numpy as np

WORDS = ("bad", "bead", "cab", "dab", "dead", "decade",
         "face", "fade", "feed", "ace", "bed", "cafe")  # fmt: skip
SYMBOLS = ("", "|", "a", "b", "c", "d", "e", "f")  # blank, end of a word, letters
RATE_HZ, FRAME = 8000, 160
TONES_HZ = {"a": (400, 1200), "b": (400, 1600), "c": (600, 1200), "d": (600, 2000),
            "e": (800, 1600), "f": (800, 2000)}  # fmt: skip


def speak(random, text, noise):
    """Return the sound of a text at RATE_HZ, (time,), each letter 60 to 140 ms long."""
    parts = [silence(2)]
    for letter in text:
        frames = int(random.integers(3, 8))
        time_s = np.arange(frames * FRAME) / RATE_HZ
        tones = TONES_HZ.get(letter, ())
        waves = [np.sin(2 * np.pi * hz * random.uniform(0.97, 1.03) * time_s) for hz in tones]
        parts += [np.sum([np.zeros_like(time_s), *waves], axis=0), silence(2)]
    sound = np.concatenate(parts)
    return sound + random.normal(0, noise, len(sound))


def silence(frames):
    """Return as many frames of nothing."""
    return np.zeros(frames * FRAME)


def hear(sound):
    """Return the loudness of 80 bands of 50 Hz in each 20 ms, (frames, 80)."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return np.log(np.abs(np.fft.rfft(frames * np.hanning(FRAME)))[:, :80] + 1).astype(np.float32)
