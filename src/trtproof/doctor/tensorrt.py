"""TensorRT itself: where its files are, which of them are in use, whether its objects come up."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from trtproof import probing_tensorrt
from trtproof.backends.tensorrt import library
from trtproof.backends.tensorrt.network import make_builder
from trtproof.doctor.base import REPORT_IT, Finding, failed, ok, skipped
from trtproof.errors import BackendError

LIBRARY: Final = re.compile(r"libnvinfer\.so(?:\.\d+)+$|libnvinfer\.so$")
MAPPED: Final = re.compile(
    r"\s(/\S*/(?:libnvinfer|libnvonnxparser)[^/\s]*\.so[.\d]*)$", re.MULTILINE
)
PACKAGE_FOLDERS: Final = ("tensorrt_libs", "tensorrt_cu13_libs", "tensorrt_cu12_libs", "tensorrt")
MAPS: Final = Path("/proc/self/maps")
ONE_ONLY: Final = (
    "keep one: uninstall the other, or take its folder out of LD_LIBRARY_PATH, so that the loader "
    "finds the libraries of the bindings' version first"
)


def check_installed() -> Finding:
    """Say which TensorRT is installed, by its packages and by the files on the loader's path."""
    found = probing_tensorrt.installed()
    files = sorted({str(path) for path in find_libraries()})
    facts = {**found, "files": files}
    if "rtx" in found:
        return failed(
            f"TensorRT-RTX {found['rtx']} is installed, which is not TensorRT",
            library.INSTALL,
            **facts,
        )
    if "bindings" not in found:
        beside = f"; its libraries are at {', '.join(files)}" if files else ""
        return skipped(f"TensorRT's Python bindings are not installed{beside}", **facts)
    if "libraries" not in found and not files:
        return failed(
            f"TensorRT's bindings {found['bindings']} are installed, but no libnvinfer is found",
            "install the libraries of the bindings' version, or add their folder to "
            "LD_LIBRARY_PATH",
            **facts,
        )
    return ok(f"TensorRT {found['bindings']}", **facts)


def find_libraries() -> list[Path]:
    """Return every libnvinfer that the loader or the packages could take, links resolved."""
    folders = list(probing_tensorrt.library_folders())
    folders += [Path(place) / name for place in sys.path if place for name in PACKAGE_FOLDERS]
    return [
        path.resolve()
        for folder in folders
        if folder.is_dir()
        for path in folder.glob("libnvinfer.so*")
        if LIBRARY.search(path.name)
    ]


def check_import() -> Finding:
    """Import it as the backend does."""
    trt = library.load()
    return ok(f"import tensorrt gives {library.version(trt)}", version=library.version(trt))


def check_mapped() -> Finding:
    """See which libraries this process really has after the import: two installations mix."""
    trt = library.load()
    if not MAPS.exists():
        return skipped("this system does not say which libraries a process has")
    return judge_mapped(MAPS.read_text(encoding="utf-8"), library.version(trt))


def judge_mapped(maps: str, version: str) -> Finding:
    """Return whether the mapped libraries are of one folder and of the bindings' version."""
    paths = sorted(set(MAPPED.findall(maps)))
    folders = sorted({str(Path(path).parent) for path in paths})
    facts = {"files": paths}
    if not paths:
        return failed(
            "import tensorrt worked, but no libnvinfer is in this process",
            f"the module is not NVIDIA's; reinstall it: {library.INSTALL}",
            **facts,
        )
    if len(folders) > 1:
        return failed(f"libraries come from {' and '.join(folders)}", ONE_ONLY, **facts)
    wrong = [path for path in paths if not _is_of(path, version)]
    if wrong:
        return failed(f"{wrong[0]} is not of the bindings' version {version}", ONE_ONLY, **facts)
    return ok(f"{len(paths)} libraries, all from {folders[0]}", **facts)


def _is_of(path: str, version: str) -> bool:
    """Say whether a file's name agrees with a version, as far as it says one."""
    found = re.search(r"\.so\.([\d.]+)$", Path(path).resolve().name)
    parts = found[1].split(".") if found else []
    return all(one == other for one, other in zip(parts, version.split("."), strict=False))


def check_builder() -> Finding:
    """Make a builder, which starts CUDA."""
    return _construct("a builder", make_builder)


def check_runtime() -> Finding:
    """Make a runtime."""
    return _construct("a runtime", lambda trt: trt.Runtime(library.logger(trt)))


def check_parser() -> Finding:
    """Make a network and an ONNX parser on it."""

    def make(trt: Any) -> Any:
        builder = make_builder(trt)
        flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(flag)
        if network is None:
            raise BackendError(f"there is no strongly typed network; {REPORT_IT}")
        parser = trt.OnnxParser(network, library.logger(trt))
        return builder, network, parser

    return _construct("an ONNX parser", make)


def check_plugins() -> Finding:
    """Register TensorRT's own plug-ins."""

    def register(trt: Any) -> Any:
        return trt.init_libnvinfer_plugins(library.logger(trt), "") or None

    return _construct("its plug-ins", register)


def _construct(what: str, make: Callable[[Any], Any]) -> Finding:
    """Return whether TensorRT makes something, with its log where it does not."""
    trt = library.load()
    with library.capture() as lines:
        try:
            made = make(trt)
        except TypeError as error:  # the bindings' way to say that a factory returned nothing
            made = None
            lines.append(library.LogLine("ERROR", str(error)))
    log = [str(line) for line in lines if line.severity != "VERBOSE"]
    if made is None:
        cause = log[-1] if log else "its log says nothing"
        return failed(
            f"TensorRT does not make {what}: {cause}",
            "see that `nvidia-smi` works and that the driver suits (step driver)",
            log=log,
        )
    return ok(f"TensorRT makes {what}", log=log)
