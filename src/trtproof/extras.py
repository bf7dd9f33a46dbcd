"""Optional packages that a scorer or a dataset format needs, asked for before anything runs.

What needs one has an attribute `extra`. Loading it loads nothing of the package: that happens where
it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from trtproof.errors import MissingExtraError


@dataclass(frozen=True)
class Extra:
    """A package and the extra of trtproof that installs it."""

    module: str
    name: str


def require_extra(owner: object, *, needed_by: str) -> None:
    """Refuse an object whose `extra` is not installed here; most have none.

    Raises:
        MissingExtraError: names the command that installs it.
    """
    extra = getattr(owner, "extra", None)
    if isinstance(extra, Extra) and find_spec(extra.module) is None:
        raise MissingExtraError(module=extra.module, extra=extra.name, needed_by=needed_by)
