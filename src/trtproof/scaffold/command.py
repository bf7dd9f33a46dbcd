"""`trtproof init`: a runnable pipeline in the user's own repository, from the installed package."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trtproof.compose import compose
from trtproof.config import PARAMS_FILE, parse_params
from trtproof.errors import InputError
from trtproof.scaffold.adapter_text import adapter_files, model_yaml, package_name
from trtproof.scaffold.config_text import make_config
from trtproof.scaffold.described import BATCH, BATCH_EXTENTS, Described, Input
from trtproof.scaffold.from_factory import describe_factory
from trtproof.scaffold.from_onnx import describe_onnx
from trtproof.scaffold.place import Place, find_place
from trtproof.scaffold.shipped import CONFIG, RECORD, digest, make_record, shipped_files
from trtproof.scaffold.writing import require_free, write_all
from trtproof.settings_check import check_settings

IGNORED: Final = (
    "/artifacts/",
    "/outputs/",
    "/multirun/",
    "/trtproof-trace/",
    "/trtproof-doctor.json",
    "/.venv/",
    "__pycache__/",
)
"""Lines of .gitignore: what runs leave."""

APPENDED: Final = {".gitignore": IGNORED, ".dvcignore": ("__pycache__/",)}
"""Files that the folder may have already: missing lines are added at their end."""

EXAMPLE: Final = Described(
    name="example",
    inputs={"input": Input("float32", (BATCH, 1, 16, 16))},
    outputs={"logits": (BATCH, 10)},
    axes={BATCH: BATCH_EXTENTS},
    ran=True,
)
"""The handwritten digits that trtproof ships, as an adapter to replace function by function."""


@dataclass(frozen=True)
class Project:
    """A project as it will be written."""

    place: Place
    model: Described
    factory: str | None
    onnx: Path | None
    files: dict[str, bytes]


def make_project(folder: Path, *, factory: str | None, onnx: Path | None) -> str:
    """Make the project and return what to say about it.

    At most one of a factory, as in "package.module:factory", and an ONNX file is given; with
    neither it is an example.

    Raises:
        PipelineError: something is in the way or wrong with the model; nothing was written.
    """
    place = find_place(folder)
    if (place.root / RECORD).exists():
        raise InputError(f"{folder} is a project already; `trtproof upgrade` compares it with ours")
    shipped = shipped_files()
    ours = [path for path in shipped if path not in APPENDED]
    require_free(place.root, [*ours, str(PARAMS_FILE)])
    model = _describe(place, factory, onnx)
    project = Project(place, model, factory, onnx, shipped)
    texts = _own_files(project)
    require_free(place.root, sorted(texts.keys() - shipped.keys()))
    files = {path: content for path, content in shipped.items() if path not in APPENDED}
    files |= {path: text.encode() for path, text in texts.items()}
    files[str(PARAMS_FILE)] = _compose(files).encode()
    taken = {path: digest(content) for path, content in shipped.items()}
    files[str(RECORD)] = make_record(taken).encode()
    write_all(
        place.root,
        files,
        appended={name: _missing_lines(place.root / name, APPENDED[name]) for name in APPENDED},
        new_repository=place.repository is None,
    )
    return _report(project)


def _describe(place: Place, factory: str | None, onnx: Path | None) -> Described:
    if factory is not None:
        return describe_factory(factory, place)
    return EXAMPLE if onnx is None else describe_onnx(onnx)


def _own_files(project: Project) -> dict[str, str]:
    """Return path -> text of what is the project's own."""
    model, place = project.model, project.place
    is_onnx = project.onnx is not None
    package = package_name(model)
    pythonpath = ["."]
    if project.factory is not None:
        folder = place.folder_of(project.factory.partition(":")[0])
        pythonpath += [folder] if folder not in {None, "."} else []
    return adapter_files(model, project.factory, is_onnx=is_onnx) | {
        f"conf/model/{model.name}.yaml": model_yaml(
            model,
            origin=_origin(project),
            factory=None if is_onnx else f"{package}.model:make_model",
            weights=None if project.onnx is None else place.relative(project.onnx),
        ),
        CONFIG: make_config(
            project.files[CONFIG].decode(),
            model,
            is_onnx=is_onnx,
            pythonpath=pythonpath,
            scorer=f"{package}.scorer:Scorer",
        ),
    }


def _origin(project: Project) -> str:
    if project.factory is not None:
        return f"The module that {project.factory} makes, as `trtproof init` found it."
    if project.onnx is not None:
        return f"{project.onnx.name}, as `trtproof init` found it."
    return "An example, trained on scikit-learn's handwritten digits: put your own model here."


def _compose(files: dict[str, bytes]) -> str:
    """Return params.yaml, made and checked in a folder of its own.

    Raises:
        ConfigError: the settings contradict each other: the model does not fit the pipeline.
    """
    with tempfile.TemporaryDirectory(prefix="trtproof-init-") as folder:
        for path, content in files.items():
            if path.startswith("conf/"):
                place = Path(folder, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        text = compose(project=Path(folder))
    check_settings(parse_params(text))
    return text


def _missing_lines(path: Path, lines: tuple[str, ...]) -> str:
    """Return the lines that a file lacks, as text to add at its end."""
    known = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return "".join(f"{line}\n" for line in lines if line not in known)


def _report(project: Project) -> str:
    """Return what was made and the next commands."""
    model, place = project.model, project.place
    folder = Path(os.path.relpath(place.root)).as_posix()
    package = package_name(model)
    lines = [f"{folder}: made a project", ""]
    lines += [f"  {name}" for name in _own_names(project, package)]
    lines += ["", *_found(model), "", "Next:"]
    commands = [f"cd {folder}"] if folder != "." else []
    commands += [
        "trtproof try                 # each function of the adapter, on two samples",
        "dvc repro                    # then open artifacts/report/index.html",
        'git add -A . && git commit -m "Measure inference"',
    ]
    return "\n".join([*lines, *(f"  {command}" for command in commands)])


def _own_names(project: Project, package: str) -> list[str]:
    model = project.model
    what = {
        f"{package}/model.py": "the model",
        f"{package}/samples.py": "the samples" if model is EXAMPLE else "random: put yours here",
        f"{package}/scorer.py": "what is right",
        f"conf/model/{model.name}.yaml": "its inputs, outputs and axes",
        f"conf/dataset/{model.name}.yaml": "its splits",
    }
    if project.onnx is not None:
        del what[f"{package}/model.py"]
    width = max(map(len, what))
    return [f"{name:{width}}  {text}" for name, text in what.items()]


def _found(model: Described) -> list[str]:
    """Return what was found out about the model, and how."""
    inputs = [f"{name} {item.dtype} {_show(item.shape)}" for name, item in model.inputs.items()]
    if not model.ran:
        return [
            f"Not known: what the model takes. A guess: {', '.join(inputs)}",
            f"Correct it in conf/model/{model.name}.yaml, then `trtproof compose`.",
        ]
    outputs = [f"{name} {_show(shape)}" for name, shape in model.outputs.items()]
    return [f"Takes {', '.join(inputs)}", f"Gives {', '.join(outputs)}"]


def _show(shape: object) -> str:
    return str(list(shape)).replace("'", "") if isinstance(shape, list | tuple) else str(shape)
