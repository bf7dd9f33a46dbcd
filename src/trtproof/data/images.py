"""Reading and preparing images by Pillow and numpy, with torchvision's values.

Source: torchvision.transforms.functional (resize, center_crop, pil_to_tensor, normalize) on Pillow
images, whose reduction filters are antialiased.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trtproof.errors import InputError
from trtproof.tensor import Array

if TYPE_CHECKING:
    from PIL.Image import Image

WHITE = np.float32(255)


@dataclass(frozen=True)
class Preparation:
    """Shorter side to `resize` pixels, the `crop` in the middle, mean and deviation per colour."""

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """Return the versioned steps for signature.json."""
        return (
            {"step": "decode", "version": 1, "mode": "RGB", "by": "pillow"},
            {
                "step": "resize",
                "version": 1,
                "shorter_side": self.resize,
                "mode": self.interpolation,
                "antialias": True,
            },
            {"step": "centre_crop", "version": 1, "size": self.crop},
            {"step": "scale", "version": 1, "factor": 1 / 255},
            {"step": "normalise", "version": 1, "mean": list(self.mean), "std": list(self.std)},
        )

    def apply(self, image: Image) -> Array:
        """Return an RGB image as float32 (3, crop, crop)."""
        pixels = self._cut(np.asarray(self._shrink(image)))
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / WHITE
        mean, std = (
            np.asarray(values, dtype=np.float32)[:, None, None] for values in (self.mean, self.std)
        )
        prepared: Array = (planes - mean) / std
        return prepared

    def _shrink(self, image: Image) -> Image:
        """Return the image with its shorter side at `resize`; the longer is rounded down."""
        from PIL.Image import Resampling

        short, long = sorted(image.size)
        if short == self.resize:
            return image
        longer = int(self.resize * long / short)
        is_wide = image.size[0] > image.size[1]
        size = (longer, self.resize) if is_wide else (self.resize, longer)
        return image.resize(size, Resampling[self.interpolation.upper()])

    def _cut(self, pixels: Array) -> Array:
        """Return the middle; black is put around an image that is smaller than the crop."""
        height, width = pixels.shape[:2]
        missing = [max(0, self.crop - extent) for extent in (height, width)]
        if any(missing):
            around = [(extent // 2, (extent + 1) // 2) for extent in missing]
            pixels = np.pad(pixels, [*around, (0, 0)])
            height, width = pixels.shape[:2]
        # Python rounds halves to even, as torchvision therefore does
        top, left = (round((extent - self.crop) / 2.0) for extent in (height, width))
        return pixels[top : top + self.crop, left : left + self.crop]


def load_image(path: Path) -> Image:
    """Return a file's image in RGB, fully read.

    Raises:
        InputError: it is no whole image; names the file.
    """
    from PIL import Image as images  # noqa: N813 - the module, beside the class

    try:
        with path.open("rb") as file, images.open(file) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise InputError(f"image {path} is gone; run `dvc repro` again") from None
    except (OSError, SyntaxError, ValueError, images.DecompressionBombError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"image {path} cannot be read ({reason}); repair it, or remove it from the folder"
        ) from None
