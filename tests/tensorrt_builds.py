"""Builds of small models on the strict fake of TensorRT, and models with one thing wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tests.fake_cuda.gpu import current_machine, new_machine
from tests.fake_cuda.runtime import make_runtime
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.module import make_tensorrt
from tests.fakes import SIGNATURE, write_model

from trtproof.backends.base import BuildSpec, CompileRecord
from trtproof.backends.cuda.calls import MODULE as CUDA_MODULE
from trtproof.backends.tensorrt import BACKEND
from trtproof.models.base import ModelFiles
from trtproof.tensor import Signature

TESTS = Path(__file__).parent
FAKE_PATH = TESTS / "fake_tensorrt/path"
FAKE_CUDA_PATH = TESTS / "fake_cuda/path"
CHECK_PATH = TESTS / "trt_check_path"
SOURCE = TESTS.parent / "src"
BATCHES = {"batch": (1, 4, 8)}


def use_fake(monkeypatch: pytest.MonkeyPatch, host: Host | None = None) -> Any:
    """Let this process and its children import the fakes of a host and its GPU; return TensorRT."""
    host = host or Host()
    trt = make_tensorrt(host)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setitem(sys.modules, CUDA_MODULE, make_runtime(current_machine))
    new_machine()
    paths = [str(FAKE_PATH), str(FAKE_CUDA_PATH), str(TESTS.parent), str(SOURCE)]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))
    for name, value in host.environment().items():
        monkeypatch.setenv(name, value)
    return trt


@dataclass
class Build:
    """A model to build, and how."""

    model: ModelFiles
    out: Path
    cache: Path
    facts: dict[str, Any]
    precision: str = "fp32"
    tf32: bool = False

    def run(
        self, *, profiles: Any = None, workspace_mib: int = 64, **options: Any
    ) -> CompileRecord:
        spec = BuildSpec(
            precision=self.precision,
            tf32=self.tf32,
            workspace_mib=workspace_mib,
            profiles=[BATCHES] if profiles is None else profiles,
            options={"timing_cache_dir": str(self.cache)} | options,
            facts=self.facts,
            model_config={},
        )
        return BACKEND.compile(self.model, spec, self.out)

    def change(self, edit: Callable[[ModelProto], None]) -> None:
        """Edit the model's file."""
        proto = onnx.load(self.model.onnx)
        edit(proto)
        self.model.onnx.write_bytes(proto.SerializeToString())


def make_build(folder: Path, *, host: Host | None = None, external: bool = False) -> Build:
    write_model(folder / "model", external=external)
    out = folder / "variant"
    out.mkdir()
    return Build(
        model=ModelFiles(folder / "model", SIGNATURE),
        out=out,
        cache=folder / "cache",
        facts=(host or Host()).facts(),
    )


def with_signature(build: Build, signature: Signature) -> Build:
    build.model = ModelFiles(build.model.folder, signature)
    return build


def make_double_input(proto: ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    proto.graph.node.insert(
        0, helper.make_node("Cast", ["input"], ["single"], to=TensorProto.FLOAT, name="cast")
    )
    proto.graph.node[1].input[0] = "single"


def make_newest_opset(proto: ModelProto) -> None:
    proto.opset_import[0].version = 99


def put_nan(proto: ModelProto) -> None:
    values = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    values.flat[0] = np.nan
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w1"))


def make_half_weight(proto: ModelProto) -> None:
    values = numpy_helper.to_array(proto.graph.initializer[1]).astype(np.float16)
    proto.graph.initializer[1].CopyFrom(numpy_helper.from_array(values, "w2"))


def quantise_input(
    proto: ModelProto,
    *,
    zero_point: int = 0,
    scale: type = np.float32,
) -> None:
    """Put a pair of QuantizeLinear and DequantizeLinear before the first convolution."""
    proto.graph.initializer.extend(
        [
            numpy_helper.from_array(scale(0.01), "scale"),
            numpy_helper.from_array(np.int8(zero_point), "zero"),
        ]
    )
    pair = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["q"], name="q_input"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="d_input"),
    ]
    for node in reversed(pair):
        proto.graph.node.insert(0, node)
    proto.graph.node[2].input[0] = "d"


def shift_zero_point(proto: ModelProto) -> None:
    quantise_input(proto, zero_point=3)


def make_half_scale(proto: ModelProto) -> None:
    quantise_input(proto, scale=np.float16)


def quantise_bias(proto: ModelProto) -> None:
    proto.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros(8, np.int32), "bias_q"),
            numpy_helper.from_array(np.float32(0.01), "bias_scale"),
        ]
    )
    node = helper.make_node("DequantizeLinear", ["bias_q", "bias_scale"], ["bias"], name="d_bias")
    proto.graph.node.insert(0, node)
    proto.graph.node[1].input.append("bias")


def drop_nodes(proto: ModelProto) -> None:
    del proto.graph.node[:]


def break_order(proto: ModelProto) -> None:
    first = proto.graph.node[0]
    proto.graph.node.append(first)
    del proto.graph.node[0]


def use_foreign_operators(proto: ModelProto) -> None:
    """Make two nodes somebody else's, so that all problems can be seen at once."""
    proto.opset_import.append(helper.make_opsetid("custom", 1))
    for node in (proto.graph.node[1], proto.graph.node[4]):
        node.domain = "custom"
