"""In which order contenders run: mirrored, rotated rounds, the reference twice (abba/1).

A round runs every contender once. Every second round is the mirror image of the one before, so that
a linear drift of the machine cancels within each pair; each pair starts with the next contender, so
that no one always runs first. The reference runs twice per round: the ratio of its two runs is the
noise floor of the session. Other variants may run twice as well, for the noise of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

PROTOCOL: Final = "abba/1"
AGAIN: Final = "/again"
"""Suffix of a variant's second contender."""


@dataclass(frozen=True)
class Turn:
    """One block of one contender.

    `session` counts restarts of the workers, `position` is the place in the round.
    """

    session: int
    round: int
    position: int
    batch: int
    contender: str


@dataclass(frozen=True)
class RoundPlace:
    """Where a round stands.

    `round` counts rounds in the order of measuring, `slot` is the place in the schedule, which
    decides the order of contenders: a round that is measured again takes the slot of the first try.
    """

    session: int
    round: int
    slot: int


def name_contenders(
    variants: Sequence[str], reference: str, controls: Iterable[str] = ()
) -> list[str]:
    """Return the contenders in their first round's order: the variants, then those that run again.

    Those are the reference and the `controls`, as far as they are among the variants: what could
    not be built here has no second run.
    """
    twice = dict.fromkeys([reference, *controls])
    return [*variants, *(f"{name}{AGAIN}" for name in twice if name in variants)]


def order_round(contenders: Sequence[T], round_number: int) -> list[T]:
    """Return the order of one round: rotated by one every two rounds, mirrored in the second."""
    first = round_number // 2 % len(contenders)
    rotated = [*contenders[first:], *contenders[:first]]
    return rotated[::-1] if round_number % 2 else rotated


def list_sessions(rounds: int, restart_every: int) -> list[range]:
    """Return the rounds of each session; workers restart between sessions (0: one session)."""
    step = restart_every or rounds
    return [range(start, min(start + step, rounds)) for start in range(0, rounds, step)]


def list_turns(
    contenders: Sequence[str], batches: Sequence[int], place: RoundPlace
) -> Iterator[Turn]:
    """Yield all blocks of one round, batch by batch.

    Batches take turns inside a round, so that each of them sees the whole session.
    """
    for batch in batches:
        for position, contender in enumerate(order_round(contenders, place.slot)):
            yield Turn(
                session=place.session,
                round=place.round,
                position=position,
                batch=batch,
                contender=contender,
            )
