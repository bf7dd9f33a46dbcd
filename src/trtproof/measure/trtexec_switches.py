"""What a measurement by trtexec's protocol is: it depends on three switches.

Up to TensorRT 10, transfers are on, CUDA graph and spin wait off by default; from 11 on, transfers
are off, both others on (TensorRT, samples/common/sampleOptions.cpp). Figures of two protocols are
different quantities. Workers import this module: the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Protocol = Literal["trtexec10", "trtexec11"]


@dataclass(frozen=True)
class Switches:
    """How requests were timed."""

    data_transfers: bool
    cuda_graph: bool
    spin_wait: bool

    def __str__(self) -> str:
        words = (
            "transfers included" if self.data_transfers else "without transfers",
            "CUDA graph" if self.cuda_graph else "no CUDA graph",
            "spin wait" if self.spin_wait else "blocking wait",
        )
        return ", ".join(words)


DEFAULTS: Final[Mapping[Protocol, Switches]] = {
    "trtexec10": Switches(data_transfers=True, cuda_graph=False, spin_wait=False),
    "trtexec11": Switches(data_transfers=False, cuda_graph=True, spin_wait=True),
}
"""What each protocol times unless an option turns it."""

WARM_UP_MS: Final = 200.0
"""Requests that start earlier count nowhere (--warmUp)."""
