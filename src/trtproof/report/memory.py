"""How much memory the processes took that ran the variants."""

from __future__ import annotations

from trtproof import artifacts
from trtproof.measure.schedule import AGAIN
from trtproof.report.sources import Sources


def load_host_peaks(sources: Sources) -> dict[str, int]:
    """Return contender -> the largest peak of resident memory of its worker processes, in bytes.

    It is the operating system's figure for the whole process: Python, the backend's libraries, the
    plan and the buffers. The reference's second run does not count for the reference.

    Raises:
        InputError: run.json is broken.
    """
    record = sources.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark") or {}
    peaks: dict[str, int] = {}
    for block in record.get("blocks", ()):
        name, peak = block.get("contender", ""), block.get("peak_rss_bytes")
        if peak is not None and not name.endswith(AGAIN):
            peaks[name] = max(peaks.get(name, 0), int(peak))
    return peaks
