"""What the next `dvc repro` will do, and why: decided from what changed, before anything runs.

Pure: `trtproof.dvc_state` asks DVC. A stage can be judged for certain only when all that it depends
on is; what hangs on a stage that is yet to run is undecided, for it may produce what it did before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

BYTES_PER_GB: Final = 1e9
SECONDS_PER_MINUTE: Final = 60
ABSENT: Final = "(absent)"
SHOWN_CAUSES: Final = 12
SHOWN_STAGES: Final = 3
SHOWN_CHARACTERS: Final = 60
LEAST_MINUTES: Final = 0.1
LEAST_GB: Final = 0.001


class Verdict(Enum):
    """What becomes of a stage."""

    UP_TO_DATE = "up to date"
    JUST_RAN = "ran just now"
    RESTORED = "restored from the cache"
    UNDECIDED = "undecided"
    WILL_RUN = "will run"


@dataclass(frozen=True)
class Change:
    """One field that differs: `place` is a file and a key, as in "params.yaml evaluate.batch"."""

    place: str
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        """Return one line."""
        if self.old is None and self.new is None:
            return self.place
        return f"{self.place}: {show(self.old)} -> {show(self.new)}"


@dataclass(frozen=True)
class StageState:
    """What DVC says of one stage.

    `inputs` maps each artifact that it reads -> the stages that make it. `own` is what changed in
    its settings, facts and command; `changed_inputs` are artifacts that differ from what it last
    read, as they lie now. `lost_outputs` lie there no more, or were changed; `outputs_cached` says
    that the cache has them as the stage left them. `locked_inputs` are artifacts that it last read
    as their makers' lock entries have them. `restorable` says that the run-cache knows the result
    for what lies there now.
    """

    name: str
    inputs: Mapping[str, Sequence[str]]
    own: Sequence[Change] = ()
    changed_inputs: Sequence[str] = ()
    locked_inputs: Sequence[str] = ()
    lost_outputs: Sequence[str] = ()
    outputs_cached: bool = True
    restorable: bool = False
    always: bool = False
    seconds: float | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class Forecast:
    """One line of the answer."""

    name: str
    verdict: Verdict
    causes: Sequence[Change]
    waits_for: Sequence[str]
    seconds: float | None
    size_bytes: int | None
    as_locked: bool = False
    """Its outputs will be those of dvc.lock."""


def forecast(states: Sequence[StageState]) -> list[Forecast]:
    """Return what becomes of each stage; `states` are in flow order."""
    known: dict[str, Forecast] = {}
    for state in states:
        known[state.name] = _judge(state, known)
    return list(known.values())


def _judge(state: StageState, known: Mapping[str, Forecast]) -> Forecast:
    open_inputs = {
        path: [maker for maker in makers if not _is_settled(known[maker])]
        for path, makers in state.inputs.items()
    }
    pending = {path: makers for path, makers in open_inputs.items() if makers}
    unsettled = {
        path: makers
        for path, makers in pending.items()
        if path not in state.locked_inputs or not all(known[maker].as_locked for maker in makers)
    }
    settled = [path for path in state.changed_inputs if path not in pending]
    causes = [*state.own, *(Change(f"{path} is not what it last read") for path in settled)]
    waits_for = sorted({maker for makers in unsettled.values() for maker in makers})
    verdict = _verdict(state, bool(causes), [known[name].verdict for name in waits_for])
    if verdict in {Verdict.RESTORED, Verdict.WILL_RUN} and not causes:
        causes = [Change(f"{path} is not what the stage left") for path in state.lost_outputs]
    return Forecast(
        name=state.name,
        verdict=verdict,
        causes=causes,
        waits_for=waits_for if verdict is Verdict.UNDECIDED else (),
        seconds=state.seconds,
        size_bytes=state.size_bytes,
        as_locked=verdict is Verdict.RESTORED and not (state.own or settled),
    )


def _is_settled(maker: Forecast) -> bool:
    return maker.verdict in {Verdict.UP_TO_DATE, Verdict.JUST_RAN}


def _verdict(state: StageState, changed: bool, waits_for: Sequence[Verdict]) -> Verdict:  # noqa: FBT001 - one of three facts
    if state.always:
        return Verdict.JUST_RAN
    if waits_for:
        certain = changed and Verdict.WILL_RUN in waits_for
        return Verdict.WILL_RUN if certain else Verdict.UNDECIDED
    if changed:
        return Verdict.RESTORED if state.restorable else Verdict.WILL_RUN
    if state.lost_outputs:
        return Verdict.RESTORED if state.outputs_cached else Verdict.WILL_RUN
    return Verdict.UP_TO_DATE


def differences(place: str, old: Any, new: Any) -> list[Change]:
    """Return every leaf that differs between two values of one key."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            change
            for key in [*new, *(key for key in old if key not in new)]
            for change in differences(f"{place}.{key}", old.get(key), new.get(key))
        ]
    return [] if old == new else [Change(place, old, new)]


