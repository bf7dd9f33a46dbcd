"""The calibrate stage's files: histograms.npz, ranges.json, coverage.json, float16.json."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from trtproof import artifacts
from trtproof.calibration.histogram import Statistics
from trtproof.calibration.samples import Samples
from trtproof.errors import CalibrationError, InputError

HISTOGRAMS_FILE: Final = "histograms.npz"
RANGES_FILE: Final = "ranges.json"
COVERAGE_FILE: Final = "coverage.json"
FLOAT16_FILE: Final = "float16.json"
"""The range report of trtproof.precision.range_report; no stage reads it back."""


@dataclass(frozen=True)
class Calibration:
    """What a data pass found, by tensor name of the float32 graph."""

    tensors: Mapping[str, Statistics]
    coverage: Mapping[str, Any]
    """Contents of coverage.json; docs/calibration.md has the schema."""

    samples: Samples = field(default_factory=Samples)
    """What each sample did; in no file, so that it is empty after `load`."""

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return tensor name -> (smallest, largest) value, signed."""
        return {name: (item.lowest, item.highest) for name, item in self.tensors.items()}

    def histogram(self, name: str) -> Statistics:
        """Return a tensor's statistics with its histogram of magnitudes.

        Raises:
            CalibrationError: the pass did not see this tensor.
        """
        try:
            return self.tensors[name]
        except KeyError:
            if "given" in self.coverage:
                raise CalibrationError(
                    f"{self.coverage['given']['file']} (calibrate.from) has no range of tensor "
                    f"{name!r}; add it there, or exclude the nodes that read it"
                ) from None
            raise CalibrationError(
                f"there is no histogram of tensor {name!r}; the calibration is of another model: "
                "run `dvc repro calibrate`"
            ) from None

    def write(self, folder: Path) -> None:
        """Write the three files; equal calibrations give equal bytes.

        The histograms are stored, not compressed: compressed bytes differ between zlib versions,
        which would convert every model again on another machine.
        """
        names = sorted(self.tensors)
        ordered = [self.tensors[name] for name in names]
        np.savez(
            folder / HISTOGRAMS_FILE,
            names=np.array(names, dtype=np.str_),
            lengths=np.array([item.bins.size for item in ordered], np.int64),
            bins=_join([item.bins for item in ordered], np.uint16),
            counts=_join([item.counts for item in ordered], np.int64),
        )
        ranges = {
            name: {
                "min": _shortest(item.lowest),
                "max": _shortest(item.highest),
                "count": item.values_count,
            }
            for name, item in self.tensors.items()
        }
        artifacts.write_json(folder / RANGES_FILE, {"schema": 1, "tensors": ranges})
        artifacts.write_json(folder / COVERAGE_FILE, self.coverage)

    @classmethod
    def load(cls, folder: Path) -> Calibration:
        """Return what `write` wrote.

        Raises:
            MissingFileError: a file is not there.
            InputError: a file is damaged.
        """
        path = artifacts.require(folder / HISTOGRAMS_FILE, made_by="calibrate")
        ranges = artifacts.read_json(folder / RANGES_FILE, made_by="calibrate")
        coverage = artifacts.read_json(folder / COVERAGE_FILE, made_by="calibrate")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                names, lengths = stored["names"].tolist(), stored["lengths"]
                ends = np.cumsum(lengths)[:-1]
                bins = np.split(stored["bins"].astype(np.int64), ends)
                counts = np.split(stored["counts"], ends)
            tensors = {
                name: Statistics(
                    float(np.float32(ranges["tensors"][name]["min"])),
                    float(np.float32(ranges["tensors"][name]["max"])),
                    bins[position],
                    counts[position],
                )
                for position, name in enumerate(names)
            }
        except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is damaged ({error}); run `dvc repro -f calibrate` to make it again"
            ) from None
        return cls(tensors, coverage)


def _join(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate([*parts, np.empty(0, np.int64)]).astype(dtype)


def _shortest(value: float) -> float:
    """Return the number with the fewest digits that is the same float32."""
    return float(str(np.float32(value)))
