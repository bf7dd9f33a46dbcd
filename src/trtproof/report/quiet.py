"""Was the machine quiet? What its counters, its clocks and the reference's second run say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trtproof.report.cells import NOT_MEASURED, Cell, Column, Facts, Table, Tone, absent_cell
from trtproof.report.controls import control_text, list_controls, noise_floor
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, Run
from trtproof.report.gpu_quiet import gpu_rows
from trtproof.report.session_texts import answers_text, harness_text, left_out_text, warmup_text

QUIET_SHARE: Final = 0.05
"""How far the reference may be from itself on a quiet machine: wider than that is said first."""

BUSY_LOAD_PER_CORE: Final = 1.0
"""From here on there was no free core before the session began."""

STEADY_CLOCK_SHARE: Final = 0.02
"""How far clocks may move between rounds before that is worth a look."""

COUNTERS: Final = {
    "pressure_share": "Tasks waited for a processor",
    "steal_share": "Taken by the hypervisor",
    "foreign_share": "Other programs on the device",
}
NO_COUNTER: Final = "this machine has no such counter, or the device has no other programs' share"

Row = tuple[str, str, str, Tone]
"""What was checked, the result, and a word in its colour."""


def quiet_table(findings: Findings, facts: Facts) -> Table:
    """Return what speaks for and against the session, one check per row."""
    columns = (Column("Check"), Column("Result"), Column("Says"))
    run = findings.run
    if isinstance(run, NotMeasured):
        return Table(columns, [(Cell("Session"), absent_cell(run.reason, span=2))])
    rows: list[Sequence[Cell]] = [_cells(row) for row in _control_rows(findings, facts)]
    rows += _counter_rows(run)
    gpu = gpu_rows(findings.gpu.state)
    rows += [_cells(row) for row in (*gpu, *_clock_rows(run), *_session_rows(findings, run))]
    return Table(columns=columns, rows=rows)


def _cells(row: Row) -> Sequence[Cell]:
    check, result, word, tone = row
    return Cell(check), Cell(result, kind="reason"), Cell(word, tone=tone)


def _control_rows(findings: Findings, facts: Facts) -> list[Row]:
    rows: list[Row] = []
    named = {variant.name: variant for variant in findings.variants}
    for name in list_controls(findings):
        title = "Reference" if name == findings.reference.name else name
        for batch in findings.batches:
            floor = noise_floor(named[name], batch)
            quiet = floor is not None and floor <= QUIET_SHARE
            word = "not known" if floor is None else f"noise floor {100 * floor:.1f} %"
            tone: Tone = "ok" if quiet else "warn"
            text = control_text(findings, facts, batch, name)
            text = f"{name} against its own second run: {text}"
            rows.append((f"{title} twice (A/A), batch {batch}", text, word, tone))
    return rows


def _counter_rows(run: Run) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = []
    for name, title in COUNTERS.items():
        shares, limit = run.evidence.shares.get(name), run.evidence.limits.get(name)
        if not shares or limit is None:
            rows.append((Cell(title), absent_cell(NO_COUNTER, span=2)))
            continue
        over = sum(share > limit for share in shares)
        text = (
            f"at most {100 * max(shares):.3g} % of a round's time, limit {100 * limit:g} %, in "
            f"{over} of {len(shares)} rounds over it"
        )
        word: tuple[str, Tone] = (f"{over} disturbed", "warn") if over else ("quiet", "ok")
        rows.append(_cells((title, text, *word)))
    lost = run.evidence.throttled_ns
    if not lost:
        reason = "no device here counts the time that heat or power took from it"
        rows.append((Cell("Throttling"), absent_cell(reason, span=2)))
    else:
        throttled: tuple[str, Tone] = ("throttled", "warn") if any(lost) else ("none", "ok")
        rows.append(_cells(("Throttling", f"{sum(lost) / 1e6:.3g} ms in all rounds", *throttled)))
    return rows


def _clock_rows(run: Run) -> list[Row]:
    clocks = run.evidence.frequency_mhz
    if not clocks:
        return [("Clock of the processor", f"{NOT_MEASURED}: the system names none", "-", "same")]
    low, high = min(clocks), max(clocks)
    steady = high <= low * (1 + STEADY_CLOCK_SHARE)
    text = f"{low:.0f} to {high:.0f} MHz between rounds, as the system reports it; not locked by us"
    return [("Clock of the processor", text, *(("steady", "ok") if steady else ("moved", "warn")))]


def _session_rows(findings: Findings, run: Run) -> list[Row]:
    load = run.load_per_core
    busy: tuple[str, Tone] = ("not known", "same")
    text = NOT_MEASURED
    if load is not None:
        text = f"{load:.2g} tasks per core wanted to run"
        busy = ("busy", "warn") if load > BUSY_LOAD_PER_CORE else ("free", "ok")
    gone = bool(findings.selection.left_out) or findings.selection.mostly_disturbed
    names = ", ".join(f"{name}={value}" for name, value in sorted(run.variables.items()))
    return [
        ("Before it began", text, *busy),
        ("Rounds left out", left_out_text(findings), *_look(gone, "none")),
        ("Warm-up", warmup_text(findings), *_look(bool(run.unsettled), "settled")),
        ("Variables that change speed", names or "none was set", *_look(bool(names), "none")),
        ("Harness", harness_text(findings), "recorded", "same"),
        ("Same answers as evaluated",
         f"largest difference, as a share of the largest value: {answers_text(findings)}",
         "recorded", "same"),
    ]  # fmt: skip


def _look(doubtful: bool, otherwise: str) -> tuple[str, Tone]:  # noqa: FBT001 - private
    return ("look", "warn") if doubtful else (otherwise, "ok")
