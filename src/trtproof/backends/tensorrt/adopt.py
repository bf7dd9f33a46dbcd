"""Take a plan that another program made: the second road where our build fails.

It passes the same gates as one of ours: hashed (by the probe), loaded here once in a process of its
own, its inputs and outputs the model's, its precision judged, and the sidecar written beside it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trtproof import artifacts
from trtproof.backends.base import BuildSpec, CompileRecord
from trtproof.backends.tensorrt import order as orders
from trtproof.backends.tensorrt.adopt_process import TENSORS_FILE
from trtproof.backends.tensorrt.build import (
    Work,
    copy_plugins,
    find_plugins,
    read_log,
    require_built,
    run_process,
)
from trtproof.backends.tensorrt.datatypes import read_dtype
from trtproof.backends.tensorrt.gate import allowed_differences
from trtproof.backends.tensorrt.inspected import RAW_FILE, Asked, inspect_text, require_precision
from trtproof.backends.tensorrt.options import read_options
from trtproof.errors import BuildFailedError
from trtproof.tensor import Signature

if TYPE_CHECKING:
    from trtproof.models.base import ModelFiles

PROCESS = "trtproof.backends.tensorrt.adopt_process"


def adopt_plan(plan_file: Path, model: ModelFiles, spec: BuildSpec, out: Path) -> CompileRecord:
    """Copy a trusted plan into a variant's folder and return the record.

    Raises:
        ConfigError: an option is wrong.
        BuildFailedError: TensorRT refuses the plan here, it is of another model, or it provably
            computes in another precision than the recipe's.
        BackendError: out of memory, a CUDA error, a crash, a time-out.
    """
    options = read_options(spec.options)
    order = orders.BuildOrder(
        title=f"loading {plan_file}",
        model=str(model.onnx.resolve()),
        tf32=spec.tf32,
        workspace_mib=spec.workspace_mib,
        profiles=(),
        options=msgspec.to_builtins(options),
        plugins=[str(path.resolve()) for path in find_plugins(options)],
    )
    with tempfile.TemporaryDirectory(prefix="trtproof-plan-") as folder:
        work = Work(spec=spec, options=options, folder=Path(folder), out=out, process=PROCESS)
        shutil.copyfile(plan_file, work.folder / orders.PLAN_FILE)
        order.write(work.folder)
        answer = require_built(run_process(work), work)
        tensors = json.loads((work.folder / TENSORS_FILE).read_text(encoding="utf-8"))
        require_model(tensors, model.signature, plan_file)
        return collect(work, answer, plan_file)


def collect(work: Work, answer: orders.Answer, plan_file: Path) -> CompileRecord:
    """Judge the plan's precision and copy it, and what was seen of it, into the variant's folder.

    Raises:
        BuildFailedError: it provably computes in another precision than the recipe's.
    """
    text = (work.folder / orders.INSPECTOR_FILE).read_text(encoding="utf-8")
    inspected = inspect_text(text, Asked(work.spec.precision))
    require_precision(inspected, work.options.precision_gate)
    artifacts.write_text(work.out / RAW_FILE, text)
    target = work.out / orders.PLAN_FILE
    shutil.copyfile(work.folder / orders.PLAN_FILE, target)
    copy_plugins(work.options, work.out)
    facts = {
        **answer.facts,
        "may_differ": allowed_differences(work.options),
        "inspection": inspected.facts(),
        "precision": work.spec.precision,
        "made_elsewhere": {
            "file": plan_file.as_posix(),
            "sha256": artifacts.sha256_file(target),
        },
    }
    layers = [layer.to_json() for layer in inspected.inspection.layers]
    return CompileRecord(orders.PLAN_FILE, facts=facts, layers=layers, log=read_log(work))


def require_model(
    tensors: Sequence[Mapping[str, Any]], signature: Signature, plan_file: Path
) -> None:
    """Refuse a plan whose inputs or outputs are not the model's, in name or data type.

    Raises:
        BuildFailedError: they are not; names the first difference.
    """
    found = {tensor["name"]: tensor for tensor in tensors}
    wanted = {spec.name: (spec, True) for spec in signature.inputs}
    wanted |= {spec.name: (spec, False) for spec in signature.outputs}
    problems = [f"it has {name!r}, which the model has not" for name in found if name not in wanted]
    for name, (spec, is_input) in wanted.items():
        side = "input" if is_input else "output"
        tensor = found.get(name)
        if tensor is None or tensor["is_input"] != is_input:
            problems.append(f"it has no {side} {name!r}")
        elif read_dtype(tensor["dtype"]) != spec.dtype:
            problems.append(f"its {side} {name!r} is {tensor['dtype']}, the model's {spec.dtype}")
    if problems:
        raise BuildFailedError(
            code="other_model",
            text=f"{plan_file} is not a plan of this model: {'; '.join(problems)}",
            repair="build it from the ONNX in the variant's source folder",
        )
