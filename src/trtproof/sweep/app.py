"""The command line of a sweep, read by Hydra: which jobs there are, and what holds for all of them.

Hydra expands the grid and composes every cell before the first job runs, so that a misspelt setting
costs no time. What it calls a job is only noted here; running them is `trtproof.sweep.command`'s.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trtproof.compose import CONF, project_plugins
from trtproof.errors import ConfigError, MissingFileError
from trtproof.sweep.record import FOLDER

CONFIG_NAME: Final = "trtproof_sweep"
OWN_KEYS: Final = ("objective", "constraints", "sweep")
"""Top-level keys of the command line that are about the sweep, and never reach a job."""

QUOTED_ITEM: Final = re.compile(r"""\s*("[^"]*"|'[^']*'|[^,"']*)\s*(?:,|$)""")
HELP: Final = """\
python -m trtproof.sweep [-m] [OVERRIDE ...]

Every job is a DVC experiment of the settings in conf/ with its overrides; -m runs one job for every
combination of comma-separated choices.

  model=digits_resnet,resnet50     a choice per job
  'variant=[a,b],[a,c]'            a list per job
  objective=throughput_ips         what to choose by
  'constraints=["p99_ms<=4"]'      what a choice has to keep
  sweep.name=NAME                  of its folder and its experiments
  sweep.resume=NAME                run what is missing of that sweep

Exits with 0, with 1 where a job failed, with 130 when it was interrupted.
"""


@dataclass(frozen=True)
class Request:
    """What the command line asks for; `cells` are the overrides of each job, each cell once."""

    cells: tuple[tuple[str, ...], ...]
    objective: str | None = None
    constraints: tuple[str, ...] = ()
    name: str | None = None
    resume: str | None = None


def read_request(arguments: Sequence[str], project: Path | None = None) -> Request | None:
    """Return what these arguments ask for; None where Hydra only had to show something.

    Raises:
        MissingFileError: there is no conf/config.yaml.
        ConfigError: the sweep's own settings are wrong.
        SystemExit: Hydra cannot read or compose them, and has said why.
    """
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig

    _refuse_plugins(arguments)
    root = (project or Path.cwd()).resolve()
    if not (root / CONF / "config.yaml").is_file():
        raise MissingFileError(CONF / "config.yaml", repair="run this in the project's own folder")
    ConfigStore.instance().store(CONFIG_NAME, _schema(root))
    noted: list[Request] = []

    def note_job(config: Any) -> None:
        noted.append(_read_job(config, list(HydraConfig.get().overrides.task)))

    before, sys.argv = sys.argv, ["trtproof.sweep", *map(quote_constraints, arguments)]
    try:
        with project_plugins(root):
            application = hydra.main(
                version_base=None, config_path=str(root / CONF), config_name=CONFIG_NAME
            )
            application(note_job)()
    finally:
        sys.argv = before
    return _join(noted) if noted else None


def _schema(root: Path) -> dict[str, Any]:
    """Return the root config: the project's own, and the keys that are the sweep's."""
    return {
        "defaults": [
            "config",
            {"override hydra/job_logging": "disabled"},
            {"override hydra/hydra_logging": "disabled"},
            "_self_",
        ],
        "objective": None,
        "constraints": [],
        "sweep": {"name": None, "resume": None},
        "hydra": {
            "output_subdir": None,
            "run": {"dir": "."},
            "sweep": {"dir": str(root / FOLDER / ".hydra"), "subdir": "."},
            "help": {"template": HELP},
        },
    }


def quote_constraints(argument: str) -> str:
    """Return the argument with its constraints quoted: a shell takes off the quotes around "<".

    Hydra's grammar has no "<" outside of quotes.
    """
    key, _, value = argument.partition("=")
    if key not in {"constraints", "+constraints", "++constraints"}:
        return argument
    is_list = value.startswith("[") and value.endswith("]")
    items = QUOTED_ITEM.findall(value[1:-1] if is_list else value)
    quoted = [item if item[0] in "\"'" else f'"{item}"' for item in map(str.strip, items) if item]
    return f"{key}=[{','.join(quoted)}]"


def _refuse_plugins(arguments: Sequence[str]) -> None:
    """Refuse another sweeper or launcher than Hydra's own.

    Raises:
        ConfigError: one was chosen.
    """
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key in {"hydra/sweeper", "hydra/launcher"} and value != "basic":
            raise ConfigError(
                key=key,
                problem=f"{value} chooses or starts jobs in its own way",
                repair="leave it out: a sweep runs every cell of the grid itself",
            )


def _read_job(config: Any, words: Sequence[str]) -> Request:
    """Return one job of Hydra's as a request of one cell."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(words))
    cell = tuple(
        word
        for word, override in zip(words, parsed, strict=True)
        if override.key_or_group.partition(".")[0] not in OWN_KEYS
    )
    return Request(
        cells=(cell,),
        objective=_text(config.objective),
        constraints=tuple(str(item) for item in config.constraints),
        name=_text(config.sweep.name),
        resume=_text(config.sweep.resume),
    )


def _text(value: Any) -> str | None:
    """Return a value as text: Hydra reads a name like 7 as a number."""
    return None if value is None else str(value)


def _join(jobs: Sequence[Request]) -> Request:
    """Return one request of all cells.

    Raises:
        ConfigError: what holds for the sweep differs between its jobs, or names two sweeps.
    """
    first = jobs[0]
    for job in jobs:
        if (job.objective, job.constraints, job.name, job.resume) != (
            first.objective,
            first.constraints,
            first.name,
            first.resume,
        ):
            raise ConfigError(
                key="objective, constraints, sweep",
                problem="several values, but they hold for the whole sweep",
                repair="give one value each",
            )
    cells = tuple(dict.fromkeys(cell for job in jobs for cell in job.cells))
    if first.resume is not None and (first.name is not None or cells != ((),)):
        raise ConfigError(
            key="sweep.resume",
            problem=f"given with {'sweep.name' if first.name else ' '.join(cells[0])}",
            repair="give it alone: the jobs are those of the sweep that it names",
        )
    return Request(cells, first.objective, first.constraints, first.name, first.resume)
