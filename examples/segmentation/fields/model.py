"""The model: `model.factory` and `model.inputs`."""

from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from fields.drawing import KINDS
from fields.network import Segmenter


def make_model():
    """Return the trained network."""
    model = Segmenter(len(KINDS))
    model.load_state_dict(load_file(Path(__file__).parent / "weights.safetensors"))
    return model


def inputs():
    """Return an example of the input, and the names of its axes: all but the channels vary."""
    return {"picture": (np.zeros((1, 3, 48, 64), np.float32), ("batch", None, "height", "width"))}
