"""`python -m trtproof.backends.tensorrt.adopt_process FOLDER`: look at the plan in a folder.

In a process of its own: a plan is code, and one that is not what it says may end the process.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from trtproof.backends.tensorrt import library
from trtproof.backends.tensorrt.build_process import ask_engine, carry_out
from trtproof.backends.tensorrt.calls import OptionalCalls
from trtproof.backends.tensorrt.errors import failure
from trtproof.backends.tensorrt.inspected import read_engine
from trtproof.backends.tensorrt.order import INSPECTOR_FILE, PLAN_FILE, BuildOrder, read_order
from trtproof.backends.tensorrt.plugins import load_plugins
from trtproof.stage import die_with_parent

TENSORS_FILE: Final = "tensors.json"


def look(order: BuildOrder, folder: Path) -> dict[str, Any]:
    """Load the plan, write what its inspector says and its tensors; return facts for the sidecar.

    Raises:
        BuildFailedError: TensorRT refuses the plan, as it does another version's or GPU's.
        BackendError, HardwareError: CUDA or the library fails.
    """
    calls = OptionalCalls()
    trt = library.load()
    load_plugins(trt, map(Path, order.plugins))
    with library.capture() as lines:
        runtime = trt.Runtime(library.logger(trt))
        runtime.engine_host_code_allowed = True  # the user said that the plan is trusted
        engine = runtime.deserialize_cuda_engine((folder / PLAN_FILE).read_bytes())
    if engine is None:
        raise failure(
            order.title,
            lines,
            code="plan_refused",
            repair="build it again with this machine's TensorRT on this GPU",
        )
    (folder / INSPECTOR_FILE).write_text(read_engine(trt, engine, calls), encoding="utf-8")
    tensors = json.dumps(list_tensors(trt, engine))
    (folder / TENSORS_FILE).write_text(tensors, encoding="utf-8")
    facts = {"tensorrt": library.version(trt)} | ask_engine(engine, calls)
    del engine  # before its runtime
    del runtime
    return facts | {"unavailable": calls.unavailable}


def list_tensors(trt: Any, engine: Any) -> list[dict[str, Any]]:
    """Return name, mode (INPUT or OUTPUT) and TensorRT's data type of the engine's tensors."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return [
        {
            "name": name,
            "is_input": engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            "dtype": engine.get_tensor_dtype(name).name,
        }
        for name in names
    ]


def main(folder: Path) -> None:
    """Look at the plan in a folder and answer."""
    die_with_parent()
    carry_out(read_order(folder), folder, look).write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
