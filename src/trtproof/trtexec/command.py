"""`trtproof import-trtexec`: its arguments, and what becomes of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from trtproof.errors import InputError, MissingFileError
from trtproof.trtexec.switches import (
    UNKNOWN,
    Invocation,
    parse_options,
    parse_version,
    parse_warm_up,
    read_banner,
    split_options,
)

DESCRIPTION = (
    "Write imports/NAME.json from files that trtexec exported. The report shows it as imported; it "
    "is never compared with what trtproof measures itself. Say how trtexec ran: by its log, or by "
    "--trtexec and --options."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", help="what the report calls it, as in resnet50-fp16")
    parser.add_argument("--times", type=Path, help="what --exportTimes wrote")
    parser.add_argument("--layers", type=Path, help="what --exportLayerInfo wrote")
    parser.add_argument("--profile", type=Path, help="what --exportProfile wrote")
    parser.add_argument("--log", type=Path, help="trtexec's output: its first line says how it ran")
    parser.add_argument("--trtexec", metavar="VERSION", help="trtexec's version, as in 10.16")
    parser.add_argument(
        "--options", default="", help="trtexec's options, as in useCudaGraph,noDataTransfers"
    )
    parser.add_argument(
        "--precision", default=UNKNOWN, help="what the engine was to compute in, as in fp16"
    )


def run(parsed: argparse.Namespace) -> Path:
    """Import and return the written file.

    Raises:
        InputError: see `trtproof.trtexec.record`; or it is not said how trtexec ran.
    """
    from trtproof.trtexec.record import Exported, write_import

    exported = Exported(parsed.times, parsed.layers, parsed.profile, parsed.precision)
    return write_import(parsed.name, exported, _invocation(parsed))


def _invocation(parsed: argparse.Namespace) -> Invocation:
    if parsed.log is not None:
        return _logged(parsed)
    if parsed.trtexec is None:
        raise InputError(
            f"it is not said which trtexec measured {parsed.name}, and their defaults differ; pass "
            "--log, or --trtexec with its version and --options with its switches"
        )
    return Invocation(
        parse_version(parsed.trtexec),
        parse_options(parsed.options),
        parse_warm_up(split_options(parsed.options)),
    )


def _logged(parsed: argparse.Namespace) -> Invocation:
    if parsed.trtexec is not None or parsed.options:
        raise InputError(
            f"{parsed.log} already says how trtexec ran; leave out --trtexec and --options"
        )
    try:
        text = parsed.log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise MissingFileError(parsed.log, repair="pass trtexec's output as --log") from None
    invocation = read_banner(text)
    if invocation is None:
        raise InputError(
            f"{parsed.log} has no line '&&&& RUNNING TensorRT.trtexec ...'; pass trtexec's whole "
            "output, or --trtexec and --options"
        )
    return invocation
