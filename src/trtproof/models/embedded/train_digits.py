"""Train the embedded model: `python -m trtproof.models.embedded.train_digits`.

Takes about a minute and a half on two cores. Deterministic on one machine: fixed seeds, two
threads, deterministic kernels; other CPUs round differently, which is why the weights are
committed. Epochs, learning rate and shifts were judged on the calibration split (the first setting
tried was kept); the test split is scored once, after training, for the figure in
digits_resnet.json, and decided nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from trtproof import artifacts
from trtproof.data.digits import Part, load_part
from trtproof.models.embedded.digits_resnet import make_model
from trtproof.models.weights import write_weights
from trtproof.progress import track

FOLDER: Final = Path(__file__).parent
WEIGHTS: Final = FOLDER / "digits_resnet.safetensors"
RECORD: Final = FOLDER / "digits_resnet.json"

SEED: Final = 0
THREADS: Final = 2
EPOCHS: Final = 30
BATCH: Final = 50
MAX_LEARNING_RATE: Final = 0.1
WEIGHT_DECAY: Final = 5e-4
LABEL_SMOOTHING: Final = 0.1
MAX_SHIFT: Final = 2
"""Pixels by which a training image is moved at most, in each direction."""


def main() -> None:
    """Train, write the weights and the record, and print the record."""
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(mode=True)
    model = make_model()
    train(model)
    write_weights(model, WEIGHTS)
    record = describe(model)
    artifacts.write_json(RECORD, record)
    sys.stdout.write(artifacts.to_json(record))


def train(model: nn.Module) -> None:
    """Fit the model to the training split: SGD, one learning-rate cycle, shifted images."""
    images, labels = load_tensors("training")
    steps_per_epoch = -(-len(labels) // BATCH)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=MAX_LEARNING_RATE,
        momentum=0.9,
        nesterov=True,
        weight_decay=WEIGHT_DECAY,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, MAX_LEARNING_RATE, total_steps=EPOCHS * steps_per_epoch
    )
    loss_function = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    model.train()
    for _ in track(range(EPOCHS), title="epochs", total=EPOCHS):
        for batch, targets in shuffled_batches(images, labels):
            optimizer.zero_grad()
            loss_function(model(batch), targets).backward()
            optimizer.step()
            schedule.step()
    model.eval()


def shuffled_batches(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of randomly ordered and shifted images."""
    for positions in torch.split(torch.randperm(len(labels)), BATCH):
        shifts = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (2,)).tolist()
        yield shift(images[positions], shifts[0], shifts[1]), labels[positions]


def shift(images: Tensor, down: int, right: int) -> Tensor:
    """Return the images moved by whole pixels, zeros moving in (the digits' background)."""
    height, width = images.shape[2:]
    padded = nn.functional.pad(images, (MAX_SHIFT,) * 4)
    top, left = MAX_SHIFT - down, MAX_SHIFT - right
    return padded[:, :, top : top + height, left : left + width]


def describe(model: nn.Module) -> dict[str, Any]:
    """Return what the weights are and how well they do where they were not fitted."""
    calibration, _ = score(model, "calibration")
    test, test_samples = score(model, "test")
    return {
        "schema": 1,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights_sha256": artifacts.sha256_file(WEIGHTS),
        "calibration_top1_pct": calibration,
        "test_top1_pct": test,
        "test_samples": test_samples,
        "training_samples": len(load_tensors("training")[1]),
        "versions": {name: version(name) for name in ("numpy", "scikit-learn", "torch")},
    }


def score(model: nn.Module, part: Part) -> tuple[float, int]:
    """Return top-1 accuracy in percent, and the number of samples."""
    images, labels = load_tensors(part)
    with torch.no_grad():
        right = int((model(images).argmax(dim=1) == labels).sum())
    return round(100 * right / len(labels), 3), len(labels)


def load_tensors(part: Part) -> tuple[Tensor, Tensor]:
    """Return a part's images (N, 1, 16, 16) and classes (N,)."""
    images, labels = load_part(part)
    return torch.from_numpy(images), torch.tensor(labels)


if __name__ == "__main__":
    main()
