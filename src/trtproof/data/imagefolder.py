"""Images in one folder per class, prepared as torchvision's classification presets do.

Shorter side to `resize` (bilinear, antialiased), centre crop, scaling to [0, 1], mean and standard
deviation: by Pillow and numpy, with the values of torchvision's transforms on Pillow images.

A part of a folder's files is chosen by a hash of each file's name and the seed, so that adding a
file moves no other one from calibration to evaluation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, Struct

from trtproof.config import DatasetConfig, decode
from trtproof.data.arrays import resolve_count
from trtproof.data.base import Batch, Dataset, Split
from trtproof.data.digits import stratified_order
from trtproof.data.images import Preparation, load_image
from trtproof.errors import ConfigError, InputError
from trtproof.extras import Extra
from trtproof.setting_types import Fraction, PositiveFloat

EXTENSIONS: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
)
"""Of files that count as images, as torchvision's ImageFolder has it."""

PARTS: Final = ("training", "calibration", "evaluation")
Part = Literal["training", "calibration", "evaluation", "all"]


class _Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`dataset.options`: the input's name, how images are prepared, and how a folder is divided.

    `shares` are those of training, calibration and evaluation; `labels` maps folder -> class index
    where it is not the place in the sorted folders (a few classes of a model that knows more).
    """

    input: str = "input"
    resize: Annotated[int, Meta(ge=1)] = 256
    crop: Annotated[int, Meta(ge=1)] = 224
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.229, 0.224, 0.225)
    shares: tuple[Fraction, Fraction, Fraction] = (0.8, 0.1, 0.1)
    seed: int = 0
    labels: dict[str, int] | None = None


class _SplitOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`dataset.calibration` and `dataset.evaluation`: a folder, and which of its images."""

    folder: str
    part: Part = "all"
    count: Annotated[int, Meta(ge=1)] | None = None


@dataclass(frozen=True)
class ImageFolder:
    """Images that are read when their batch is due: float32 (N, 3, crop, crop)."""

    input: str
    files: Sequence[tuple[Path, int]]
    preparation: Preparation
    synthetic: bool

    @property
    def preprocessing(self) -> tuple[Mapping[str, Any], ...]:
        """Return resizing, cropping, scaling and normalising as versioned steps."""
        return self.preparation.steps()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield all images in order, `size` at a time.

        Raises:
            InputError: an image cannot be read; names the file.
        """
        for start in range(0, len(self), size):
            chosen = self.files[start : start + size]
            images = [self.preparation.apply(load_image(path)) for path, _ in chosen]
            yield Batch(
                feeds={self.input: np.stack(images)},
                labels=[label for _, label in chosen],
                indices=range(start, start + len(chosen)),
            )


class ImageFolderFormat:
    """Open folders of class folders."""

    extra = Extra(module="PIL", name="images")

    def files(self, config: DatasetConfig, split: Split) -> Sequence[Path]:
        """Return the split's images.

        Raises:
            ConfigError, InputError: as `open`.
        """
        return [path for path, _ in _choose(config, split)]

    def open(self, config: DatasetConfig, split: Split) -> Dataset:
        """Return the split's images, classes mixed evenly so that every `count` is balanced.

        Raises:
            ConfigError: an unknown option, more samples than there are, or splits that share files.
            InputError: there is no such folder, no class folder, or one without images.
        """
        options = _options(config)
        chosen = _choose(config, split)
        other: Split = "evaluation" if split == "calibration" else "calibration"
        shared = {path for path, _ in chosen} & set(self.files(config, other))
        if shared:
            raise ConfigError(
                key=f"dataset.{split}",
                problem=f"{len(shared)} images are in dataset.{other} too, as {min(shared)}",
                repair="take other folders, or `part: calibration` and `part: evaluation` of one",
            )
        preparation = Preparation(
            options.resize,
            options.crop,
            options.interpolation,
            mean=options.mean,
            std=options.std,
        )
        return ImageFolder(options.input, chosen, preparation, config.synthetic)


def _options(config: DatasetConfig) -> _Options:
    options = decode(_Options, config.options, key="dataset.options")
    if abs(sum(options.shares) - 1) > 1e-9:  # noqa: PLR2004 - three decimal fractions
        raise ConfigError(
            key="dataset.options.shares",
            problem=f"{list(options.shares)} add up to {sum(options.shares):g}",
            repair="give the shares of training, calibration and evaluation, 1 in all",
        )
    return options


def _choose(config: DatasetConfig, split: Split) -> list[tuple[Path, int]]:
    """Return the images of a split with their classes, in stratified order."""
    options = _options(config)
    chosen = decode(_SplitOptions, getattr(config, split), key=f"dataset.{split}")
    root = Path(chosen.folder)
    found = [
        (place, path, label)
        for path, label in _list_images(root, options.labels)
        if chosen.part in ("all", _part(place := _place(path, root, options.seed), options.shares))
    ]
    if not found:
        raise InputError(
            f"no image of {root} is in part {chosen.part}; correct `dataset.options.shares`, or "
            "give the split a folder of its own"
        )
    found.sort(key=lambda item: (item[0], item[1]))
    labels = np.asarray([label for _, _, label in found])
    order = stratified_order(labels, np.arange(len(found)))
    count = resolve_count(chosen.count, len(found), key=f"dataset.{split}")
    return [(found[place][1], found[place][2]) for place in order[:count].tolist()]


def _list_images(root: Path, labels: Mapping[str, int] | None) -> Iterator[tuple[Path, int]]:
    """Yield every image with its class: the place of its folder among the sorted folders."""
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; correct `dataset.*.folder`")
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    if not folders:
        raise InputError(f"{root} has no folder per class; put each class's images in one")
    for index, folder in enumerate(folders):
        images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
        if not images:
            raise InputError(
                f"class folder {folder} has no image ({' '.join(sorted(EXTENSIONS))}); remove it"
            )
        if labels is not None and folder.name not in labels:
            raise InputError(
                f"class folder {folder} is not in `dataset.options.labels`; add it there"
            )
        label = index if labels is None else labels[folder.name]
        yield from ((path, label) for path in images)


def _place(path: Path, root: Path, seed: int) -> float:
    """Return a number in [0, 1) that a file's name and the seed decide."""
    name = f"{seed} {path.relative_to(root).as_posix()}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2.0**48


def _part(place: float, shares: Sequence[float]) -> str:
    ends = np.cumsum([0.0, *shares])
    ends[-1] = 1.0
    bounds = zip(PARTS, pairwise(ends.tolist()), strict=True)
    return next(name for name, (low, high) in bounds if low <= place < high)


FORMAT: Final = ImageFolderFormat()
