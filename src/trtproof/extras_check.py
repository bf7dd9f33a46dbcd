"""Whether the optional packages that the settings need are installed. The gate stage asks."""

from __future__ import annotations

from trtproof.config import Params
from trtproof.data import FORMATS
from trtproof.errors import AdapterError, ImportPathError, MissingExtraError
from trtproof.extras import require_extra
from trtproof.registry import extend_path
from trtproof.scoring import load_scorer


def check_extras(params: Params) -> None:
    """Refuse a dataset format and scorers whose optional package is not installed here.

    A scorer of the user's own is imported for it. Whatever else is wrong with one, the stages that
    use it say.

    Raises:
        MissingExtraError: names the command that installs it.
    """
    name = params.dataset.format
    require_extra(FORMATS.load(name), needed_by=f"dataset format {name}")
    extend_path(params.pythonpath)
    for scorer in params.evaluate.scorers:
        try:
            load_scorer(scorer)
        except MissingExtraError:
            raise
        except (AdapterError, ImportPathError):
            continue
