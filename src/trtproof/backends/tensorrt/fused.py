"""Which ONNX nodes a layer of an engine was made of.

TensorRT's ONNX parser writes "[ONNX Layer: NAME | ...]" into a layer's metadata, and fusion keeps
them all (onnx-tensorrt, importerUtils.cpp). Older engines have the nodes in the layer's name only:
"conv1.weight + QuantizeLinear_7 + Conv_9 + MaxPool_12".
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

METADATA_SEPARATOR: Final = re.compile(r"[\x1e\x1f]+|(?<=\])\s*(?=\[ONNX Layer: )")
METADATA_NODE: Final = re.compile(r"\[ONNX Layer: (.+?)(?: \| .*)?\]$")
PROFILE_SUFFIX: Final = re.compile(r" \[profile (\d+)\]$")
SEPARATOR: Final = re.compile(r"\s+(?:\+|\|\|)\s+")
POINTWISE: Final = re.compile(r"PWN\(|\)|,")
FOREIGN: Final = re.compile(r"\{?ForeignNode\[(.+?)\.\.\.(.+?)\]\}?")
OURS: Final = re.compile(
    r"^(?:Reformatting CopyNode|\(Unnamed Layer\*|reshape_|squeeze_|unsqueeze_|copied_|__my|"
    r"ONNXTRT_|\[|shuffle_|Myelin|\{)",
    re.IGNORECASE,
)
"""Beginnings of names that TensorRT made up."""
WEIGHT_NAME: Final = re.compile(r"(?:weights?|bias|running_mean|running_var)$", re.IGNORECASE)


def profile_of(name: str) -> int:
    """Return the optimization profile that a layer belongs to: an engine lists each one's."""
    found = PROFILE_SUFFIX.search(name)
    return int(found[1]) if found else 0


def find_onnx_nodes(
    name: str, metadata: str, node_names: Collection[str] | None = None
) -> tuple[str, ...]:
    """Return the ONNX nodes of a layer in the order in which they are named, each once.

    Of a block that names only its first and last node, these two. With `node_names`, the nodes of
    the model, nothing else is ever returned.
    """
    entries = map(METADATA_NODE.match, METADATA_SEPARATOR.split(metadata.strip()))
    stated = [entry[1] for entry in entries if entry]
    found = dict.fromkeys(stated or _take_apart(PROFILE_SUFFIX.sub("", name)))
    if node_names is not None:
        return tuple(node for node in found if node in node_names)
    return tuple(found) if stated else tuple(node for node in found if _may_be_node(node))


def is_block(name: str, kind: str | None) -> bool:
    """Say whether a layer is a block whose inside the inspector does not show."""
    return "ForeignNode[" in name or (kind or "").lower() in {"myelin", "foreignnode"}


def _take_apart(name: str) -> list[str]:
    foreign = FOREIGN.search(name)
    if foreign:
        return [foreign[1], foreign[2]]
    if name.startswith("Reformatting CopyNode"):
        return []
    if "PWN(" in name:  # pointwise operations in one kernel: "PWN(PWN(Sigmoid_1), Mul_2)"
        name = " + ".join(filter(None, map(str.strip, POINTWISE.split(name))))
    return [piece.strip() for piece in SEPARATOR.split(name)]


def _may_be_node(piece: str) -> bool:
    return bool(piece) and not OURS.match(piece) and not WEIGHT_NAME.search(piece)
