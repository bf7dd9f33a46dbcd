"""Train the network: `python -m fields.train`, half a minute; writes fields/weights.safetensors."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

from fields.drawing import KINDS, draw_land
from fields.network import Segmenter
from fields.samples import prepare

STEPS, BATCH = 300, 16


def main():
    """Train on drawings of one seed, and write the file that the factory loads."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    model = Segmenter(len(KINDS)).train()
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=STEPS)
    for step in range(STEPS):
        pictures, classes = zip(*(draw_land(random) for _ in range(BATCH)), strict=True)
        scores = model(torch.from_numpy(np.stack([prepare(picture) for picture in pictures])))
        wanted = torch.from_numpy(np.stack(classes)[:, ::2, ::2].astype(np.int64))
        loss = cross_entropy(scores, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    save_file(model.state_dict(), Path(__file__).parent / "weights.safetensors")


if __name__ == "__main__":
    main()
