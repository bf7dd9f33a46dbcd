"""The `trtproof` command.

Exit codes: 0 fine, 1 error, 2 usage, 3 inconclusive, 4 not comparable, 5 regression or budget
missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from trtproof import __version__
from trtproof.adapter_command import add_try
from trtproof.doctor import command as doctor
from trtproof.errors import PipelineError
from trtproof.project_commands import add_project_commands
from trtproof.trtexec import command as import_trtexec


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error that the user can repair is one line."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
    except PipelineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except BrokenPipeError:
        _drop_output()
        return 1
    try:
        if sys.stdout is not None:  # closed by the caller, as by `>&-`
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    return code


def _drop_output() -> None:
    """Write nothing more: `| head` has read enough, and Python flushes once more at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    _add_why(commands)
    add_project_commands(commands)
    add_try(commands)
    _add_host_commands(commands)
    report = commands.add_parser(
        "report",
        help="write a report of what is there, while something is missing",
        description="Write a report of whatever the stages have left so far into a folder of its "
        "own; every part that is missing says why. The complete report is `dvc repro`'s.",
    )
    report.add_argument(
        "--partial", action="store_true", required=True, help="show what is there, say what is not"
    )
    report.add_argument(
        "--out", type=Path, default=None, help="the folder (default: artifacts/report-partial)"
    )
    report.set_defaults(command=_report)
    _add_sensitivity(commands)
    _add_compare(commands)
    _add_pareto(commands)
    return parser


def _add_why(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    why = commands.add_parser(
        "why",
        help="say what `dvc repro` will run, and because of which change",
        description="Run the probe, then say per stage what `dvc repro` will do and why.",
    )
    why.add_argument(
        "--check", action="store_true", help="exit with 1 if anything but the probe would run"
    )
    why.set_defaults(command=_why)


def _add_host_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add what is about the machine and about tools besides ours."""
    checkup = commands.add_parser(
        "doctor", help="say what works on this machine", description=doctor.DESCRIPTION
    )
    doctor.add_arguments(checkup)
    checkup.set_defaults(command=_doctor)
    trtexec = commands.add_parser(
        "import-trtexec",
        help="take over what NVIDIA's trtexec measured",
        description=import_trtexec.DESCRIPTION,
    )
    import_trtexec.add_arguments(trtexec)
    trtexec.set_defaults(command=_import_trtexec)


def _add_sensitivity(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands whose exit code is a verdict."""
    compare = commands.add_parser(
        "compare",
        help="say what became faster or slower since a revision",
        description="Time the plans of a revision and of the workspace in one session and judge "
        "every difference. Exits with 5 for a regression, 4 where they cannot be compared.",
    )
    compare.add_argument(
        "--base", default="HEAD", metavar="REV", help="the revision (default: the last commit)"
    )
    compare.add_argument(
        "--stored",
        action="store_true",
        help="run nothing: compare the recorded sessions, relative to the reference of each",
    )
    compare.add_argument(
        "--strict", action="store_true", help="exit with 3 where a verdict is inconclusive"
    )
    compare.set_defaults(command=_compare)
    check = commands.add_parser(
        "check",
        help="judge the budget of conf/budget for CI",
        description="Judge the declared budget by what the pipeline left. Exits with 5 where it is "
        "missed.",
    )
    check.add_argument(
        "--base", metavar="REV", help="also compare the recorded sessions with this revision's"
    )
    check.add_argument(
        "--strict", action="store_true", help="exit with 3 where a verdict is inconclusive"
    )
    check.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML as well")
    check.set_defaults(command=_check)


def _add_pareto(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    pareto = commands.add_parser(
        "pareto",
        help="name the best configuration of a sweep under its constraints",
        description="Judge every configuration of a sweep by its constraints, draw the Pareto "
        "front, name the winner. Exits with 5 where every configuration misses a constraint, 3 "
        "where none is known to keep them.",
    )
    pareto.add_argument("sweep", nargs="?", metavar="SWEEP", help="default: the one run last")
    pareto.add_argument("--objective", metavar="FIGURE", help="default: the sweep's own")
    pareto.add_argument(
        "--constraint",
        action="append",
        metavar="LIMIT",
        help="as in 'p99_ms<=4'; repeat it (default: the sweep's own)",
    )
    pareto.set_defaults(command=_pareto)


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


def _import_trtexec(parsed: argparse.Namespace) -> int:
    path = import_trtexec.run(parsed)
    print(f"{path}: written; `dvc repro report` shows it")
    return 0


def _doctor(parsed: argparse.Namespace) -> int:
    return doctor.run(parsed, lambda text: print(text, flush=True))


def _compare(parsed: argparse.Namespace) -> int:
    from trtproof.compare.command import run_compare
    from trtproof.compare.result import Mode, Strictness, exit_code
    from trtproof.compare.texts import render_text

    found, folder = run_compare(parsed.base, Mode.STORED if parsed.stored else Mode.PAIRED)
    print(render_text(found))
    print(f"Page, Markdown and JSON: {folder}/")
    return exit_code(found, Strictness.STRICT if parsed.strict else Strictness.LENIENT)


def _check(parsed: argparse.Namespace) -> int:
    from trtproof.compare.check import exit_code, render_cases, run_check
    from trtproof.compare.junit import write_junit
    from trtproof.compare.result import Strictness

    strictness = Strictness.STRICT if parsed.strict else Strictness.LENIENT
    cases = run_check(parsed.base)
    print(render_cases(cases))
    if parsed.junit is not None:
        write_junit(parsed.junit, cases, strictness)
    return exit_code(cases, strictness)


def _pareto(parsed: argparse.Namespace) -> int:
    from trtproof.choice.answer import exit_code
    from trtproof.choice.command import run_pareto
    from trtproof.choice.output import render_text
    from trtproof.sweep.record import folder

    answer = run_pareto(parsed.sweep, parsed.objective, parsed.constraint)
    print(render_text(answer))
    print(f"Pictures, Markdown and JSON: {folder(answer.choice.sweep)}/")
    return exit_code(answer)


def _report(parsed: argparse.Namespace) -> int:
    from trtproof.report.partial import FOLDER, write_partial_report

    print(write_partial_report(parsed.out or FOLDER))
    return 0


def _why(parsed: argparse.Namespace) -> int:
    from trtproof.dvc_state import read_states, run_probe
    from trtproof.why import find_pending, forecast, render, render_pending

    run_probe()
    forecasts = forecast(read_states())
    if not parsed.check:
        print(render(forecasts))
        return 0
    pending = find_pending(forecasts)
    print(render_pending(pending))
    return 1 if pending else 0


if __name__ == "__main__":
    sys.exit(main())
