"""Why TensorRT cannot be used on a machine, in the order of what to repair first."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fake_tensorrt.host import Host

from trtproof.backends.tensorrt import BACKEND
from trtproof.backends.tensorrt.reasons import PRECISION_FLOORS

WHOLE: dict[str, Any] = Host().facts()


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in WHOLE.items() if name not in names}


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, "no_bindings"),
        ({"rtx": "1.7.1"}, "rtx_is_not_tensorrt"),
        ({"bindings": "10.13.0.35"}, "too_old"),
        ({"bindings": "8.6.1"}, "too_old"),
        ({"bindings": "11.4.0.106"}, "no_libraries"),
        ({"bindings": "11.4.0.106", "libraries": "10.16.1"}, "versions_differ"),
        ({"bindings": "11.4.0.106", "libraries": "11.4.0"}, "no_gpu"),
        (without("gpu"), "no_gpu"),
        (
            WHOLE | {"driver_too_old": {"driver": "550.54", "cuda": "13", "needs": 580}},
            "driver_too_old",
        ),
        (WHOLE | {"compute_capability": "7.0"}, "gpu_too_old"),
        (without("compute_capability"), "precision_unsupported"),
    ],
)
def test_the_first_thing_missing_is_named(facts: dict[str, Any], code: str) -> None:
    reason = BACKEND.unavailable(facts, "fp16")
    assert reason is not None
    assert reason.code == code
    assert reason.repair


def test_every_precision_runs_on_a_new_gpu() -> None:
    assert [BACKEND.unavailable(WHOLE, precision) for precision in PRECISION_FLOORS] == [None] * 7


@pytest.mark.parametrize(
    ("capability", "supported"),
    [
        ("7.5", {"fp32", "fp16", "int8", "int8_fp16"}),
        ("8.0", {"fp32", "fp16", "int8", "int8_fp16", "bf16"}),
        ("8.6", {"fp32", "fp16", "int8", "int8_fp16", "bf16"}),
        ("8.9", set(PRECISION_FLOORS)),
        ("10.0", set(PRECISION_FLOORS)),
        ("12.0", set(PRECISION_FLOORS)),
    ],
)
def test_the_gpu_decides_which_precisions_there_are(capability: str, supported: set[str]) -> None:
    facts = WHOLE | {"compute_capability": capability}
    assert {p for p in PRECISION_FLOORS if BACKEND.unavailable(facts, p) is None} == supported


def test_the_reason_says_what_the_gpu_has_and_what_is_needed() -> None:
    reason = BACKEND.unavailable(WHOLE | {"compute_capability": "8.6"}, "fp8_fp16")
    assert reason is not None
    assert "compute capability 8.6" in reason.text
    assert "fp8_fp16 from 8.9 on" in reason.text


def test_the_cpus_own_quantisation_is_not_tensorrts() -> None:
    reason = BACKEND.unavailable(WHOLE, "int8_cpu")
    assert reason is not None
    assert reason.code == "no_such_precision"


def test_a_system_library_states_fewer_numbers_and_is_the_same_version() -> None:
    assert BACKEND.unavailable(WHOLE | {"libraries": "11.4.0"}, "fp16") is None
    assert BACKEND.unavailable(WHOLE | {"libraries": "11"}, "fp16") is None
