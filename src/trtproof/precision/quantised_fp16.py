"""The cast of an explicitly quantised graph to float16: what int8_fp16 and fp8_fp16 share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, numpy_helper

from trtproof.errors import ModelError
from trtproof.precision import fp16
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.dtypes import QDQ_OPS, infer_types
from trtproof.precision.graph import load_model
from trtproof.precision.grids import Grid

if TYPE_CHECKING:
    from trtproof.calibration import Calibration


@dataclass
class QuantisedFp16Pass:
    """Apply the fp16 pass to a graph of pass `source`; options are the fp16 pass's."""

    precision: str
    source: str
    grid: Grid
    needs_calibration: bool = False

    def __call__(
        self, model: Path, out: Path, calibration: Calibration | None, options: Mapping[str, Any]
    ) -> PrecisionRecord:
        """Write the cast model to `out`; see `PrecisionPass`."""
        scales = self._read_scales(load_model(model))
        record = fp16.PASS(model, out, calibration, options)
        warnings = list(record.warnings)
        if not scales:
            warnings.append(
                f"nothing in the source is quantised to {self.grid.name}; its recipe should be of "
                f"pass {self.source}"
            )
        return replace(record, precision=self.precision, scales=scales, warnings=warnings)

    def _read_scales(self, graph: ModelProto) -> dict[str, list[float]]:
        """Return quantised tensor -> its scales, all of which float16 holds exactly.

        Raises:
            ModelError: a scale is no float16.
        """
        types = infer_types(graph)
        tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
        found: dict[str, list[float]] = {}
        for node in graph.graph.node:
            if node.op_type not in QDQ_OPS or self.grid.data_type not in (
                types.get(node.input[0]),
                types.get(node.output[0]),
            ):
                continue
            scales = numpy_helper.to_array(tensors[node.input[1]])
            if not (scales.astype(np.float16) == scales).all():
                raise ModelError(
                    f"a scale of {node.name!r} is not a float16, so that the cast would change "
                    "what is quantised; set the recipe's `source` to "
                    f"artifacts/convert/{self.source}"
                )
            tensor = node.input[1].removesuffix("/scale")
            found[tensor] = [float(str(scale)) for scale in scales.ravel()]
        return found
