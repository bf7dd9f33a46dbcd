"""`python -m trtproof.sweep`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trtproof.choice.sweeping import run_question
from trtproof.errors import PipelineError
from trtproof.sweep.app import read_request


def main(arguments: Sequence[str]) -> int:
    """Run a sweep and return its exit code; an error that the user can repair is one line."""
    try:
        request = read_request(arguments)
        return 0 if request is None else run_question(request)
    except PipelineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
