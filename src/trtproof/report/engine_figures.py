"""The figures of metrics/variants/ that come from an engine's sidecar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

INSPECTION: Final = "inspection"
"""Where the sidecar's details keep what an engine's inspector showed."""

BYTES_PER_MIB: Final = 1024 * 1024
PER_CENT: Final = 100
COUNTS: Final = ("layers", "kernels", "reformats", "quantizers", "casts")
SHARES: Final = ("half_share", "int8_share", "hidden_share")


def engine_figures(details: Mapping[str, Any]) -> dict[str, float]:
    """Return what an inspected engine has of the figures; none of an engine without inspector.

    Shares are in per cent of the multiplying layers. `workspace_limit_mib` is what the builder
    says that it was given, `device_memory_mib` what an execution context takes.
    """
    inspection = details.get(INSPECTION, {})
    figures: dict[str, float] = {
        f"{name}_count": inspection[name] for name in COUNTS if name in inspection
    }
    for name in SHARES:
        if name in inspection:
            figures[f"{name}_pct"] = PER_CENT * float(inspection[name])
    limit_mib = details.get("effective", {}).get("workspace_mib")
    if limit_mib is not None:
        figures["workspace_limit_mib"] = float(limit_mib)
    memory_bytes = details.get("device_memory_bytes")
    if memory_bytes is not None:
        figures["device_memory_mib"] = float(memory_bytes) / BYTES_PER_MIB
    return figures
