"""Cases as JUnit XML: what CI systems read, one test case per limit and variant.

A missed limit is a failure. What could not be decided is skipped, or with strictness a failure of
its own type; what cannot be compared is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from trtproof import artifacts
from trtproof.compare.check import Case, Outcome
from trtproof.compare.result import Strictness

SUITE: Final = "trtproof check"
ILLEGAL: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not (XML 1.0, section 2.2)."""

REPLACEMENT: Final = "\ufffd"


def write_junit(path: Path, cases: Sequence[Case], strictness: Strictness) -> None:
    """Write the cases; equal cases give equal bytes."""
    artifacts.write_text(path, render_junit(cases, strictness))


def render_junit(cases: Sequence[Case], strictness: Strictness) -> str:
    """Return the document."""
    elements = [_element(case, strictness) for case in cases]
    counts = {"tests": len(cases)}
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[name] = sum(element.find(tag) is not None for element in elements)
    suite = ET.Element("testsuite", {"name": SUITE} | {k: str(v) for k, v in counts.items()})
    suite.extend(elements)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _element(case: Case, strictness: Strictness) -> ET.Element:
    element = ET.Element("testcase", {"classname": _legal(case.variant), "name": _legal(case.name)})
    tag = _tag(case.outcome, strictness)
    if tag:
        message = {"message": _legal(f"{case.outcome}: {case.why}")}
        kind = {} if tag == "skipped" else {"type": str(case.outcome)}
        ET.SubElement(element, tag, message | kind)
    else:
        ET.SubElement(element, "system-out").text = _legal(case.why)
    return element


def _tag(outcome: Outcome, strictness: Strictness) -> str:
    """Return the element that tells a CI system of an outcome, an empty text for a pass."""
    if outcome is Outcome.MET:
        return ""
    if outcome is Outcome.MISSED:
        return "failure"
    if outcome is Outcome.NOT_COMPARABLE:
        return "error"
    return "failure" if strictness is Strictness.STRICT else "skipped"


def _legal(text: str) -> str:
    return ILLEGAL.sub(REPLACEMENT, text)
