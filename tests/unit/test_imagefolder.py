"""Folders of images: the values of torchvision's presets, splits that stay apart, broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trtproof.config import DatasetConfig
from trtproof.data.imagefolder import FORMAT
from trtproof.data.images import Preparation
from trtproof.errors import ConfigError, InputError, MissingExtraError
from trtproof.extras import Extra, require_extra

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def save(path: Path, pixels: np.ndarray) -> None:
    images = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    images.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Three classes with twenty images each; class `b` has grey ones too."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in ("b", "a", "c"):
        for index in range(20):
            shape = (9, 12) if name == "b" and index % 2 else (9, 12, 3)
            save(Path("images", name, f"{index}.png"), random.integers(0, 256, shape, np.uint8))
    return Path("images")


def make_config(options=None, **splits):
    return DatasetConfig(
        name="mine",
        format="imagefolder",
        synthetic=False,
        options={"resize": 8, "crop": 6, "shares": [0.2, 0.4, 0.4]} | (options or {}),
        files=[],
        calibration={"folder": "images", "part": "calibration"} | splits.get("calibration", {}),
        evaluation={"folder": "images", "part": "evaluation"} | splits.get("evaluation", {}),
    )


def triangle(size: int, new: int) -> np.ndarray:
    """Return Pillow's bilinear weights (new, size): a triangle as wide as one new pixel.

    Each is rounded to a multiple of 2**-22, as Pillow's 8-bit arithmetic has it.
    """
    scale = max(1.0, size / new)
    weights = np.zeros((new, size))
    for place in range(new):
        centre = (place + 0.5) * size / new
        low, high = max(0, int(centre - scale + 0.5)), min(size, int(centre + scale + 0.5))
        found = np.maximum(0, 1 - np.abs((np.arange(low, high) + 0.5 - centre) / scale))
        weights[place, low:high] = np.rint(found / found.sum() * 2**22) / 2**22
    return weights


def shrink(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image resized along its rows and then its columns, rounded after each."""
    rows = np.floor(np.einsum("nw,hwc->hnc", triangle(pixels.shape[1], width), pixels) + 0.5)
    return np.floor(np.einsum("nh,hwc->nwc", triangle(pixels.shape[0], height), rows) + 0.5)


@pytest.mark.parametrize(("height", "width"), [(40, 61), (61, 40), (16, 16), (33, 17), (9, 30)])
def test_images_are_resized_cropped_and_normalised_by_the_formula(height, width):
    images = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    found = Preparation(16, 12, "bilinear", MEAN, STD).apply(images.fromarray(pixels))
    short, long = sorted((height, width))
    longer = int(16 * long / short)
    size = (16, longer) if height <= width else (longer, 16)
    small = shrink(pixels.astype(float), *size) if short != 16 else pixels
    top, left = (round((extent - 12) / 2) for extent in size)
    cut = small[top : top + 12, left : left + 12].transpose(2, 0, 1).astype(np.float32)
    mean, std = (np.asarray(item, np.float32)[:, None, None] for item in (MEAN, STD))
    expected = (cut / np.float32(255) - mean) / std
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(300, 411), (411, 300), (256, 256), (100, 90)])
def test_images_are_bit_for_bit_torchvisions(height, width, mode):
    presets = pytest.importorskip("torchvision.transforms._presets")
    from PIL import Image
    from torchvision.transforms import InterpolationMode

    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    preset = presets.ImageClassification(crop_size=224, interpolation=InterpolationMode(mode))
    expected = preset(Image.fromarray(pixels)).numpy()
    found = Preparation(256, 224, mode, MEAN, STD).apply(Image.fromarray(pixels))
    np.testing.assert_array_equal(found, expected)


def test_an_image_smaller_than_the_crop_gets_a_black_border():
    images = pytest.importorskip("PIL.Image")
    white = images.fromarray(np.full((4, 4, 3), 255, np.uint8))
    found = Preparation(4, 7, "bilinear", (0.0,) * 3, (1.0,) * 3).apply(white)
    assert found[0].sum() == 16
    assert found[0, 1:5, 1:5].sum() == 16


