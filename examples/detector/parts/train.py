"""Train the detector: `python -m parts.train`, half a minute; writes parts/weights.safetensors."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

from parts.drawing import KINDS, draw_belt
from parts.network import Detector

STEPS, BATCH, RADIUS = 500, 32, 6.0


def main():
    """Train on drawings of one seed, and write the file that conf/ names."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    model = Detector(len(KINDS)).train()
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=STEPS)
    for step in range(STEPS):
        pictures, boxes, kinds = zip(*(draw_belt(random) for _ in range(BATCH)), strict=True)
        outputs = model(torch.from_numpy(np.stack(pictures)))
        loss = measure_loss(
            outputs, [target(*pair, model.centres) for pair in zip(boxes, kinds, strict=True)]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    save_file(model.state_dict(), Path(__file__).parent / "weights.safetensors")


def target(boxes, kinds, centres):
    """Return which class each cell has to say (cells, classes), and which box (cells, 4)."""
    wanted, where = torch.zeros(len(centres), len(KINDS)), torch.zeros(len(centres), 4)
    for box, kind in zip(torch.tensor(boxes, dtype=torch.float32), kinds, strict=True):
        near = (centres - (box[:2] + box[2:]) / 2).norm(dim=1) < RADIUS
        wanted[near, kind], where[near] = 1.0, box
    return wanted, where


def measure_loss(outputs, targets):
    """Return the classes' cross entropy plus, where there is a part, the boxes' distance."""
    wanted, where = (torch.stack(parts) for parts in zip(*targets, strict=True))
    classes = functional.binary_cross_entropy_with_logits(
        outputs["logits"], wanted, reduction="sum"
    )
    there = wanted.any(dim=2)
    distance = functional.smooth_l1_loss(outputs["boxes"][there], where[there], reduction="sum")
    return (classes + distance / 2) / there.sum()


if __name__ == "__main__":
    main()
