"""The settings of params.yaml as types.

conf/ is their only source; this module neither composes nor defaults them. A stage reads the
sections that its dvc.yaml entry lists and no others, one `load_section` call each, so that a
reader (and a test) sees in the script what the result depends on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta

from trtproof.benchmark_config import BenchmarkConfig
from trtproof.budget_config import BudgetConfig, CompareConfig
from trtproof.errors import ConfigError, MissingFileError
from trtproof.setting_types import Fraction, Name, NonNegative, Positive, PositiveFloat, Section

PARAMS_FILE = Path("params.yaml")

T = TypeVar("T")


class TargetConfig(Section, frozen=True):
    """Conf/target: the user's choice of device, and which backends must be measurable here."""

    device: Literal["auto", "cpu", "cuda"]
    gpu_index: NonNegative
    require: list[str]


class InputConfig(Section, frozen=True):
    """One model input; `shape` mixes extents and axis names.

    `low` and `high` (excluded) bound synthetic integers.
    """

    dtype: Literal["float32", "float16", "int64", "int32", "uint8", "bool"]
    shape: list[int | str]
    low: int = 0
    high: int = 2


class AxisConfig(Section, frozen=True):
    """The extents that a dynamic axis may take; `opt` is the one engines are tuned for."""

    min: Positive
    opt: Positive
    max: Positive


class ModelConfig(Section, frozen=True):
    """Conf/model: where the model comes from and what it takes.

    `inputs` may be the import path of a function that gives examples of them (model_inputs.py).
    """

    name: Name
    source: str
    factory: str | None
    weights: str | None
    options: dict[str, Any]
    files: list[str]
    inputs: dict[str, InputConfig] | str
    outputs: list[str]
    axes: dict[Name, AxisConfig]


class ParityConfig(Section, frozen=True):
    """How far an output of the export may be from the model's.

    The error is max|difference| / max|reference|, the cosine that of the flattened outputs.
    """

    max_relative_error: PositiveFloat
    min_cosine: Fraction


class ExportConfig(Section, frozen=True):
    """How the model becomes ONNX."""

    exporter: Literal["dynamo", "legacy"]
    opset: Positive
    parity: ParityConfig


class DatasetConfig(Section, frozen=True):
    """Conf/dataset: one source of samples and its two disjoint splits.

    `factory` and `collate` are import paths of the user's own functions, for format `factory`.
    """

    name: Name
    format: str
    synthetic: bool
    options: dict[str, Any]
    files: list[str]
    calibration: dict[str, Any]
    evaluation: dict[str, Any]
    factory: str | None = None
    collate: str | None = None


class CalibrateConfig(Section, frozen=True, rename={"given": "from"}):
    """The data pass that ranges come from, and the one that they are compared with.

    `given` (`from` in conf) is a file that gives the ranges instead of the first pass.

    `check_count` is how many evaluation inputs are compared, null for all.
    """

    batch: Positive
    threads: Positive
    device: Literal["cpu", "cuda"]
    check_count: Positive | None
    harmful: Literal["stop", "warn"]
    given: str | None = None


class SensitivityConfig(Section, frozen=True):
    """Which recipes are quantised one layer at a time, and on how many calibration samples."""

    recipes: list[Name]
    samples: Positive
    batch: Positive


class RecipeConfig(Section, frozen=True, rename={"pass_name": "pass"}):
    """Conf/recipe: one setting of one precision pass.

    `source` and `calibration` are artifact folders, one string each because DVC cannot template a
    list of dependencies; a pass that needs no data repeats its source as `calibration`.
    """

    pass_name: str
    source: str
    calibration: str
    options: dict[str, Any]


class BuildConfig(Section, frozen=True, omit_defaults=True):
    """What changes the bytes of a plan."""

    tf32: bool
    workspace_mib: Positive
    profiles: list[dict[Name, AxisConfig]]
    options: dict[str, Any]
    device: Literal["any", "cuda"] = "any"
    """`cuda`: only on a GPU. Where the run is on a CPU, the variant is recorded as not built."""

    plan: str | None = None
    """A plan made elsewhere to take instead of building one (TensorRT only)."""

    trusted: bool = False
    """Whether whoever made `plan` is trusted: a plan is code that runs on this machine."""


