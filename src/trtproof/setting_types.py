"""What all settings are made of: types of single values, and sections that refuse unknown keys."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]
"""A recipe, variant or axis name: it becomes a folder, a DVC stage suffix and a metrics key, so
it has no dot and no slash."""

Positive = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Refuse unknown keys everywhere: a misspelt setting must not be a silent default."""
