"""What TensorRT made of the graph: engine layers, the ONNX nodes in them, reformats, precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trtproof.report.cells import Cell, Column, Facts, Table, absent_cell, name_cell
from trtproof.report.cells import format_number as number
from trtproof.report.engine_figures import INSPECTION
from trtproof.report.findings import Findings, Plan, VariantFindings

MOST_ROWS: Final = 300
"""Layers shown of one engine; the rest is in its layers.json."""

COUNTS_NOTE: Final = (
    "Layers are those of the first optimization profile. Kernels leave out layers that launch "
    "nothing or only compute shapes. Reformats copy a tensor into another layout or type; a "
    "quantising node that runs as such a copy is one of them."
)
SHARES_NOTE: Final = (
    "Shares are of the layers that multiply (convolutions, matrix products). The inside of a fused "
    "block is not shown by the inspector; no precision is claimed of it."
)
VERDICTS: Final = {
    "as_asked": Cell("as asked", tone="ok"),
    "not_as_asked": Cell("not as asked", tone="bad"),
    "undecidable": Cell("undecidable", tone="warn"),
}
COUNTED: Final = (
    ("Layers", "layers_count"),
    ("Kernels", "kernels_count"),
    ("Reformats", "reformats_count"),
    ("Casts", "casts_count"),
    ("In half", "half_share_pct"),
    ("In int8", "int8_share_pct"),
    ("Not shown", "hidden_share_pct"),
    ("Workspace limit", "workspace_limit_mib"),
    ("Device memory", "device_memory_mib"),
)


@dataclass(frozen=True)
class Engines:
    """The tables of one section: a summary, and per variant the layers with their ONNX nodes."""

    summary: Table
    fusions: Sequence[tuple[str, Table]]


def show_engines(findings: Findings, facts: Facts) -> Engines:
    """Return what is known of the inside of every engine that has an inspector."""
    inspected = [
        (position, variant, variant.plan)
        for position, variant in enumerate(findings.variants)
        if isinstance(variant.plan, Plan) and INSPECTION in variant.plan.details
    ]
    columns = (
        Column("Variant"),
        *(Column(title, is_number=True) for title, _ in COUNTED),
        Column("Precision"),
    )
    rows = [_summary(facts, position, variant, plan) for position, variant, plan in inspected]
    return Engines(
        summary=Table(columns=columns, rows=rows, notes=(COUNTS_NOTE, SHARES_NOTE)),
        fusions=[
            (_fusion_title(variant, plan), fusion_table(plan.layers))
            for _, variant, plan in inspected
        ],
    )


def fusion_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """Return the engine's layers in order, each with the ONNX nodes that it was made of."""
    columns = (
        Column("#", is_number=True),
        Column("Engine layer"),
        Column("ONNX nodes"),
        Column("Types"),
        Column("Kind"),
        Column("Tactic"),
    )
    shown = layers[:MOST_ROWS]
    more = len(layers) - len(shown)
    notes = [f"{number(more)} more layers are not shown."] if more else []
    return Table(columns=columns, rows=[_layer_row(layer) for layer in shown], notes=notes)


def _summary(facts: Facts, position: int, variant: VariantFindings, plan: Plan) -> Sequence[Cell]:
    inspection = plan.details[INSPECTION]
    cells = [facts.device_cell(variant.name, key) for _, key in COUNTED]
    precision = inspection.get("precision", {})
    word = VERDICTS.get(str(precision.get("verdict")), absent_cell("not judged"))
    verdict = Cell(word.text, kind=word.kind, tone=word.tone, detail=str(precision.get("text", "")))
    return (name_cell(variant.name, position), *cells, verdict)


def _fusion_title(variant: VariantFindings, plan: Plan) -> str:
    fused = [layer for layer in plan.layers if layer["onnx_nodes"]]
    nodes = {node for layer in fused for node in layer["onnx_nodes"]}
    return (
        f"{variant.name}: {number(len(nodes))} ONNX nodes in {number(len(fused))} of "
        f"{number(len(plan.layers))} engine layers"
    )


def _layer_row(layer: Mapping[str, Any]) -> Sequence[Cell]:
    return (
        Cell(number(int(layer["index"])), kind="number"),
        Cell(str(layer["name"]), kind="code"),
        Cell(", ".join(layer["onnx_nodes"]) or "none", kind="code"),
        Cell(f"{_types(layer['inputs'])} → {_types(layer['outputs'])}"),
        Cell(" ".join(filter(None, (layer["kind"] or "not shown", layer.get("origin"))))),
        Cell(layer["tactic"] or "not shown", kind="code"),
    )


def _types(tensors: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(str(tensor["dtype"] or "?") for tensor in tensors)) or "none"
