"""imports/NAME.json: one measurement of trtexec's, validated and labelled, for the report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trtproof import artifacts
from trtproof.backends.tensorrt.inspect import Inspection
from trtproof.backends.tensorrt.inspected import Asked, inspect_text
from trtproof.errors import InputError, MissingFileError
from trtproof.trtexec.profile import read_profile
from trtproof.trtexec.switches import UNKNOWN, Invocation
from trtproof.trtexec.times import Times, read_times

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
DIGITS: Final = 6


@dataclass(frozen=True)
class Exported:
    """The files of one run of trtexec; `precision` is what its engine was asked to compute in."""

    times: Path | None
    layers: Path | None
    profile: Path | None
    precision: str = UNKNOWN


def write_import(name: str, exported: Exported, invocation: Invocation) -> Path:
    """Write imports/NAME.json from trtexec's files and return its path.

    Raises:
        InputError: a wrong name, no file, a file that is not what it is passed as, times that
            contradict the switches, or a profile of another engine than the layers'.
        MissingFileError: a file is not there.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name an import; use letters, digits, '-' and '_', as in resnet50-fp16"
        )
    paths = {"times": exported.times, "layers": exported.layers, "profile": exported.profile}
    given = {kind: path for kind, path in paths.items() if path is not None}
    if not given:
        raise InputError(
            f"there is nothing to import as {name}; pass --times, --layers or --profile"
        )
    texts = {kind: _read_text(path, kind) for kind, path in given.items()}
    record = {
        "schema": 1,
        "name": name,
        "protocol": invocation.protocol,
        "run": invocation.to_json(),
        "precision": exported.precision,
        "sources": {
            kind: {"file": path.name, "sha256": artifacts.sha256_file(path)}
            for kind, path in given.items()
        },
    }
    record |= _contents(texts, given, exported.precision, invocation)
    path = artifacts.IMPORTS / f"{name}.json"
    artifacts.write_json(path, record | {"seal": artifacts.sha256_json(record)})
    return path


def _contents(
    texts: Mapping[str, str], paths: Mapping[str, Path], precision: str, invocation: Invocation
) -> dict[str, Any]:
    """Return what the files hold, each under its own key, once they agree with each other."""
    contents: dict[str, Any] = {}
    if "times" in texts:
        contents |= _read_times(texts["times"], paths["times"], invocation)
    layers: Inspection | None = None
    if "layers" in texts:
        inspected = inspect_text(texts["layers"], Asked(precision))
        layers = inspected.inspection
        if not layers.layers:
            raise InputError(
                f"{paths['layers'].name} is not what `trtexec --exportLayerInfo` writes: "
                f"{'; '.join(layers.problems) or 'it lists no layer'}; pass that file as --layers"
            )
        contents["inspection"] = inspected.facts()
        contents["layers"] = [layer.to_json() for layer in layers.layers]
    if "profile" in texts:
        profile = read_profile(
            _parse(texts["profile"], paths["profile"]), file=paths["profile"].name
        )
        if layers is not None:
            _require_same_engine(profile, layers, paths["profile"].name)
        contents["profile"] = profile
    return contents


def _read_times(text: str, path: Path, invocation: Invocation) -> dict[str, Any]:
    """Return the statistics of exported times, and how many requests of the warm-up they had."""
    data = _parse(text, path)
    warm_up_ms = invocation.warm_up_ms if invocation.exports_warm_up else 0.0
    times = read_times(data, file=path.name, warm_up_ms=warm_up_ms)
    _require_transfers(times, invocation)
    contents: dict[str, Any] = {
        "samples_count": times.samples_count,
        "warm_up_count": len(data) - times.samples_count,
        "times_ms": _rounded(times.summary()),
    }
    if times.queries_per_s is not None:
        contents["queries_per_s"] = round(times.queries_per_s, DIGITS)
    return contents


def _require_transfers(times: Times, invocation: Invocation) -> None:
    """Refuse times with copies of a run that is said to have had none, and the other way round."""
    stated = invocation.switches.data_transfers
    if stated == times.has_transfers:
        return
    found = "has copies" if times.has_transfers else "has no copies"
    eleven = invocation.protocol == "trtexec11"
    turn = "includeDataTransfers" if eleven else "noDataTransfers"
    repair = f"state {turn} in" if times.has_transfers == eleven else f"leave {turn} out of"
    raise InputError(
        f"the file of --times {found}, but by {invocation.protocol}'s switches it was taken "
        f"{invocation.switches}; {repair} --options, or pass the run's --log"
    )


def _require_same_engine(profile: Mapping[str, Any], layers: Inspection, file: str) -> None:
    names = {layer.name for layer in layers.layers}
    if not any(layer["name"] in names for layer in profile["layers"]):
        raise InputError(
            f"{file} is of another engine than --layers: they have no layer's name in common; pass "
            "files of one run"
        )


def _read_text(path: Path, kind: str) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise MissingFileError(
            path, repair=f"pass the file that trtexec wrote as --{kind}"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); pass a file") from None


def _parse(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON ({error}); export it again") from None


def _rounded(figures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {key: round(value, DIGITS) for key, value in values.items()}
        for name, values in figures.items()
    }
