"""What was measured elsewhere and imported: shown under its own protocol, compared with nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trtproof import artifacts
from trtproof.errors import InputError
from trtproof.report.cells import Cell, Column, Table, absent_cell
from trtproof.report.cells import format_number as number
from trtproof.report.engines import VERDICTS, fusion_table
from trtproof.report.sources import Sources

SHOWN: Final = (("latency", "p50"), ("latency", "p99"), ("compute", "p50"), ("enqueue", "p50"))
SWITCHES: Final = {
    "data_transfers": ("transfers included", "without transfers"),
    "cuda_graph": ("CUDA graph", "no CUDA graph"),
    "spin_wait": ("spin wait", "blocking wait"),
}
NOTE: Final = (
    "These are trtexec's own figures, of another machine or another moment: a steady stream with "
    "one request queued ahead, latency being the sum of its parts. trtexec 10 and 11 time other "
    "things by default. Nothing here is compared with a figure of this session."
)


@dataclass(frozen=True)
class Imports:
    """One row per import, and the layers of those that brought them."""

    table: Table
    fusions: Sequence[tuple[str, Table]]


def load_imports(sources: Sources) -> list[Mapping[str, Any]]:
    """Return every record in imports/, by name.

    Raises:
        InputError: one is not what `trtproof import-trtexec` wrote.
    """
    return [
        _read_record(path)
        for path in sorted(artifacts.IMPORTS.glob("*.json"))
        if sources.find(path)
    ]


def _read_record(path: Path) -> Mapping[str, Any]:
    """Return a record whose seal is whole, so that all its keys are there."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        record = None
    seal = record.pop("seal", None) if isinstance(record, dict) else None
    if seal is None or seal != artifacts.sha256_json(record):
        raise InputError(
            f"{path} is not as `trtproof import-trtexec` wrote it; remove it, or import it again"
        )
    return dict(record)


def show_imports(records: Sequence[Mapping[str, Any]]) -> Imports:
    """Return the tables of the imported results."""
    columns = (
        Column("Imported"),
        Column("Protocol"),
        Column("Requests", is_number=True),
        *(Column(f"{figure.capitalize()} {key.upper()}", is_number=True) for figure, key in SHOWN),
        Column("Layers", is_number=True),
        Column("Reformats", is_number=True),
        Column("Precision"),
    )
    return Imports(
        table=Table(columns=columns, rows=[_row(record) for record in records], notes=(NOTE,)),
        fusions=[
            (f"{record['name']}: layers", fusion_table(record["layers"]))
            for record in records
            if record.get("layers")
        ],
    )


def _row(record: Mapping[str, Any]) -> Sequence[Cell]:
    switches = record["run"]["switches"]
    words = [names[not switches[key]] for key, names in SWITCHES.items()]
    return (
        Cell(str(record["name"])),
        Cell(str(record["protocol"]), detail=", ".join(words)),
        *_time_cells(record),
        *_layer_cells(record),
    )


def _time_cells(record: Mapping[str, Any]) -> Sequence[Cell]:
    times = record.get("times_ms")
    if times is None:
        return (absent_cell("no file of times", span=1 + len(SHOWN)),)
    cells = [Cell(number(float(times[figure][key]), "ms"), kind="number") for figure, key in SHOWN]
    return (Cell(number(int(record["samples_count"])), kind="number"), *cells)


def _layer_cells(record: Mapping[str, Any]) -> Sequence[Cell]:
    inspection = record.get("inspection")
    if inspection is None:
        return (absent_cell("no file of layers", span=3),)
    judged = inspection["precision"]
    word = VERDICTS[judged["verdict"]]
    asked = f"{record['precision']}: {word.text}"
    return (
        Cell(number(int(inspection["layers"])), kind="number"),
        Cell(number(int(inspection["reformats"])), kind="number"),
        Cell(asked, kind=word.kind, tone=word.tone, detail=str(judged["text"])),
    )
