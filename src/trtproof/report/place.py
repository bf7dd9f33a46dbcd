"""Where the figures were measured, and how that differs from the machine that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trtproof.hardware import Hardware
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, Run
from trtproof.report.sources import flatten
from trtproof.sidecar import EngineRecord

UNKNOWN: Final = "unknown-device"


def find_measured(
    here: Hardware | None, run: Run | NotMeasured, records: Mapping[str, EngineRecord | None]
) -> Hardware:
    """Return the machine that the figures are of, as the session recorded it.

    Without a session it is the machine that the probe found; without a probe, the one that the
    builds recorded.
    """
    measured = isinstance(run, Run) and bool(run.slug)
    if here is not None and not (measured and _differs(here, run)):
        return here
    built = [record for record in records.values() if record is not None]
    engine = {record.backend: record.facts for record in built}
    if isinstance(run, Run) and run.slug:
        return Hardware(slug=run.slug, engine=engine, bench=run.bench)
    slugs = [str(record.made["slug"]) for record in built if "slug" in record.made]
    return Hardware(slug=slugs[0] if slugs else UNKNOWN, engine=engine, bench={})


def elsewhere_text(findings: Findings) -> str:
    """Return how the measured machine differs from the probed one, empty where it does not."""
    here, run = findings.here, findings.run
    if here is None or isinstance(run, NotMeasured) or not run.slug or not _differs(here, run):
        return ""
    if here.slug != run.slug:
        return f"measured on {run.slug}, while the last probe found {here.slug}"
    then, now = flatten(run.bench), flatten(here.bench)
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    changes = [
        f"{name} {then.get(name, 'not recorded')} (now {now.get(name, 'not recorded')})"
        for name in names
    ]
    return f"measured with {', '.join(changes)}"


def _differs(here: Hardware, run: Run | NotMeasured) -> bool:
    if isinstance(run, NotMeasured):
        return False
    return here.slug != run.slug or dict(here.bench) != dict(run.bench)
