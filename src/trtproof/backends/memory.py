"""What a process holds of a device's memory, moment by moment.

Workers import this module: the standard library only, until a GPU is asked.
"""

from __future__ import annotations

from typing import Final

CUDA: Final = "cuda"


class MemoryLog:
    """Memory in use on the device, by the moment's name; nothing until `begin`."""

    def __init__(self) -> None:
        self._device: str | None = None
        self.used_bytes: dict[str, int] = {}

    def begin(self, device: str) -> None:
        """Make the device's context, alone, and note the moment as "context".

        Raises:
            HardwareError: the GPU cannot be used.
        """
        self._device = device
        self.mark("context")

    def mark(self, moment: str) -> None:
        """Note the memory in use now, by all processes; nothing on a CPU."""
        if self._device != CUDA:
            return
        from trtproof.backends.cuda.device import open_device

        with open_device() as device:
            device.synchronize()
            self.used_bytes[moment] = device.memory().used_bytes
