"""Refusing to compare times of two protocols: they are different quantities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trtproof.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame


def require_one_protocol(protocols: Iterable[str], *, what: str) -> str:
    """Return the protocol that all times were measured by.

    Args:
        protocols: of each of them, at least one.
        what: that is compared, for the error.

    Raises:
        InputError: there are two.
    """
    first, *others = sorted(set(protocols))
    if others:
        raise InputError(
            f"{what}: times by protocol {first} cannot be compared with times by protocol "
            f"{', '.join(others)}, which are other quantities; measure both by one protocol"
        )
    return first


def protocol_of(samples: DataFrame, *, what: str) -> str:
    """Return the protocol of samples, which are at least one row.

    Raises:
        InputError: they are of two.
    """
    return require_one_protocol((str(name) for name in samples["protocol"].unique()), what=what)