def show(value: Any) -> str:
    """Return a value for one line; what is not there is said to be absent."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def render(forecasts: Sequence[Forecast]) -> str:
    """Return the answer as text: one line per stage, its causes below it, and the sums."""
    width = max(len(item.name) for item in forecasts)
    lines = [line for item in forecasts for line in _lines(item, width)]
    running = [item for item in forecasts if item.verdict is Verdict.WILL_RUN]
    undecided = [item for item in forecasts if item.verdict is Verdict.UNDECIDED]
    lines += ["", f"certain: {_sum(running)}"]
    if undecided:
        lines.append(f"at most: {_sum([*running, *undecided])}")
    return "\n".join(lines)


def find_pending(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """Return the stages that `dvc repro` would not leave as they are; the probe always runs."""
    settled = {Verdict.UP_TO_DATE, Verdict.JUST_RAN}
    return [item for item in forecasts if item.verdict not in settled]


def render_pending(pending: Sequence[Forecast]) -> str:
    """Return one line per stage that is not up to date, or that there is none."""
    if not pending:
        return "clean: `dvc repro` would run the probe and nothing else"
    width = max(len(item.name) for item in pending)
    lines = [line for item in pending for line in _lines(item, width)]
    return "\n".join(["not clean: `dvc repro` would do more than probe", *lines])


def _lines(item: Forecast, width: int) -> list[str]:
    text = item.verdict.value
    if item.waits_for:
        text += f" until {_named(item.waits_for)} run"
    if item.verdict in {Verdict.WILL_RUN, Verdict.UNDECIDED}:
        text += f" ({_minutes(item.seconds)}, {_gigabytes(item.size_bytes)})"
    causes = [f"{'':{width}}    {change}" for change in item.causes[:SHOWN_CAUSES]]
    left = len(item.causes) - SHOWN_CAUSES
    more = [f"{'':{width}}    and {left} more"] if left > 0 else []
    return [f"{item.name:{width}}  {text}", *causes, *more]


def _named(stages: Sequence[str]) -> str:
    """Return the stages that something waits for, the first few by name, with their verb."""
    shown = ", ".join(stages[:SHOWN_STAGES])
    left = len(stages) - SHOWN_STAGES
    return f"{shown} has" if len(stages) == 1 else f"{shown}{f' and {left} more' * (left > 0)} have"


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "time unknown"
    minutes = seconds / SECONDS_PER_MINUTE
    return f"about {minutes:.1f} min" if minutes >= LEAST_MINUTES else f"under {LEAST_MINUTES} min"


def _gigabytes(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "size unknown"
    gigabytes = size_bytes / BYTES_PER_GB
    return f"{gigabytes:.3f} GB" if gigabytes >= LEAST_GB else f"under {LEAST_GB} GB"


def _sum(items: Sequence[Forecast]) -> str:
    """Return count, minutes and gigabytes; what was never recorded is said to be left out."""
    if not items:
        return "nothing will run"
    seconds = [item.seconds for item in items if item.seconds is not None]
    sizes = [item.size_bytes for item in items if item.size_bytes is not None]
    unknown = len(items) - min(len(seconds), len(sizes))
    text = f"{len(items)} to run, {_minutes(sum(seconds))}, {_gigabytes(sum(sizes))}"
    return text + (f" and {unknown} of unknown cost" if unknown else "")
