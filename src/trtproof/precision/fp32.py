"""fp32: the exported graph as it is, so that every variant is built from a recipe's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtproof.precision.base import PrecisionPass, PrecisionRecord, refuse_unknown_options
from trtproof.precision.dtypes import count_dtypes
from trtproof.precision.graph import copy_model, load_model

if TYPE_CHECKING:
    from trtproof.calibration import Calibration


class Fp32Pass:
    """Copy the model byte for byte, external data included."""

    precision = "fp32"
    needs_calibration = False

    def __call__(
        self, model: Path, out: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> PrecisionRecord:
        """Write the same bytes to `out`; see `PrecisionPass`."""
        refuse_unknown_options(options, known=(), precision=self.precision)
        copy_model(model, out)
        return PrecisionRecord(
            precision=self.precision,
            executor="onnxruntime",
            dtypes=count_dtypes(load_model(model, with_weights=False)),
        )


PASS: PrecisionPass = Fp32Pass()
