"""Measure all variants interleaved, the reference twice, in every configured scenario.

Writes artifacts/benchmark/: samples.parquet (every request of every scenario), answers.npz (what
the timed engines answered) and run.json (what the session was).
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from trtproof import artifacts, data, inputs, stage
from trtproof.benchmark_config import BenchmarkConfig
from trtproof.config import VariantConfig, load_section
from trtproof.device_choice import use_device
from trtproof.hardware import load_hardware
from trtproof.measure.answers import ANSWERS_FILE, write_answers
from trtproof.measure.clock import MonotonicClock
from trtproof.measure.contenders import identify_device, line_up, take_items
from trtproof.measure.launch import Launcher, SessionInputs
from trtproof.measure.lock import hold_device
from trtproof.measure.run_record import Measured, make_all_samples, make_run_record
from trtproof.measure.samples import write_samples
from trtproof.measure.scenarios import run_scenarios
from trtproof.measure.session import run_sessions
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
    use_device(hardware)
    device = identify_device(hardware)
    lineup = line_up(
        variants, reference=reference, hardware=hardware, config=config, pythonpath=pythonpath
    )
    allowed = inputs.keyed_files(None, data.load_config(), pythonpath)
    stage.guard_opens(allowed, setting="dataset.files", pythonpath=pythonpath)
    items = take_items(data.open_split("evaluation"), config)
    plan = SessionInputs(lineup.contenders, items.feeds, config, device)

    with (
        artifacts.replace_folder(artifacts.BENCHMARK) as folder,
        tempfile.TemporaryDirectory(prefix="trtproof-") as temporary,
        hold_device(device, note=note),
    ):
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        launcher, clock = Launcher(plan, Path(temporary)), MonotonicClock()
        session = run_sessions(launcher, reference=reference, clock=clock)
        scenarios = run_scenarios(launcher, clock=clock, evaluated=session.evaluated)
        measured = Measured(lineup, session, scenarios, items.indices)
        samples = make_all_samples(measured, config)
        record = make_run_record(
            measured, samples, config=config, reference=reference, hardware=hardware
        )
        write_samples(folder / "samples.parquet", samples)
        write_answers(folder / ANSWERS_FILE, session.outputs, [item.name for item in plan.variants])
        artifacts.write_json(folder / "run.json", record | {"started_at": started_at})


if __name__ == "__main__":
    stage.run(main)
