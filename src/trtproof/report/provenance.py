"""Who measured what, where, when and at which commit, and how to do it again."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import Final

from trtproof.report.cells import NOT_MEASURED
from trtproof.report.figures import NotMeasured, Timing
from trtproof.report.findings import Findings, Run
from trtproof.report.headline import changed_text
from trtproof.report.timed import NOT_RECORDED

SHORT: Final = 12


def identity_rows(findings: Findings) -> Sequence[tuple[str, str]]:
    """Return the questions of the first screen and their answers."""
    settings, run = findings.settings, findings.run
    others = ", ".join(variant.name for variant in findings.variants[1:])
    rows = [
        ("Before", findings.reference.name),
        ("After", others or "no other variant"),
        ("Workload", f"{settings.model} on {settings.dataset}, {samples_text(findings)}"),
        ("Machine", machine_text(findings)),
    ]
    if isinstance(run, NotMeasured):
        return [*rows, ("Measured", f"{NOT_MEASURED}: {run.reason}")]
    return [
        *rows,
        ("Measured", f"{run.when} by {run.user or 'nobody named (git has no user.name)'}"),
        ("How", _protocol_text(findings, run)),
        ("Commit", f"{run.commit[:SHORT]}; {changed_text(run)}"),
        ("Set for speed", variables_text(run)),
    ]


def samples_text(findings: Findings) -> str:
    """Return how many samples were scored, and whether they are real."""
    counts = {
        variant.scores.samples_count
        for variant in findings.variants
        if not isinstance(variant.scores, NotMeasured)
    }
    if not counts:
        return f"scores {NOT_MEASURED}"
    kind = "synthetic" if findings.synthetic else "real"
    return f"{' and '.join(f'{count:,}' for count in sorted(counts))} {kind} evaluation samples"


def machine_text(findings: Findings) -> str:
    """Return the measured machine's name and what else its facts say in few words."""
    hardware = findings.hardware
    facts = [engine for engine in hardware.engine.values() if engine]
    names = dict.fromkeys(str(engine[key]) for engine in facts for key in ("gpu", "cpu")
                          if isinstance(engine.get(key), str))  # fmt: skip
    cores, memory = hardware.bench.get("cores_count"), hardware.bench.get("memory_gib")
    parts = [*names, f"{cores} cores" if cores else "", f"{memory} GiB" if memory else ""]
    known = ", ".join(part for part in parts if part)
    return f"{hardware.slug} ({known})" if known else hardware.slug


def variables_text(run: Run) -> str:
    """Return the environment variables that change speed and were set."""
    if not run.variables:
        return "no environment variable that changes speed"
    return ", ".join(f"{name}={value}" for name, value in sorted(run.variables.items()))


def reproduce_lines(findings: Findings) -> Sequence[str]:
    """Return the commands that measure this again."""
    run, lines = findings.run, []
    if isinstance(run, Run):
        if run.commit != NOT_RECORDED:
            lines.append(f"git checkout {run.commit}")
        if run.changed:
            lines.append(f"# and the changes that were never committed: {changed_text(run)}")
        lines += [f"export {name}={quote(value)}" for name, value in sorted(run.variables.items())]
    return [
        *lines,
        "dvc repro              # builds, measures and evaluates what changed",
        "dvc repro -f benchmark # measures again although nothing changed",
        "dvc metrics show       # the same figures, from metrics/variants/",
    ]


def _protocol_text(findings: Findings, run: Run) -> str:
    counts = sorted(
        {
            len(timing.rounds_ms)
            for variant in findings.variants
            for timing in variant.timings.values()
            if isinstance(timing, Timing)
        }
    )
    rounds = f", {' or '.join(map(str, counts))} rounds" if counts else ""
    return f"profile {run.profile}, protocol {run.protocol}{rounds}, all variants interleaved"
