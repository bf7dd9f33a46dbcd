"""Energy and memory of a variant on the GPU, as the metrics files have them."""

from __future__ import annotations

from typing import Final

from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, VariantFindings

BYTES_PER_MIB: Final = 1024 * 1024
MEMORY_KEY: Final = "gpu_memory_mib"

Figures = dict[str, dict[str, float]]


def energy_key(batch: int) -> str:
    """Return where the energy of a batch size stands."""
    return f"energy_b{batch}"


def gpu_figures(findings: Findings, variant: VariantFindings) -> Figures:
    """Return groups of figures, unrounded; nothing of what was not measured, or of another plan.

    An inference is one request of the batch size.
    """
    figures: Figures = {}
    gpu, name = findings.gpu, variant.name
    if not variant.is_timed:
        return figures
    for found in () if isinstance(gpu.energy, NotMeasured) else gpu.energy.get(name, ()):
        figures[energy_key(found.batch)] = {
            "gpu_mj_per_inference": found.mj,
            "gpu_mj_per_inference_min": min(found.windows_mj),
            "gpu_mj_per_inference_max": max(found.windows_mj),
            "gpu_mj_per_sample": found.mj / found.batch,
            "gpu_w": found.power_w,
            "idle_w": found.idle_w,
        }
    ledger = None if isinstance(gpu.memory, NotMeasured) else gpu.memory.get(name)
    if ledger is not None and not isinstance(ledger, NotMeasured):
        sizes = {part["part"]: part["size_bytes"] for part in ledger.parts}
        sizes |= {"unexplained": ledger.unexplained_bytes, "total": ledger.total_bytes}
        sizes |= {"peak": ledger.peak_bytes}
        figures[MEMORY_KEY] = {name: size / BYTES_PER_MIB for name, size in sizes.items()}
    return figures
