"""How a run of trtexec was called: which version, and which options that change what is timed.

The defaults of the three switches turned in TensorRT 11 (trtproof.measure.trtexec_switches), where
--noDataTransfers does nothing (TensorRT, samples/common/sampleOptions.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Final

from trtproof.errors import InputError
from trtproof.measure.trtexec_switches import WARM_UP_MS, Protocol, Switches

UNKNOWN: Final = "unknown"
"""The precision of an engine of which nobody says what it was to compute in."""

TURNED_IN: Final = 11
EXPORTS_WARM_UP: Final = 8
"""Up to this major version, exported times can hold the requests of the warm-up as well."""

OLDEST: Final = 8
TURNING: Final = (
    "noDataTransfers",
    "useCudaGraph",
    "useSpinWait",
    "includeDataTransfers",
    "noCudaGraph",
    "noSpinWait",
)
"""The options that change what is timed."""

BANNER: Final = re.compile(
    r"^&&&& RUNNING TensorRT\.trtexec(?:\.exe)? \[TensorRT v(\d+)\](?: \[b\d+\])? # (.*)$",
    re.MULTILINE,
)
MAJOR_DIGITS: Final = 4
"""Digits of the version in the banner after its major: v101601 is 10.16.1, v8601 is 8.6.1."""


@dataclass(frozen=True)
class Invocation:
    """One run of trtexec: its major version and the names of its options.

    `warm_up_ms` is the one option whose value matters here.
    """

    major: int
    options: Sequence[str]
    warm_up_ms: float = WARM_UP_MS

    @property
    def exports_warm_up(self) -> bool:
        """Say whether files of this version can hold requests that trtexec itself leaves out."""
        return self.major <= EXPORTS_WARM_UP

    @property
    def protocol(self) -> Protocol:
        """Return the name of what this measures; figures of two names are never compared."""
        return "trtexec11" if self.major >= TURNED_IN else "trtexec10"

    @property
    def switches(self) -> Switches:
        """Return the switches in effect: this version's defaults and what the options turn."""
        given = set(self.options)
        if self.major >= TURNED_IN:
            return Switches(
                data_transfers="includeDataTransfers" in given,
                cuda_graph="noCudaGraph" not in given,
                spin_wait="noSpinWait" not in given,
            )
        return Switches(
            data_transfers="noDataTransfers" not in given,
            cuda_graph="useCudaGraph" in given,
            spin_wait="useSpinWait" in given,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "trtexec_major": self.major,
            "options": sorted(set(self.options)),
            "switches": asdict(self.switches),
            "warm_up_ms": self.warm_up_ms,
        }


def parse_version(text: str) -> int:
    """Return the major of "10", "11.4" or "10.16.1".

    Raises:
        InputError: it is none, or older than trtexec's files.
    """
    found = re.fullmatch(r"v?(\d+)(?:\.\d+)*", text)
    if not found or int(found[1]) < OLDEST:
        raise InputError(
            f"--trtexec {text!r} is no version of TensorRT from {OLDEST} on; write it as in 10.16"
        )
    return int(found[1])


def parse_options(text: str) -> tuple[str, ...]:
    """Return the names of options as people write them: --useCudaGraph or useCudaGraph,a=b.

    Raises:
        InputError: one is almost an option that changes what is timed.
    """
    names = tuple(word.lstrip("-").partition("=")[0] for word in split_options(text))
    for name in names:
        near = get_close_matches(name, TURNING, n=1, cutoff=0.8)
        if near and name not in TURNING:
            raise InputError(f"--options {name!r} is none of trtexec's; do you mean {near[0]}?")
    return names


def split_options(text: str) -> list[str]:
    """Return options as people write them, one by one with their values."""
    return [word for word in re.split(r"[,\s]+", text.strip()) if word.lstrip("-")]


def parse_warm_up(words: Sequence[str]) -> float:
    """Return the milliseconds of --warmUp=N among options as written, or trtexec's default.

    Raises:
        InputError: its value is no number.
    """
    for word in words:
        name, _, value = word.lstrip("-").partition("=")
        if name == "warmUp":
            if not re.fullmatch(r"\d+(\.\d+)?", value):
                raise InputError(f"{word} has no number of milliseconds; write it as in warmUp=500")
            return float(value)
    return WARM_UP_MS


def read_banner(log: str) -> Invocation | None:
    """Return what trtexec's log says in its first line of which version ran with which arguments.

    None where the text has no such line.
    """
    found = BANNER.search(log)
    if found is None:
        return None
    words = [word for word in found[2].split() if word.startswith("--")]
    names = tuple(word[2:].partition("=")[0] for word in words)
    return Invocation(int(found[1][:-MAJOR_DIGITS] or found[1][0]), names, parse_warm_up(words))
