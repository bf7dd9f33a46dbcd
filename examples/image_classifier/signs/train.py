"""Train the classifier: `python -m signs.train`, about ten seconds; writes signs/checkpoint/."""

from pathlib import Path

import numpy as np
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from signs.drawing import KINDS, draw_sign
from signs.samples import prepare

STEPS, BATCH = 250, 32


def main():
    """Train on drawings of one seed, and write the folder that conf/ names."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic",
        num_labels=len(KINDS),
    )  # fmt: skip
    model = ResNetForImageClassification(config).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=STEPS)
    for _ in range(STEPS):
        images, kinds = zip(*(draw_sign(random) for _ in range(BATCH)), strict=True)
        pixels = torch.from_numpy(np.stack([prepare(image) for image in images]))
        loss = model(pixels, labels=torch.tensor(kinds)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.save_pretrained(Path(__file__).parent / "checkpoint")
    print(f"loss of the last batch: {loss.item():.3f}")


if __name__ == "__main__":
    main()
