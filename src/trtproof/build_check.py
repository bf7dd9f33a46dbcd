"""Whether a variant's build options are its backend's, and for the device that it is built for."""

from __future__ import annotations

from trtproof.backends.gpu_options import KINDS, read_gpu_options
from trtproof.backends.tensorrt.options import read_options
from trtproof.config import VariantConfig
from trtproof.model_check import wrong


def check_build_options(key: str, variant: VariantConfig) -> None:
    """Refuse options that the backend has not, and a GPU's where a CPU may be built for.

    Raises:
        ConfigError: names the option; `key` is where the variant stands.
    """
    build, place = variant.build, f"{key}.build.options"
    if variant.backend == "tensorrt":
        read_options(build.options, key=place)
    if variant.backend not in KINDS:
        return
    read_gpu_options(variant.backend, build.options, key=place)
    if build.device == "cuda":
        return
    for where, value in ((place, build.options), (f"{key}.run.cuda_graph", variant.run.cuda_graph)):
        if value:
            raise wrong(
                key=where,
                problem=f"{value} is for a GPU, but this variant may be built for a CPU",
                repair="set build.device to cuda in conf/variant",
            )
