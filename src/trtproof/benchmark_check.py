"""Whether the settings of the benchmark fit together."""

from __future__ import annotations

from trtproof.config import Params
from trtproof.model_check import wrong


def check_rounds(params: Params) -> None:
    """Refuse rounds that cannot be mirrored in pairs within one start of the workers."""
    config = params.benchmark
    for key, value in (
        ("rounds", config.rounds),
        ("most_rounds", config.most_rounds),
        ("restart_every_rounds", config.restart_every_rounds),
        ("device.rounds", config.device.rounds if config.device else 0),
    ):
        if value % 2:
            raise wrong(
                key=f"benchmark.{key}",
                problem=f"{value}, but every second round mirrors the one before",
                repair="take an even number",
            )
    if config.most_rounds < config.rounds:
        raise wrong(
            key="benchmark.most_rounds",
            problem=f"{config.most_rounds} is fewer than rounds, {config.rounds}",
            repair="set it to rounds or more",
        )
    if config.most_rounds > config.rounds and not config.restart_every_rounds:
        raise wrong(
            key="benchmark.most_rounds",
            problem="rounds are added in new workers, but restart_every_rounds is 0",
            repair="set restart_every_rounds, as in 4, or most_rounds to rounds",
        )


def check_figures(params: Params) -> None:
    """Refuse to wait for a narrower interval where no round can be added."""
    figure = params.benchmark.figures.get("device_p50")
    if figure and figure.wanted_halfwidth is not None:
        raise wrong(
            key="benchmark.figures.device_p50.wanted_halfwidth",
            problem=f"{figure.wanted_halfwidth:g}, but only latency adds rounds",
            repair="set it to null, and benchmark.device.rounds as high as needed",
        )
