"""Time all variants in one interleaved session, the reference twice.

Writes artifacts/benchmark/: samples.parquet (every request) and run.json (what the session was).
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from trtproof import artifacts, stage
from trtproof.config import BenchmarkConfig, VariantConfig, load_section
from trtproof.data import open_split
from trtproof.hardware import load_hardware
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.contenders import identify_device, line_up, take_items
from trtproof.measure.lock import hold_device
from trtproof.measure.run_record import make_run_record
from trtproof.measure.samples import make_samples, write_samples
from trtproof.measure.session import SessionInputs, run_sessions
from trtproof.progress import note
from trtproof.registry import extend_path


def main() -> None:
    """Write artifacts/benchmark/."""
    config = load_section(BenchmarkConfig, "benchmark")
    variants = load_section(dict[str, VariantConfig], "variants")
    reference = load_section(str, "reference")
    pythonpath = load_section(list[str], "pythonpath")
    extend_path(pythonpath)

    hardware = load_hardware()
    device = identify_device(hardware)
    lineup = line_up(
        variants,
        reference=reference,
        hardware=hardware,
        batches=config.batches,
        pythonpath=pythonpath,
    )
    items = take_items(open_split("evaluation"), config)
    plan = SessionInputs(lineup.contenders, items, config, device)

    with (
        artifacts.replace_folder(artifacts.BENCHMARK) as folder,
        tempfile.TemporaryDirectory(prefix="trtproof-") as temporary,
        hold_device(device, note=note),
    ):
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        session = run_sessions(plan, clock=MonotonicClock(), folder=Path(temporary))
        samples = make_samples(session.blocks)
        record = make_run_record(
            lineup, session, samples, config=config, reference=reference, hardware=hardware
        )
        write_samples(folder / "samples.parquet", samples)
        artifacts.write_json(folder / "run.json", record | {"started_at": started_at})


if __name__ == "__main__":
    stage.run(main)
