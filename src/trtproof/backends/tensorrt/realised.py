"""Which precision an engine computes in, as far as its inspector shows it.

The verdict is about the layers that multiply (convolutions, matrix products), for they are what a
precision is chosen for. It says "not as asked" on positive proof only: the inside of a fused block
is not shown, and a guess must not fail a good build.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from trtproof.backends.tensorrt.fused import is_block, profile_of
from trtproof.backends.tensorrt.inspect import HOST, Inspection, Layer

Word = Literal["as_asked", "not_as_asked", "undecidable"]

HALF: Final = ("float16", "bfloat16")
NARROWEST_FIRST: Final = (
    "float4_e2m1fn", "int4", "float8_e4m3fn", "int8", "float16", "bfloat16", "float32",
)  # fmt: skip
ASKED: Final = {
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "int8": "int8",
    "int8_fp16": "int8",
    "fp8": "float8_e4m3fn",
    "fp8_fp16": "float8_e4m3fn",
}
"""Precision of a pass -> the type that its multiplying layers are asked to have."""

QUANTISED: Final = ("float4_e2m1fn", "int4", "float8_e4m3fn", "int8")
MULTIPLIES: Final = re.compile(
    r"conv|gemm|matmul|matrixmultiply|matrix_multiply|fullyconnected|einsum|mha|attention|lstm|gru",
    re.IGNORECASE,
)
LEAST_OF_EXPECTED: Final = 0.25
GENERATED: Final = re.compile(r"Fc|Gemm|Conv(?!ert)|Mha|Dot")
"""Parts of the names of kernels that TensorRT's compiler generated, as in __myl_MulFcAdd_myl0_3."""

NO_KERNEL: Final = re.compile(
    r"^(?:noop|constant|signal|wait|assertion|trainstation.*|shape.*|devicetoshapehost)$",
    re.IGNORECASE,
)
"""Kinds of layers that launch nothing on the device, or only compute shapes."""


@dataclass(frozen=True)
class LayerCounts:
    """Counts over the layers of the engine's first optimization profile.

    `kernels` leaves out what launches nothing and what only computes shapes. `reformats` are the
    copies into another layout or type; `quantizers` are those of them that are Q/DQ nodes of the
    graph, `casts` the layers that only change one type that is not quantised into another.
    `untyped` layers are known by name only; every figure but `layers` leaves them out.
    """

    layers: int
    kernels: int
    reformats: int
    quantizers: int
    casts: int
    untyped: int


@dataclass(frozen=True)
class Realised:
    """What the multiplying layers compute in, and the verdict on what was asked.

    `dtypes` maps a data type to how many of the `decided` layers compute in it; `hidden` layers do
    not show it.
    """

    word: Word
    text: str
    dtypes: Mapping[str, int]
    decided: int
    hidden: int

    def share(self, names: Iterable[str]) -> float | None:
        """Return the share of the multiplying layers that provably compute in these types."""
        total = self.decided + self.hidden
        return sum(self.dtypes.get(name, 0) for name in names) / total if total else None

    @property
    def hidden_share(self) -> float | None:
        """Return the share of the multiplying layers whose type is not shown."""
        total = self.decided + self.hidden
        return self.hidden / total if total else None


def count_layers(layers: Sequence[Layer]) -> LayerCounts:
    """Return the counts; see `LayerCounts` for what each one means."""
    listed = [layer for layer in layers if profile_of(layer.name) == 0]
    kernels = [layer for layer in listed if is_kernel(layer)]
    reformats = [layer for layer in kernels if is_reformat(layer)]
    return LayerCounts(
        layers=len(listed),
        kernels=len(kernels),
        reformats=len(reformats),
        quantizers=sum(_origin(layer) == "QDQ" for layer in reformats),
        casts=sum(is_cast(layer) for layer in kernels),
        untyped=sum(layer.kind is None for layer in listed),
    )


def count_boundaries(layers: Sequence[Layer]) -> dict[str, int]:
    """Return "inputs -> outputs" data types -> how many kernels have them, as in "int8 -> int8"."""
    counts: Counter[str] = Counter()
    for layer in layers:
        if profile_of(layer.name) == 0 and is_kernel(layer):
            counts[f"{_types(layer, 'inputs')} -> {_types(layer, 'outputs')}"] += 1
    return dict(sorted(counts.items()))


def is_kernel(layer: Layer) -> bool:
    """Say whether a layer launches a kernel of its own on data, not on shapes."""
    if layer.kind is None or NO_KERNEL.match(layer.kind):
        return False
    places = {tensor.location for tensor in (*layer.inputs, *layer.outputs)}
    return not places or {(place or "").lower() for place in places} != {HOST}


