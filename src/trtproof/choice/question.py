"""What is looked for: `objective=throughput_ips constraints=["p99_ms<=4","top1_drop_pp<=1"]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from trtproof.choice.figures import Figure, Kind, Vocabulary
from trtproof.errors import ConfigError
from trtproof.measure.verdict import Better
from trtproof.report.cells import format_number

SIGNS: Final = {Better.LOWER: "<=", Better.HIGHER: ">="}
DIRECTIONS: Final = {Better.LOWER: "least", Better.HIGHER: "most"}
PARTS: Final = re.compile(r"\s*(?P<name>[^\s<>=!]*)\s*(?P<sign>[<>=!]*)\s*(?P<limit>.*?)\s*")
EXAMPLE: Final = 'write it as in constraints=["p99_ms<=4","top1_drop_pp<=1"]'


@dataclass(frozen=True)
class Constraint:
    """One limit; on its better side it is met."""

    figure: Figure
    limit: float

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return f"{self.figure.name}{SIGNS[self.figure.better]}{self.limit:g}"


@dataclass(frozen=True)
class Question:
    """The figure that is to be best, among what keeps all constraints."""

    objective: Figure
    constraints: Sequence[Constraint] = ()

    @property
    def figures(self) -> list[Figure]:
        """Return every figure that is weighed, the objective first, each once."""
        return list(dict.fromkeys([self.objective, *(item.figure for item in self.constraints)]))

    def __str__(self) -> str:
        """Return it as people read it."""
        what = f"{DIRECTIONS[self.objective.better]} {self.objective.name}"
        kept = " and ".join(map(str, self.constraints))
        return f"{what} with {kept}" if kept else what


def parse_question(objective: str, constraints: Sequence[str], vocabulary: Vocabulary) -> Question:
    """Return what the two settings mean.

    Raises:
        ConfigError: a word of them is wrong; names it and the repair.
    """
    figure = vocabulary.find(objective, key="objective")
    parsed = [parse_constraint(text, vocabulary) for text in constraints]
    for position, item in enumerate(parsed):
        if item.figure in [other.figure for other in parsed[:position]]:
            raise _wrong(
                f"{constraints[position]!r}: {item.figure.name} has a limit already",
                "keep one of the two",
            )
    return Question(figure, tuple(parsed))


def parse_constraint(text: str, vocabulary: Vocabulary) -> Constraint:
    """Return one constraint.

    Raises:
        ConfigError: a word of it is wrong.
    """
    found = PARTS.fullmatch(text)
    if found is None or not found["name"]:
        raise _wrong(f"{text!r} names no figure", EXAMPLE)
    figure = vocabulary.find(found["name"], key="constraints")
    _check_sign(text, found["sign"], figure)
    return Constraint(figure, _parse_limit(text, found["limit"], figure))


def _check_sign(text: str, sign: str, figure: Figure) -> None:
    right = SIGNS[figure.better]
    if sign == right:
        return
    if not sign:
        raise _wrong(f"{text!r} has no limit", f"write {figure.name}{right}NUMBER")
    if sign in SIGNS.values():
        raise _wrong(
            f"{text!r}: the better {figure.name} is the {figure.better}, so {sign!r} sets no limit",
            f"write {figure.name}{right}NUMBER",
        )
    raise _wrong(f"{text!r}: {sign!r} is no comparison here", f"write {figure.name}{right}NUMBER")


def _parse_limit(text: str, word: str, figure: Figure) -> float:
    try:
        limit = float(word)
    except ValueError:
        raise _wrong(
            f"{text!r}: {word!r} is not a number",
            f"write the number alone; it is in {figure.unit}, as the figure's name says",
        ) from None
    least = 0.0 if figure.kind in {Kind.DROP, Kind.SCORE} else None
    if not isfinite(limit) or limit < 0 or (least is None and limit == 0):
        above = "at least 0" if least is not None else "above 0"
        raise _wrong(f"{text!r}: {word!r} is no limit of {figure.name}", f"give a number {above}")
    return limit


def _wrong(problem: str, repair: str) -> ConfigError:
    return ConfigError(key="constraints", problem=problem, repair=repair)


def say_value(value: float, figure: Figure) -> str:
    """Return a figure's value with its unit."""
    return format_number(float(value), figure.unit)
