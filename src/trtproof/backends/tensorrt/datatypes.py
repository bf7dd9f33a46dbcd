"""Names of data types as TensorRT's inspector writes them, turned into numpy's and ml_dtypes'.

TensorRT 10 writes one text, "Row major linear FP32" or, in kernels that its compiler generated,
"Half"; TensorRT 11 writes the type by itself.
"""

from __future__ import annotations

import re
from typing import Final

NAMES: Final = {
    "float32": ("float", "float32", "fp32", "tf32"),
    "float16": ("half", "float16", "fp16"),
    "bfloat16": ("bfloat16", "bf16"),
    "float8_e4m3fn": ("fp8", "float8", "float8_e4m3fn", "float8e4m3fn", "e4m3"),
    "float4_e2m1fn": ("fp4", "float4", "float4e2m1", "e2m1"),
    "float8_e8m0fnu": ("e8m0",),
    "int64": ("int64",),
    "int32": ("int32",),
    "int8": ("int8",),
    "int4": ("int4",),
    "uint8": ("uint8",),
    "bool": ("bool",),
}
"""Our name -> what it is called there, without regard to case and to a leading "k"."""

_OURS: Final = {theirs: ours for ours, names in NAMES.items() for theirs in names}
_WORD: Final = re.compile(
    rf"\bk?({'|'.join(sorted(_OURS, key=len, reverse=True))})\b", re.IGNORECASE
)


def read_dtype(text: str) -> str | None:
    """Return the data type that a text names, or None where it names none.

    "N/A due to dynamic shapes" is such a text.
    """
    found = _WORD.search(text)
    return _OURS[found[1].lower()] if found else None