def is_reformat(layer: Layer) -> bool:
    """Say whether a layer only copies a tensor into another layout or type."""
    if layer.kind is None:
        return layer.name.startswith("Reformatting CopyNode")
    return layer.kind.lower() == "reformat"


def is_cast(layer: Layer) -> bool:
    """Say whether a layer's only work is another type, quantising apart."""
    kind = (layer.kind or "").lower()
    if kind == "cast" or _origin(layer) == "CAST":
        return True
    if not is_reformat(layer) or _origin(layer) == "QDQ":
        return False
    types = {tensor.dtype for tensor in (*layer.inputs, *layer.outputs)}
    return len(types) > 1 and None not in types and not types & set(QUANTISED)


def judge_precision(
    inspection: Inspection, precision: str, *, expected_share: float | None = None
) -> Realised:
    """Return whether an engine computes in what was asked.

    `expected_share` is the share of the multiplying nodes that the ONNX graph asks this type of:
    an engine that can have less than a quarter of it is proof, for fusion makes one layer of
    several nodes. Without it, only none at all is.
    """
    layers = [
        layer
        for layer in inspection.layers
        if profile_of(layer.name) == 0
        and (layer.kind is None or is_kernel(layer))
        and not is_reformat(layer)
    ]
    multiplying = [layer for layer in layers if _multiplies(layer)] or layers
    types = [computes_in(layer) for layer in multiplying]
    counts = Counter(dtype for dtype in types if dtype is not None)
    hidden = types.count(None)
    word, text = _judge(counts, hidden, precision, expected_share)
    ordered = {name: counts[name] for name in sorted(counts)}
    return Realised(word, text, ordered, decided=sum(counts.values()), hidden=hidden)


def computes_in(layer: Layer) -> str | None:
    """Return the data type that a layer computes in, or None where the inspector hides it.

    That of its weights, unless they are quantised and the data are not (then they are widened
    first); without weights the narrowest of its inputs, for accumulators and outputs are wider.
    """
    if is_block(layer.name, layer.kind):
        return None
    data = [
        tensor.dtype for tensor in layer.inputs or layer.outputs if tensor.dtype in NARROWEST_FIRST
    ]
    narrowest = min(data, key=NARROWEST_FIRST.index) if data else None
    weights = _weights(layer)
    if weights is None or (data and weights in QUANTISED and narrowest not in QUANTISED):
        return narrowest
    return weights


def _judge(
    counts: Mapping[str, int], hidden: int, precision: str, expected_share: float | None
) -> tuple[Word, str]:
    """Return the verdict in a word and in a sentence."""
    asked = ASKED.get(precision)
    if asked is None:
        return "undecidable", f"precision {precision} has no rule for what its layers compute in"
    decided = sum(counts.values())
    total = decided + hidden
    if not total:
        return "undecidable", "the inspector lists no layer that computes"
    shown = ", ".join(f"{count} in {name}" for name, count in sorted(counts.items())) or "none"
    unasked = _unasked(counts, asked)
    if unasked:
        return "not_as_asked", f"asked for {asked}, but of {total} multiplying layers {shown}"
    most = (counts.get(asked, 0) + hidden) / total
    if most == 0 or (expected_share is not None and most < expected_share * LEAST_OF_EXPECTED):
        return "not_as_asked", f"asked for {asked}, but of {total} multiplying layers {shown}"
    if not counts.get(asked):
        return "undecidable", (
            f"asked for {asked}: {hidden} of {total} multiplying layers are inside fused blocks or "
            f"known by name only; of the others {shown}"
        )
    return "as_asked", f"of {total} multiplying layers {shown}, {hidden} not shown"


def _unasked(counts: Mapping[str, int], asked: str) -> list[str]:
    """Return the types that prove another precision: narrower ones, and the other half type.

    A quantised graph may compute the rest in any wider type.
    """
    if asked in QUANTISED:
        return [name for name in counts if name in QUANTISED and name != asked]
    return [name for name in counts if name not in {asked, "float32"}]


def _multiplies(layer: Layer) -> bool:
    kind = layer.kind
    if kind is None or is_block(layer.name, kind):
        return True
    if kind.lower() == "kgen":
        return bool(GENERATED.search(layer.name))
    return bool(
        MULTIPLIES.search(kind) or (kind == "fusion" and MULTIPLIES.search(layer.tactic or ""))
    )


def _weights(layer: Layer) -> str | None:
    """Return the type of a layer's weights; integers that are indices or extents are none."""
    return layer.weights_dtype if layer.weights_dtype in NARROWEST_FIRST else None


def _origin(layer: Layer) -> str:
    return (layer.origin or "").upper()


def _types(layer: Layer, side: str) -> str:
    tensors = layer.inputs if side == "inputs" else layer.outputs
    names = dict.fromkeys(tensor.dtype or "unknown" for tensor in tensors)
    return "+".join(sorted(names)) or "none"
