"""Train: `python -m reviews.train`, half a minute; writes reviews/weights.safetensors."""

from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from reviews.model import make_model
from reviews.samples import as_inputs, pad
from reviews.texts import write_review

SETTINGS = Path(__file__).parents[1] / "conf/experiment/bert.yaml"
STEPS, BATCH = 400, 64


def main():
    """Train, and store the weights beside this file."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    model = make_model(**yaml.safe_load(SETTINGS.read_text())["model"]["options"]).train()
    optimiser = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=STEPS)
    for _ in range(STEPS):
        texts, classes = zip(*(write_review(random) for _ in range(BATCH)), strict=True)
        batch = {name: torch.from_numpy(x) for name, x in pad([*map(as_inputs, texts)]).items()}
        loss = model(**batch, labels=torch.tensor(classes)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    save_file(model.state_dict(), Path(__file__).parent / "weights.safetensors")
    print(f"loss of the last batch: {loss.item():.3f}")


if __name__ == "__main__":
    main()
