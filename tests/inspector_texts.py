"""Small inspector texts of our own, as TensorRT 10 and 11 write them."""

from __future__ import annotations

import json
from typing import Any

UNIT_SEPARATOR = "\x1f"


def tensor(name: str, kind: str, *, major: int = 10, location: str = "Device") -> dict[str, Any]:
    """Return a tensor of a layer; `kind` is as in "Half" or "Row major linear FP32"."""
    common = {"Name": name, "Location": location, "Dimensions": [1, 8, 4, 4]}
    if major == 10:
        return common | {"Format/Datatype": kind}
    words = {"FP32": "Float", "FP16": "Half", "Int8": "Int8"}
    dtype = next((word for part, word in words.items() if part in kind), kind)
    return common | {"Datatype": dtype, "Format": f"{kind} format (kLINEAR)"}


def layer(
    name: str, kind: str, before: str, after: str, *, major: int = 10, **more: Any
) -> dict[str, Any]:
    """Return a layer from one tensor to one other."""
    return {
        "Name": name,
        "LayerType": kind,
        "Inputs": [tensor(f"{name} in", before, major=major)],
        "Outputs": [tensor(f"{name} out", after, major=major)],
        "TacticName": f"sm90_{kind}",
        "StreamId": 0,
        **more,
    }


def onnx(*names: str) -> str:
    """Return a layer's metadata as TensorRT's ONNX parser writes it."""
    return UNIT_SEPARATOR.join(f"[ONNX Layer: {name}]" for name in names)


def engine(layers: list[Any], *, major: int = 10) -> str:
    """Return an engine's text."""
    if major == 10:
        return json.dumps({"Layers": layers, "Bindings": ["image", "logits"]})
    names = (("image", "Input"), ("logits", "Output"))
    io_tensors = [
        {"Name": name, "IOMode": mode, "DataType": "Float", "Dimensions": [1, 8]}
        for name, mode in names
    ]
    return json.dumps({"Layers": layers, "I/O Tensors": io_tensors})


def small(dtype: str, *, major: int = 10) -> str:
    """Return two convolutions and what TensorRT puts around them; `dtype` is FP32, FP16 or Int8."""
    wide = "Row major linear FP32"
    kind = wide if dtype == "FP32" else f"Channel major {dtype} format where channel % 8 == 0"
    weights = {"Type": {"FP32": "Float", "FP16": "Half"}.get(dtype, "Int8"), "Count": 72}
    conv: dict[str, Any] = {"Weights": weights}
    return engine(
        [
            layer("Reformatting CopyNode for Input Tensor 0 to conv1 + relu1", "Reformat",
                  wide, kind, major=major, Origin="QDQ" if dtype == "Int8" else "REFORMAT"),
            layer("conv1 + relu1", "CaskConvolution", kind, kind, major=major,
                  Metadata=onnx("conv1", "relu1"), **conv),
            layer("conv2", "CaskConvolution", kind, kind, major=major,
                  Metadata=onnx("conv2 | block (Block)"), **conv),
            layer("reshape_after_conv2", "NoOp", kind, wide, major=major),
            layer("(Unnamed Layer* 9) [Shape]", "shape_call", "Int64", "Int64", major=major),
        ],
        major=major,
    )  # fmt: skip