class RunConfig(Section, frozen=True):
    """How a plan is run; changing it rebuilds nothing."""

    cuda_graph: bool
    threads: NonNegative
    """Threads of one inference on the CPU; 0 takes every core this process may use."""

    context_memory: Literal["static", "user_managed"] = "static"
    """TensorRT: who provides the memory that an execution context works in."""

    weight_streaming_mib: NonNegative | None = None
    """TensorRT: MiB of weights that stay on the GPU; null keeps all of them there."""


class VariantConfig(Section, frozen=True):
    """Conf/variant: one row of the report."""

    backend: str
    recipe: str
    source: str
    """Artifact folder that the plan is built from: the converted model, or the export for the
    PyTorch reference."""

    build: BuildConfig
    run: RunConfig
    control: bool = False
    """Runs twice in every session, as the reference always does: its own noise (A/A)."""


class EvaluateConfig(Section, frozen=True):
    """How variants are scored."""

    batch: Positive
    scorers: Annotated[list[str], Meta(min_length=1)]
    keep_outputs: NonNegative
    """Samples whose raw outputs are stored for comparison between variants."""


class Params(Section, frozen=True):
    """All of params.yaml."""

    target: TargetConfig
    pythonpath: list[str]
    model: ModelConfig
    dataset: DatasetConfig
    export: ExportConfig
    calibrate: CalibrateConfig
    sensitivity: SensitivityConfig
    recipes: dict[Name, RecipeConfig]
    variants: Annotated[dict[Name, VariantConfig], Meta(min_length=1)]
    reference: Name
    benchmark: BenchmarkConfig
    evaluate: EvaluateConfig
    budget: BudgetConfig
    compare: CompareConfig


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Return params.yaml as plain data.

    Raises:
        MissingFileError: there is none.
        ConfigError: it is not a YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingFileError(
            path, repair="run `trtproof compose` to make it from conf/"
        ) from None
    try:
        data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        raise ConfigError(
            key=str(path),
            problem=f"not YAML ({str(error).splitlines()[0]})",
            repair="run `trtproof compose`",
        ) from None
    if not isinstance(data, dict):
        raise ConfigError(
            key=str(path), problem="not a mapping of settings", repair="run `trtproof compose`"
        )
    return data


def parse_params(text: str) -> Params:
    """Return the settings of a composed text, checked.

    Raises:
        ConfigError: unknown key, wrong type or value out of range.
    """
    return decode(Params, yaml.safe_load(text), key="")


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Return all settings, checked; for gate, probe and commands.

    A stage takes `load_section` instead.

    Raises:
        ConfigError: unknown key, wrong type or value out of range.
    """
    return decode(Params, read_params(path), key="")


def load_section(kind: type[T], *keys: str, path: Path = PARAMS_FILE) -> T:
    """Return one section of params.yaml, as in `load_section(RunConfig, "variants", name, "run")`.

    Raises:
        ConfigError: no such section, unknown key, wrong type or value out of range.
    """
    data: Any = read_params(path)
    for depth, key in enumerate(keys):
        if not isinstance(data, dict) or key not in data:
            known = ", ".join(data) if isinstance(data, dict) else "nothing"
            raise ConfigError(
                key=".".join(keys[: depth + 1]),
                problem=f"not in {path} (there is: {known})",
                repair="add it in conf/ and run `trtproof compose`",
            )
        data = data[key]
    return decode(kind, data, key=".".join(keys))


def decode(kind: type[T], data: Any, *, key: str) -> T:
    """Return plain data as a settings type; `key` is where the data stands, for the error.

    Raises:
        ConfigError: unknown key, wrong type or value out of range.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        where = f"{key}{place.rstrip('`')}".lstrip(".") or "params.yaml"
        raise ConfigError(
            key=where,
            problem=problem[:1].lower() + problem[1:],
            repair="correct it in conf/ and run `trtproof compose`",
        ) from None
