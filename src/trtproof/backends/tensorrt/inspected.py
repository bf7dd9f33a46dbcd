"""A built engine's inspection as the facts of its sidecar, and the gate on its precision."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from trtproof.backends.tensorrt.calls import OptionalCalls
from trtproof.backends.tensorrt.inspect import Inspection, read_inspection
from trtproof.backends.tensorrt.realised import (
    HALF,
    Realised,
    count_boundaries,
    count_layers,
    judge_precision,
)
from trtproof.errors import BuildFailedError

Gate = Literal["fail", "warn"]
RAW_FILE: Final = "inspector.json"
"""The inspector's own text, as it came; it is not always JSON."""


@dataclass(frozen=True)
class Asked:
    """What the engine was to be: `share` of its multiplying nodes, of the ONNX's `nodes`.

    None where there is no ONNX to compare with.
    """

    precision: str
    share: float | None = None
    nodes: Collection[str] | None = None


@dataclass(frozen=True)
class Inspected:
    """An engine's layers and the verdict on them."""

    text: str
    inspection: Inspection
    realised: Realised

    def facts(self) -> dict[str, Any]:
        """Return what engine.json keeps in its details under "inspection"."""
        realised = self.realised
        shares = {
            "half_share": realised.share(HALF),
            "int8_share": realised.share(["int8"]),
            "hidden_share": realised.hidden_share,
        }
        return {
            **asdict(count_layers(self.inspection.layers)),
            **{name: round(share, 6) for name, share in shares.items() if share is not None},
            "boundaries": count_boundaries(self.inspection.layers),
            "precision": {
                "verdict": realised.word,
                "text": realised.text,
                "dtypes": dict(realised.dtypes),
                "hidden": realised.hidden,
            },
            "problems": list(self.inspection.problems),
        }


def read_engine(trt: Any, engine: Any, calls: OptionalCalls) -> str:
    """Return what the engine's inspector says, or "" with the reason kept in `calls`."""

    def ask() -> str:
        inspector = engine.create_engine_inspector()
        return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))

    return calls.optional("inspector", ask) or ""


def inspect_text(text: str, asked: Asked) -> Inspected:
    """Return the layers of an inspector's text and whether they compute as asked."""
    inspection = read_inspection(text, asked.nodes)
    realised = judge_precision(inspection, asked.precision, expected_share=asked.share)
    return Inspected(text, inspection, realised)


def require_precision(inspected: Inspected, gate: Gate) -> None:
    """Refuse an engine that provably computes in another precision than asked.

    Raises:
        BuildFailedError: it does, and the gate is "fail".
    """
    if inspected.realised.word == "not_as_asked" and gate == "fail":
        raise BuildFailedError(
            code="wrong_precision",
            text=f"the engine does not compute in the asked precision: {inspected.realised.text}",
            repair="see in the recipe's record.json what it left in float32; with "
            "build.options.precision_gate: warn the engine is kept, and the report says so",
        )
