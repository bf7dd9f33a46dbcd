"""Export the model to ONNX and prove that the graph computes what the model does.

Writes artifacts/export/: model.onnx (with model.onnx.data if it is large), signature.json,
export.json and, for a PyTorch model, the reference's weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtproof import artifacts, inputs, stage
from trtproof.backends.onnxruntime import open_graph
from trtproof.config import ExportConfig, ModelConfig, load_section
from trtproof.data import open_split
from trtproof.data.arrays import first_samples, require_extents, require_inputs
from trtproof.model_inputs import axis_bounds, resolve_model
from trtproof.models import SOURCES
from trtproof.models.base import SIGNATURE_FILE, WEIGHTS_FILE, input_specs
from trtproof.models.export import EXPORT_FILE, describe_export, make_onnx
from trtproof.models.normalise import normalise, write_model
from trtproof.models.onnx import (
    adopt_config,
    check_file,
    make_signature,
    require_source_path,
)
from trtproof.models.reference import make_function
from trtproof.models.weights import write_weights
from trtproof.parity import Function, require_parity
from trtproof.progress import note
from trtproof.registry import extend_path

if TYPE_CHECKING:
    from torch import nn


def main() -> None:
    """Write artifacts/export/."""
    settings = load_section(ExportConfig, "export")
    pythonpath = load_section(list[str], "pythonpath")
    extend_path(pythonpath)
    stated = load_section(ModelConfig, "model")
    config = resolve_model(stated)

    dataset = open_split("calibration")
    specs = input_specs(config)
    feeds = first_samples(dataset, inputs.largest_batch(config))
    require_inputs(feeds, specs, where="the calibration split")
    require_extents(feeds, specs, axis_bounds(config), where="the calibration split")

    allowed = inputs.keyed_files(stated, None, pythonpath)
    stage.guard_opens(allowed, setting="model.files", pythonpath=pythonpath)
    module = SOURCES.load(config.source).make_module(config)
    note(f"exporting {config.name}")
    model = make_onnx(module, config, settings, feeds)
    adopt_config(model, config)
    normalise(model)
    signature = make_signature(model, config, dataset.preprocessing)
    record = describe_export(model, config, settings)

    with artifacts.replace_folder(artifacts.EXPORT) as folder:
        path = write_model(model, folder)
        check_file(path)
        figures = require_parity(
            reference_of(module, config),
            open_graph(path, threads=1).run,
            feeds,
            specs,
            axes=config.axes,
            limits=settings.parity,
        )
        if module is not None:
            write_weights(module, folder / WEIGHTS_FILE)
        artifacts.write_json(folder / SIGNATURE_FILE, signature.to_json())
        parity = [figure.to_json() for figure in figures]
        artifacts.write_json(folder / EXPORT_FILE, record | {"parity": parity})


def reference_of(module: nn.Module | None, config: ModelConfig) -> Function:
    """Return what the export must equal: the module, or the user's own file as it lies there."""
    if module is None:
        return open_graph(require_source_path(config), threads=1).run
    return make_function(module, input_specs(config), config.outputs, owner=config.factory)


if __name__ == "__main__":
    stage.run(main)
