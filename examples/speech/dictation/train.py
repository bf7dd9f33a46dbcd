"""Train: `python -m dictation.train`, half a minute; writes dictation/weights.safetensors."""

from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from dictation.model import Recogniser
from dictation.samples import make_sample
from dictation.sounds import SYMBOLS

SETTINGS = Path(__file__).parents[1] / "conf/experiment/speech.yaml"
STEPS, BATCH = 300, 32


def main():
    """Train, and store the weights beside this file."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    settings = yaml.safe_load(SETTINGS.read_text())
    noise = settings["dataset"]["options"]["noise"]
    model = Recogniser(**settings["model"]["options"])
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-2, total_steps=STEPS)
    for _ in range(STEPS):
        loss = ctc_loss(model, [make_sample(random, noise) for _ in range(BATCH)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    save_file(model.state_dict(), Path(__file__).parent / "weights.safetensors")
    print(f"CTC loss of the last batch: {loss.item():.3f}")


def ctc_loss(model, samples):
    """Return the mean CTC loss; as many zeros follow a recording as the batch's longest needs."""
    heard = [torch.from_numpy(inputs["features"]) for inputs, _ in samples]
    scores = model(torch.nn.utils.rnn.pad_sequence(heard, batch_first=True))
    texts = [[SYMBOLS.index(s) for s in label.replace(" ", "|")] for _, label in samples]
    return torch.nn.functional.ctc_loss(
        scores.log_softmax(2).transpose(0, 1),
        torch.tensor([symbol for text in texts for symbol in text]),
        torch.tensor([len(features) // 2 for features in heard]),
        torch.tensor([len(text) for text in texts]),
    )


if __name__ == "__main__":
    main()
