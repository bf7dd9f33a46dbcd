"""What has to be equal before two recorded sessions may be compared, and what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trtproof import artifacts
from trtproof.compare.result import Difference
from trtproof.compare.revision import Revision
from trtproof.errors import MissingFileError
from trtproof.report.sources import flatten

OF_RUN: Final = (
    "protocol",
    "profile",
    "reference",
    "clock",
    "machine",
    "affinity.asked",
    "figures",
)
"""Of run.json: how and on what it was measured."""

OF_SCHEDULE: Final = ("batches", "items_count", "restart_every_rounds", "wanted")
OF_REFERENCE: Final = ("plan_sha256", "engine")
"""Of the reference: it is the yardstick, so it must be the same plan, run the same way."""

ABSENT: Final = "not recorded"


def compare_fingerprints(
    base: Revision,
    before: Mapping[str, Any],
    work: Revision,
    after: Mapping[str, Any],
) -> Sequence[Difference]:
    """Return every fact that differs between two sessions; none where they may be compared.

    Args:
        base: the revision that is compared with.
        before: its run.json.
        work: the workspace.
        after: its run.json.
    """
    old = describe_session(before) | _describe_inputs(base)
    new = describe_session(after) | _describe_inputs(work)
    return [
        Difference(name, str(old.get(name, ABSENT)), str(new.get(name, ABSENT)))
        for name in [*new, *(name for name in old if name not in new)]
        if old.get(name) != new.get(name)
    ]


def describe_session(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a session was measured by and on, by dotted name."""
    found: dict[str, Any] = {}
    for path in OF_RUN:
        value: Any = record
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        found |= _flat(path, value)
    for key in OF_SCHEDULE:
        found |= _flat(f"schedule.{key}", record.get("schedule", {}).get(key))
    reference = record.get("variants", {}).get(record.get("reference"), {})
    for key in OF_REFERENCE:
        found |= _flat(f"reference plan {key}", reference.get(key))
    return found


def _describe_inputs(revision: Revision) -> dict[str, Any]:
    """Return the key of the samples that requests rotate over."""
    try:
        inputs = artifacts.read_json(revision.root / artifacts.INPUTS, made_by="probe")
    except MissingFileError:
        return {}
    return _flat("evaluation samples", inputs.get("evaluation"))


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {f"{name}.{key}": item for key, item in flatten(value).items()}
    return {name: value}
