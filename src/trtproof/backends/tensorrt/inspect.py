"""The JSON of TensorRT's engine inspector, of both majors, turned into our layers.

Also what `trtexec --exportLayerInfo` writes. The text is not always JSON, a layer is not always an
object and not always complete (NVIDIA/TensorRT issues 2779, 4048, 3585): what cannot be read is
left unknown and said, never guessed. TensorRT 11 renamed "Bindings" and split "Format/Datatype".
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from trtproof.backends.tensorrt.datatypes import read_dtype
from trtproof.backends.tensorrt.fused import find_onnx_nodes

BAD_ESCAPE: Final = re.compile(r'\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})')
TRAILING_COMMA: Final = re.compile(r",(\s*[\]}])")
WEIGHTS: Final = ("weights", "convweights")
HOST: Final = "host"


@dataclass(frozen=True)
class LayerTensor:
    """One input or output of a layer; what the inspector does not say is None or ()."""

    name: str
    dtype: str | None = None
    format: str | None = None
    shape: Sequence[int] = ()
    location: str | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of an engine.

    `kind` is None where only the name is known, as of an engine that was built without detailed
    verbosity. `origin` is why a reformat is there (REFORMAT, QDQ, CAST). `weights_dtype` is the
    type of the constant weights that the layer holds.
    """

    index: int
    name: str
    kind: str | None
    onnx_nodes: Sequence[str]
    inputs: Sequence[LayerTensor]
    outputs: Sequence[LayerTensor]
    tactic: str | None
    origin: str | None = None
    weights_dtype: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return an entry of layers.json."""
        return asdict(self)


@dataclass(frozen=True)
class Inspection:
    """What was read: the layers, the engine's inputs and outputs, and what could not be read."""

    layers: Sequence[Layer]
    io_names: Sequence[str]
    problems: Sequence[str] = ()


def read_inspection(text: str, node_names: Collection[str] | None = None) -> Inspection:
    """Return what an inspector's text says.

    `node_names` are the nodes of the ONNX model that the engine was built from; only these count as
    fused nodes then. Without them a layer's own name is taken apart.
    """
    try:
        data = _load_leniently(text)
    except ValueError as error:
        return Inspection((), (), (f"the inspector's text is not JSON: {error}",))
    entries, io_names = _split(data)
    if entries is None:
        return Inspection((), io_names, ("the inspector's JSON has no list of layers",))
    layers, problems = [], []
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapping):
            layers.append(_read_layer(index, _plain_keys(entry), node_names))
        elif isinstance(entry, str):
            nodes = find_onnx_nodes(entry, "", node_names)
            layers.append(Layer(index, entry, None, nodes, (), (), None))
        else:
            problems.append(f"layer {index} is a {type(entry).__name__}")
    return Inspection(layers, io_names, problems)


def _load_leniently(text: str) -> Any:
    """Return JSON that may have raw control characters, wrong escapes and trailing commas.

    Raises:
        ValueError: it still is not JSON.
    """
    lenient = json.JSONDecoder(strict=False)
    try:
        return lenient.decode(text)
    except ValueError as error:
        repaired = TRAILING_COMMA.sub(r"\1", BAD_ESCAPE.sub(r"\\\\", text))
        if repaired == text:
            raise
        try:
            return lenient.decode(repaired)
        except ValueError:
            raise error from None


def _split(data: Any) -> tuple[list[Any] | None, list[str]]:
    """Return the layers' entries and the names of the engine's inputs and outputs."""
    if isinstance(data, list):
        return data, []
    if not isinstance(data, Mapping):
        return None, []
    entries = _plain_keys(data)
    layers = entries.get("layers")
    io_tensors = entries.get("iotensors", entries.get("bindings"))
    names = [_name_of(tensor) for tensor in io_tensors] if isinstance(io_tensors, list) else []
    return layers if isinstance(layers, list) else None, names


def _plain_keys(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry under keys of small letters only: spellings differ between versions."""
    return {re.sub(r"[^a-z]", "", key.lower()): value for key, value in entry.items()}


def _name_of(tensor: Any) -> str:
    return str(_plain_keys(tensor).get("name", "")) if isinstance(tensor, Mapping) else str(tensor)


def _read_layer(index: int, entry: Mapping[str, Any], node_names: Collection[str] | None) -> Layer:
    name = str(entry.get("name", ""))
    return Layer(
        index=index,
        name=name,
        kind=_text(entry.get("layertype")),
        onnx_nodes=find_onnx_nodes(name, str(entry.get("metadata") or ""), node_names),
        inputs=_read_tensors(entry.get("inputs")),
        outputs=_read_tensors(entry.get("outputs")),
        tactic=_text(entry.get("tacticname")) or _text(entry.get("tacticvalue")),
        origin=_text(entry.get("origin")),
        weights_dtype=_read_weights(entry),
    )


def _read_tensors(entries: Any) -> tuple[LayerTensor, ...]:
    if not isinstance(entries, list):
        return ()
    return tuple(
        _read_tensor(_plain_keys(entry)) if isinstance(entry, Mapping) else LayerTensor(str(entry))
        for entry in entries
    )


def _read_tensor(entry: Mapping[str, Any]) -> LayerTensor:
    both = _text(entry.get("formatdatatype"))
    layout = _text(entry.get("format"))
    dtype = _text(entry.get("datatype"))
    shape = entry.get("dimensions")
    return LayerTensor(
        name=str(entry.get("name", "")),
        dtype=read_dtype(dtype or both or layout or ""),
        format=layout or (both if both and " " in both else None),
        shape=tuple(shape) if isinstance(shape, list) else (),
        location=_text(entry.get("location")),
    )


def _read_weights(entry: Mapping[str, Any]) -> str | None:
    for key in WEIGHTS:
        weights = entry.get(key)
        if isinstance(weights, Mapping):
            return read_dtype(str(weights.get("Type", "")))
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
