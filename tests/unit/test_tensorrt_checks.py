"""What is checked before TensorRT sees a model: what it takes in silence or refuses in riddles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import ModelProto
from tests import tensorrt_builds as builds
from tests.fakes import SIDE, SIGNATURE

from trtproof.backends.tensorrt.checks import check_model
from trtproof.backends.tensorrt.shapes import make_profiles
from trtproof.errors import BuildFailedError, ConfigError
from trtproof.models.base import ModelFiles
from trtproof.tensor import Signature, TensorSpec


@pytest.fixture
def build(tmp_path: Path) -> builds.Build:
    return builds.make_build(tmp_path)


def test_a_sound_model_passes(build: builds.Build) -> None:
    assert len(check_model(build.model).graph.node) == 7


def test_a_sound_quantised_model_passes(build: builds.Build) -> None:
    build.change(builds.quantise_input)
    assert len(check_model(build.model).graph.node) == 9


@pytest.mark.parametrize(
    ("edit", "code", "words"),
    [
        (builds.make_double_input, "model_io", "input 'input' is DOUBLE"),
        (builds.make_newest_opset, "model_opset", "opset 99"),
        (builds.put_nan, "model_weights", "weight 'w1' has NaN"),
        (builds.make_half_weight, "model_types", "Conv 'block/Conv'.*weight 'w2' is FLOAT16"),
        (builds.shift_zero_point, "model_types", "QuantizeLinear 'q_input' has a zero point"),
        (builds.make_half_scale, "model_types", "q_input.*(scale|types).*FLOAT16"),
        (builds.quantise_bias, "model_types", "DequantizeLinear 'd_bias' dequantises INT32"),
        (builds.drop_nodes, "model_empty", "no nodes"),
        (builds.break_order, "model_invalid", "not valid ONNX"),
    ],
)
def test_a_fault_is_named_with_its_node(
    build: builds.Build, edit: Callable[[ModelProto], None], code: str, words: str
) -> None:
    build.change(edit)
    with pytest.raises(BuildFailedError, match=words) as caught:
        check_model(build.model)
    assert caught.value.code == code
    assert caught.value.repair


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "model_empty"), (b"garbage" * 9, "model_unreadable")]
)
def test_a_file_that_is_no_model_is_told(build: builds.Build, content: bytes, code: str) -> None:
    build.model.onnx.write_bytes(content)
    with pytest.raises(BuildFailedError) as caught:
        check_model(build.model)
    assert caught.value.code == code


def test_a_model_cut_short_is_told(build: builds.Build) -> None:
    whole = build.model.onnx.read_bytes()
    build.model.onnx.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BuildFailedError):
        check_model(build.model)


@pytest.mark.parametrize(("size", "words"), [(None, "which is not there"), (40, "40 bytes, ")])
def test_external_data_must_be_there_whole(tmp_path: Path, size: int | None, words: str) -> None:
    build = builds.make_build(tmp_path, external=True)
    check_model(build.model)
    data = build.model.folder / "model.onnx.data"
    if size is None:
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:size])
    with pytest.raises(BuildFailedError, match=rf"(model\.onnx\.data.*{words}|valid ONNX)"):
        check_model(build.model)


def test_an_operator_that_onnx_does_not_know_is_left_to_tensorrt(build: builds.Build) -> None:
    def rename(proto: ModelProto) -> None:
        proto.graph.node[1].op_type = "EfficientNMS_TRT"

    build.change(rename)
    assert check_model(build.model).graph.node[1].op_type == "EfficientNMS_TRT"


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (("batch", 1, SIDE), "has 4 axes, its signature 3"),
        (("batch", "channels", SIDE, SIDE), "axis 1 .* is 1 in the graph"),
        ((8, 1, SIDE, SIDE), "axis 0 .* is batch in the graph, but 8"),
    ],
)
def test_the_signature_and_the_graph_must_agree(
    build: builds.Build, shape: tuple[int | str, ...], words: str
) -> None:
    spec = replace(SIGNATURE.inputs[0], shape=shape)
    model = ModelFiles(build.model.folder, replace(SIGNATURE, inputs=(spec,)))
    with pytest.raises(BuildFailedError, match=words):
        check_model(model)


def test_an_input_of_another_name_is_told(build: builds.Build) -> None:
    spec = replace(SIGNATURE.inputs[0], name="image")
    model = ModelFiles(build.model.folder, replace(SIGNATURE, inputs=(spec,)))
    with pytest.raises(BuildFailedError, match="inputs are input, its signature has image"):
        check_model(model)


TWO = Signature(
    inputs=(
        TensorSpec("ids", "int64", ("batch", "length")),
        TensorSpec("mask", "int64", ("batch", "length")),
        TensorSpec("fixed", "float32", (1, 3)),
    ),
    outputs=(),
)


def test_axes_become_shapes_of_every_dynamic_input() -> None:
    ranges = [
        {"batch": (1, 2, 4), "length": (8, 16, 32)},
        {"batch": (1, 1, 1), "length": (64, 64, 64)},
    ]
    shapes = [[1, 8], [2, 16], [4, 32]]
    assert make_profiles(TWO, ranges) == [
        {"ids": shapes, "mask": shapes},
        {"ids": [[1, 64]] * 3, "mask": [[1, 64]] * 3},
    ]


def test_a_static_model_has_no_profiles() -> None:
    static = Signature(inputs=(TWO.inputs[2],), outputs=())
    assert make_profiles(static, []) == []
    assert make_profiles(static, [{}]) == []


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([], r"build\.profiles: there are none, but the model has the axes batch, length"),
        ([{"batch": (1, 1, 1)}], r"build\.profiles\[0\]\.length: missing"),
        (
            [{"batch": (1, 1, 1), "length": (1, 1, 1), "width": (1, 1, 1)}],
            r"build\.profiles\[0\]\.width: no input has this axis \(there is: batch, length\)",
        ),
        ([{"batch": (4, 2, 8), "length": (1, 1, 1)}], r"batch: min 4, opt 2, max 8"),
        ([{"batch": (1, 9, 8), "length": (1, 1, 1)}], r"batch: min 1, opt 9, max 8"),
        ([{"batch": (0, 1, 8), "length": (1, 1, 1)}], r"batch: min 0"),
    ],
)
def test_a_wrong_profile_names_its_key(
    ranges: list[dict[str, tuple[int, int, int]]], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        make_profiles(TWO, ranges)
