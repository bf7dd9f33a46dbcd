"""Which TensorRT on which machine the fake plays, and what is broken on it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field

VARIABLE = "TRTPROOF_FAKE_TENSORRT"


@dataclass(frozen=True)
class Host:
    """One machine; `faults` names what is broken, and what the fault needs to know.

    builder.py knows: builder_nullptr, out_of_memory, no_implementation, starved (its warning),
    cuda_error, crash, slow (seconds), unhelpful (None and nothing in the log), unsupported
    (operators), flag_ignored (its name), compatibility_ignored.
    """

    version: str = "11.4.0.106"
    gpu: str = "NVIDIA Fake 9000"
    compute_capability: str = "9.0"
    cuda: str = "13.0"
    faults: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the variable that carries this host into other processes."""
        return {VARIABLE: json.dumps(asdict(self))}

    def facts(self) -> dict[str, object]:
        """Return what the probe would record for this host: hardware.json's engine.tensorrt."""
        return {
            "bindings": self.version,
            "libraries": self.version,
            "device": "cuda",
            "gpu": self.gpu,
            "compute_capability": self.compute_capability,
            "memory_gib": 80,
            "cuda": self.cuda,
        }


def host_of_environment() -> Host:
    """Return the host that `environment` put there; the default without one."""
    return Host(**json.loads(os.environ.get(VARIABLE, "{}")))
