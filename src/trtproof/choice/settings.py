"""What a job's params.yaml says, as far as ordering, grouping and merging jobs need it.

Kept as plain data: settings that this module does not know must count as a difference too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from trtproof import artifacts
from trtproof.errors import InputError
from trtproof.measure.verdict import INDICATIVE_PROFILES

IDENTITY: Final = ("name", "source", "factory", "weights", "options")
"""What makes a model another one; its axes are a choice of the engine's."""

Point = tuple[int, int]
"""Batch size and number of streams."""


@dataclass(frozen=True)
class JobSettings:
    """All of one job's params.yaml."""

    data: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """Return the variant that every other one is compared with."""
        return str(self.data["reference"])

    @property
    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the variants by name."""
        found: Mapping[str, Mapping[str, Any]] = self.data["variants"]
        return found

    @property
    def is_indicative(self) -> bool:
        """Say whether the benchmark's profile is too short to decide anything."""
        return self.data["benchmark"]["profile"] in INDICATIVE_PROFILES

    @property
    def loads(self) -> list[Point]:
        """Return what a job is about: its throughput grid, else its batch sizes one by one."""
        grid = self.data["benchmark"].get("throughput")
        if grid:
            return sorted((int(b), int(s)) for b in grid["batches"] for s in grid["streams"])
        return self._singles

    @property
    def points(self) -> list[Point]:
        """Return every batch size with every number of streams that is timed, ascending."""
        return sorted({*self.loads, *self._singles})

    @property
    def _singles(self) -> list[Point]:
        return sorted((int(batch), 1) for batch in self.data["benchmark"]["batches"])

    @property
    def size(self) -> tuple[int, int, int]:
        """Return how heavy the heaviest load is: jobs of a smaller one run first."""
        batch, streams = (max(numbers) for numbers in zip(*self.loads, strict=True))
        return batch * streams, batch, streams

    def group(self, slug: str) -> tuple[str, str, str, str]:
        """Return what configurations must share to be weighed against each other.

        That is the model, the data, how they are scored, and the machine.
        """
        model, dataset = self.data["model"], self.data["dataset"]
        identity = {key: model.get(key) for key in IDENTITY}
        scored = {"dataset": dataset, "scorers": list(self.data["evaluate"]["scorers"])}
        digest = artifacts.sha256_json({"model": identity, "scored": scored})
        return str(model["name"]), str(dataset["name"]), slug, digest

    def accuracy_key(self, variant: str) -> str:
        """Return what a variant's scores depend on: its recipe, and who computes it."""
        config = self.variants[variant]
        return artifacts.sha256_json(
            {
                "data": {key: self.data.get(key) for key in ("model", "dataset", "export")},
                "evaluate": self.data["evaluate"],
                "calibrate": self.data.get("calibrate"),
                "recipes": self.recipes_of(variant),
                "backend": config["backend"],
                "tf32": config["build"].get("tf32"),
            }
        )

    def timing_key(self, variant: str) -> str:
        """Return what a variant's times depend on besides batch size and streams."""
        return artifacts.sha256_json(
            {"session": self.session_key(), "own": self.variant_key(variant)}
        )

    def session_key(self) -> str:
        """Return what all variants of one session share, whichever they are."""
        shared = self.without_grid()
        own = {key: value for key, value in shared.items() if key not in UNTIMED}
        return artifacts.sha256_json({**own, "variant": self.variants[self.reference]})

    def variant_key(self, variant: str) -> str:
        """Return what one variant brings into a session: its settings and its recipes'."""
        own = {"variant": self.variants[variant], "recipes": self.recipes_of(variant)}
        return artifacts.sha256_json(own)

    def recipes_of(self, variant: str) -> dict[str, Any]:
        """Return a variant's recipe with those that it is converted from."""
        recipes, found = self.data["recipes"], {}
        name = self.variants[variant]["recipe"]
        while name in recipes and name not in found:
            found[name] = recipes[name]
            source = PurePosixPath(recipes[name]["source"])
            name = source.name if source.parent == PurePosixPath(CONVERTED) else ""
        return found

    def without_grid(self) -> dict[str, Any]:
        """Return all settings but which batch sizes and streams are timed."""
        benchmark = dict(self.data["benchmark"])
        benchmark.pop("batches")
        grid = benchmark.get("throughput")
        if grid:
            left = {key: value for key, value in grid.items() if key not in GRID}
            benchmark["throughput"] = left
        return {**self.data, "benchmark": benchmark}


UNTIMED: Final = ("variants", "recipes", "budget", "compare", "evaluate", "sensitivity")
GRID: Final = ("batches", "streams")
CONVERTED: Final = artifacts.convert("x").parent.as_posix()


def read_settings(data: Any, what: str) -> JobSettings:
    """Return a job's settings; `what` says whose they are.

    Raises:
        InputError: a section is missing.
    """
    sections = ("model", "dataset", "evaluate", "benchmark", "variants", "recipes", "reference")
    missing = [key for key in sections if not isinstance(data, Mapping) or key not in data]
    if missing:
        raise InputError(
            f"params.yaml of {what} has no {missing[0]}; run `trtproof compose`, commit it and "
            "sweep again"
        )
    return JobSettings(data)
