"""Train the model: `python -m rents.train`, ten seconds; writes rents/weights.safetensors."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from rents.flats import draw_flats
from rents.model import RentModel
from rents.samples import scale

STEPS, BATCH = 1000, 128


def main():
    """Train, and store the weights beside this file."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    model = RentModel(districts=6, heatings=3)
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=STEPS)
    for _ in range(STEPS):
        numbers, categories, rents = draw_flats(random, BATCH)
        found = model(torch.from_numpy(scale(numbers)), torch.from_numpy(categories))[:, 0]
        loss = torch.nn.functional.mse_loss(found, torch.from_numpy(rents).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    save_file(model.state_dict(), Path(__file__).parent / "weights.safetensors")
    print(f"root mean square error of the last batch: {loss.item() ** 0.5:.1f} euros")


if __name__ == "__main__":
    main()
