"""The `trtproof` command.

Exit codes: 0 fine, 1 error, 2 usage, 3 inconclusive, 4 not comparable, 5 regression or budget
missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from trtproof import __version__
from trtproof.errors import PipelineError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error that the user can repair is one line."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
    except PipelineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trtproof",
        description="Turn a PyTorch model into measured, evaluated inference engines.",
    )
    parser.add_argument("--version", action="version", version=f"trtproof {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compose = commands.add_parser(
        "compose",
        help="write params.yaml from conf/",
        description="Compose conf/, check that the settings fit together, write params.yaml.",
    )
    compose.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if params.yaml is stale"
    )
    compose.set_defaults(command=_compose)
    why = commands.add_parser(
        "why",
        help="say what `dvc repro` will run, and because of which change",
        description="Run the probe, then say per stage what `dvc repro` will do and why.",
    )
    why.set_defaults(command=_why)
    _add_sensitivity(commands)
    return parser


def _add_sensitivity(commands: Any) -> None:
    sensitivity = commands.add_parser(
        "sensitivity",
        help="rank a recipe's layers by what quantising them costs",
        description="Show artifacts/sensitivity/RECIPE; with a budget, run and print the shortest "
        "list of layers to exclude.",
    )
    sensitivity.add_argument("recipe", metavar="RECIPE")
    sensitivity.add_argument("--all", action="store_true", help="list every layer")
    sensitivity.add_argument(
        "--budget-db", type=float, metavar="DB", help="signal-to-noise ratio that outputs must have"
    )
    sensitivity.add_argument(
        "--sweep", action="store_true", help="print an axis for `dvc exp run --queue -S`"
    )
    sensitivity.set_defaults(command=_sensitivity)


def _sensitivity(parsed: argparse.Namespace) -> int:
    from trtproof import sensitivity_advice as advice
    from trtproof.sensitivity import read_layers

    recipe: str = parsed.recipe
    record = advice.read_ranking(recipe)
    layers, options = read_layers(record), advice.load_recipe(recipe).options
    if parsed.sweep:
        print(advice.render_sweep(recipe, layers, options))
        return 0
    most = len(layers) if parsed.all else advice.SHOWN
    print(advice.render_ranking(record, most=most))
    if parsed.budget_db is not None:
        found = advice.advise(recipe, layers, budget_db=parsed.budget_db)
        print("", advice.render_advice(record, options, found), sep="\n", end="")
    return 0


def _compose(parsed: argparse.Namespace) -> int:
    from trtproof.compose import compose, require_composed, write_params
    from trtproof.config import PARAMS_FILE, parse_params
    from trtproof.settings_check import check_settings

    text = compose()
    if parsed.check:
        require_composed()
    check_settings(parse_params(text))
    changed = not parsed.check and write_params(text)
    print(f"{PARAMS_FILE}: {'written' if changed else 'unchanged'}")
    return 0


def _why(_: argparse.Namespace) -> int:
    from trtproof.dvc_state import read_states, run_probe
    from trtproof.why import forecast, render

    run_probe()
    print(render(forecast(read_states())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
