"""Datasets: one file per format."""

from __future__ import annotations

from pathlib import Path

from trtproof.config import PARAMS_FILE, DatasetConfig, load_section
from trtproof.data.base import DataFormat, Dataset, Split
from trtproof.registry import Registry

FORMATS: Registry[DataFormat] = Registry(
    "dataset format",
    {
        "digits": "trtproof.data.digits:FORMAT",
        "synthetic": "trtproof.data.synthetic:FORMAT",
        "npz": "trtproof.data.npz:FORMAT",
        "factory": "trtproof.data.factory:FORMAT",
    },
)


def open_dataset(config: DatasetConfig, split: Split) -> Dataset:
    """Return one split of the configured dataset.

    Raises:
        UnknownNameError: no such format.
        InputError, ConfigError: the data or its options are wrong.
    """
    return FORMATS.load(config.format).open(config, split)


def load_config(path: Path = PARAMS_FILE) -> DatasetConfig:
    """Return the dataset's settings, for `inputs.keyed_files`; samples come from `open_split`.

    Raises:
        ConfigError: unknown key, wrong type or value out of range.
    """
    return load_section(DatasetConfig, "dataset", path=path)


def open_split(split: Split, path: Path = PARAMS_FILE) -> Dataset:
    """Return one split of the dataset in params.yaml.

    A stage that calls this lists `metrics/inputs.json: [<split>]`: that key holds the settings of
    this split, of the format and the options, and not those of the other split.

    Raises:
        ConfigError, InputError: as `open_dataset`.
    """
    return open_dataset(load_config(path), split)