def test_classes_are_the_sorted_folders_and_every_prefix_is_balanced(folder):
    dataset = FORMAT.open(make_config(evaluation={"count": 9}), "evaluation")
    (batch,) = dataset.batches(9)
    assert batch.feeds["input"].shape == (9, 3, 6, 6)
    assert sorted(set(batch.labels or ())) == [0, 1, 2]
    files = FORMAT.files(make_config(evaluation={"count": 9}), "evaluation")
    assert [{"a": 0, "b": 1, "c": 2}[path.parent.name] for path in files] == list(
        batch.labels or ()
    )


def test_a_few_classes_of_a_model_that_knows_more_have_its_indices(folder):
    labels = {"labels": {"a": 7, "b": 300, "c": 999}}
    dataset = FORMAT.open(make_config(labels), "evaluation")
    found = {label for batch in dataset.batches(8) for label in batch.labels or ()}
    assert found == {7, 300, 999}
    with pytest.raises(InputError, match="folder images/c is not in"):
        FORMAT.open(make_config({"labels": {"a": 7, "b": 300}}), "evaluation")


def test_parts_are_disjoint_and_together_all(folder):
    parts = [
        FORMAT.files(make_config(calibration={"part": part}), "calibration")
        for part in ("training", "calibration", "evaluation", "all")
    ]
    assert sum(map(len, parts[:3])) == len({*parts[0], *parts[1], *parts[2]}) == 60
    assert set(parts[3]) == {*parts[0], *parts[1], *parts[2]}


def test_another_seed_divides_otherwise_and_a_new_file_moves_no_other(folder):
    first = set(FORMAT.files(make_config(), "evaluation"))
    assert set(FORMAT.files(make_config({"seed": 1}), "evaluation")) != first
    save(folder / "a" / "new.png", np.zeros((9, 12, 3), np.uint8))
    assert set(FORMAT.files(make_config(), "evaluation")) - {folder / "a" / "new.png"} == first


def test_splits_that_share_files_are_refused(folder):
    config = make_config(calibration={"part": "all", "count": 10}, evaluation={"part": "all"})
    with pytest.raises(ConfigError, match=r"10 images are in dataset\.evaluation too"):
        FORMAT.open(config, "calibration")


def test_a_broken_image_is_named(folder):
    path = FORMAT.files(make_config(), "evaluation")[0]
    path.write_bytes(path.read_bytes()[:60])
    dataset = FORMAT.open(make_config(), "evaluation")
    with pytest.raises(InputError, match=rf"{path}.*repair it, or remove it"):
        list(dataset.batches(4))


def test_a_text_that_calls_itself_an_image_is_named(folder):
    (folder / "a" / "0.png").write_text("no image", encoding="utf-8")
    config = make_config(evaluation={"part": "training"}, calibration={"part": "calibration"})
    both = [FORMAT.open(config, split) for split in ("calibration", "evaluation")]
    both.append(FORMAT.open(make_config(), "evaluation"))
    with pytest.raises(InputError, match=r"0\.png cannot be read"):
        [list(dataset.batches(4)) for dataset in both]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "there is no folder elsewhere"),
        (lambda folder: Path("elsewhere").mkdir(), "has no folder per class"),
        (lambda folder: Path("elsewhere/a").mkdir(parents=True), "folder elsewhere/a has no image"),
    ],
)
def test_a_folder_that_is_no_image_folder_is_refused(folder, make, message):
    make(folder)
    with pytest.raises(InputError, match=message):
        FORMAT.open(make_config(evaluation={"folder": "elsewhere"}), "evaluation")


def test_shares_that_are_no_whole_are_refused(folder):
    with pytest.raises(ConfigError, match=r"add up to 0\.9"):
        FORMAT.open(make_config({"shares": [0.5, 0.2, 0.2]}), "evaluation")


def test_without_pillow_the_command_is_named():
    class Format:
        extra = Extra(module="no_such_package", name=FORMAT.extra.name)

    with pytest.raises(MissingExtraError, match=r"imagefolder needs .*trtproof\[images\]"):
        require_extra(Format(), needed_by="dataset format imagefolder")
