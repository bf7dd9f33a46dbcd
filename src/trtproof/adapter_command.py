"""`trtproof try`: the user's own functions, each once on two samples, before any stage runs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from trtproof import inputs, stage
from trtproof.registry import extend_path

if TYPE_CHECKING:
    from trtproof.config import Params

DESCRIPTION: Final = (
    "Call each function that conf/ names (model, inputs, samples, scorers) once on two samples, "
    "show what they are, and stop at the first fault with the repair. Runs no stage, writes "
    "nothing."
)


def add_try(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "try", help="check your model, samples and scorers on two samples", description=DESCRIPTION
    )
    parser.add_argument(
        "--export", action="store_true", help="also export the model and compare it with its graph"
    )
    parser.set_defaults(command=run)


def run(parsed: argparse.Namespace) -> int:
    """Print what the adapter is, line by line; a fault is the caller's to print.

    Raises:
        PipelineError: the first fault.
    """
    from trtproof.adapter_check import try_adapter
    from trtproof.compose import compose
    from trtproof.config import parse_params

    params = parse_params(compose())
    _guard(params)
    for line in try_adapter(params, with_export=parsed.export):
        sys.stdout.write(f"{line.part:<12}{line.found}  ({line.owner})\n")
        sys.stdout.flush()
    sys.stdout.write("The adapter keeps its contract; next: trtproof compose && dvc repro\n")
    return 0


def _guard(params: Params) -> None:
    """Stop, as the stages do, where the user's code opens a file that no key contains."""
    scorers = [name for name in params.evaluate.scorers if ":" in name]
    extend_path(params.pythonpath)
    keyed = inputs.keyed_files(params.model, params.dataset, params.pythonpath, scorers)
    setting = "model.files or dataset.files"
    stage.guard_opens(keyed, setting=setting, pythonpath=params.pythonpath)
