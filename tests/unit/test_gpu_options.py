"""Build options for a GPU: what each backend takes, and when a variant needs one."""

from __future__ import annotations

from typing import Any

import pytest

from trtproof.backends.gpu_options import read_gpu_options
from trtproof.build_check import check_build_options
from trtproof.config import BuildConfig, RunConfig, VariantConfig
from trtproof.errors import ConfigError


def variant(backend: str, *, device: Any = "any", graph: bool = False, **options: Any) -> Any:
    return VariantConfig(
        backend=backend,
        recipe="fp32",
        source="artifacts/export",
        build=BuildConfig(tf32=False, workspace_mib=1, profiles=[], options=options, device=device),
        run=RunConfig(cuda_graph=graph, threads=0),
    )


def test_defaults_are_filled_in() -> None:
    assert read_gpu_options("torch", {"dtype": "float16"}) == {
        "dtype": "float16",
        "channels_last": False,
        "cudnn_benchmark": False,
        "compile": None,
    }
    assert read_gpu_options("onnxruntime", {}) == {"nhwc": False, "conv_search": "EXHAUSTIVE"}


@pytest.mark.parametrize(
    ("backend", "options", "named"),
    [
        ("torch", {"dtype": "float8"}, "float8"),
        ("torch", {"compile": "reduce-overhead"}, "reduce-overhead"),
        ("torch", {"channel_last": True}, "channel_last"),
        ("onnxruntime", {"nhwc": "yes"}, "bool"),
        ("onnxruntime", {"conv_search": "exhaustive"}, "exhaustive"),
        ("tensorrt", {"nhwc": True}, "nhwc"),
    ],
)
def test_a_wrong_option_is_named_before_anything_runs(
    backend: str, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        check_build_options("variants.v", variant(backend, device="cuda", **options))


def test_what_only_a_gpu_has_needs_a_variant_for_a_gpu() -> None:
    with pytest.raises(ConfigError, match=r"variants\.v\.build\.options.*build\.device to cuda"):
        check_build_options("variants.v", variant("onnxruntime", nhwc=True))
    with pytest.raises(ConfigError, match=r"variants\.v\.run\.cuda_graph.*build\.device to cuda"):
        check_build_options("variants.v", variant("torch", graph=True))
    check_build_options("variants.v", variant("torch", device="cuda", graph=True, dtype="float16"))
    check_build_options("variants.v", variant("tensorrt", graph=True))
