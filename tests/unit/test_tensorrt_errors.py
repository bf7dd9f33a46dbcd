"""Log lines of TensorRT's, and what they mean: recorded failures, or errors that record nothing."""

from __future__ import annotations

import pytest

from trtproof.backends.tensorrt.errors import causes, failure, refusal
from trtproof.backends.tensorrt.library import LogLine
from trtproof.errors import BackendError, BuildFailedError

DRIVER = (
    "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at "
    "/_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is insufficient "
    "for CUDA runtime version))"
)
NOTHING = "Error Code 10: Internal Error (Could not find any implementation for node {conv1}.)"


def lines(*texts: str, severity: str = "ERROR") -> list[LogLine]:
    return [LogLine(severity, text) for text in texts]


def error_of(*log: LogLine) -> BuildFailedError | BackendError:
    return failure("building the engine", log, code="build_failed", repair="see build.log")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no tactics to implement the operation within workspace limit", "workspace_too_small"),
        ("workspace memory greater than 0", "workspace_too_small"),
        (
            "Network has dynamic or shape inputs, but no optimization profile has been defined.",
            "profile_missing",
        ),
        ("Dynamic input tensor b is missing dimensions in profile 0", "profile_missing"),
        ("x has 4 dimensions but profile 0 has 3", "profile_mismatch"),
        ("At dimension axis 1, profile has min=4 but tensor has 3", "profile_mismatch"),
        ("static dimensions that don't match kMIN", "profile_mismatch"),
        ("Input dimensions with this name have contradictory kMIN/kMAX", "profile_mismatch"),
        ("Network must have at least one output", "empty_network"),
        ("Unable to load library: libnvinfer_lean.so.10", "no_lean_runtime"),
        (NOTHING, "no_implementation"),
        ("something nobody has seen before", "build_failed"),
    ],
)
def test_a_lasting_cause_is_recorded_under_its_code(text: str, code: str) -> None:
    error = error_of(*lines(DRIVER, text))
    assert isinstance(error, BuildFailedError)
    assert error.code == code
    assert text in error.text
    assert error.repair


@pytest.mark.parametrize(
    "text",
    [
        "Error Code 2: OutOfMemory (Requested size was 4294967296 bytes.)",
        "[defaultAllocator.cpp::allocate::57] Error Code 1: Cuda Runtime (out of memory)",
        "Error Code 1: Cuda Runtime (an illegal memory access was encountered)",
        "graph_jit.cpp:278: CHECK(status == CUDA_SUCCESS)",
        "CUDA initialization failure with error: 802",
        "Error Code 7: BuildCanceled",
        DRIVER,
    ],
)
def test_what_may_go_better_another_time_records_nothing(text: str) -> None:
    error = error_of(*lines(text))
    assert isinstance(error, BackendError)
    assert text in str(error)


def test_a_layer_without_an_implementation_is_told_from_a_want_of_memory() -> None:
    starved = lines(
        "Tactic Device request: 4000MB Available: 300MB. Device memory is insufficient to use "
        "tactic.",
        severity="WARNING",
    )
    error = error_of(*starved, *lines(NOTHING))
    assert isinstance(error, BackendError)
    assert "Available: 300MB" in str(error)
    assert "free GPU memory" in str(error)
    assert isinstance(error_of(*lines(NOTHING)), BuildFailedError)


def test_out_of_memory_counts_before_what_follows_from_it() -> None:
    error = error_of(*lines(NOTHING, "Error Code 2: OutOfMemory (no further information)"))
    assert isinstance(error, BackendError)
    assert "OutOfMemory" in str(error)


def test_lines_that_name_no_cause_are_left_out() -> None:
    log = [
        *lines("--- Begin node ---", "real", "--- End node ---", "", "real", DRIVER),
        *lines("only a warning", severity="WARNING"),
    ]
    assert causes(log) == ["real"]
    assert causes(lines(DRIVER)) == [DRIVER]


def test_silence_is_said() -> None:
    error = error_of()
    assert isinstance(error, BuildFailedError)
    assert "TensorRT says nothing of why" in error.text
    assert error.code == "build_failed"


@pytest.mark.parametrize(
    "text",
    [
        "Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed",
        "not compatible with this version of TensorRT, expecting library version 11.4.0 got 10.16",
        "generated on an incompatible device, expecting compute 9.0 got compute 8.9",
    ],
)
def test_a_plan_that_does_not_fit_says_to_build_it_again(text: str) -> None:
    error = refusal("loading engine.plan", lines(text), repair="run it again")
    assert "loading engine.plan" in str(error)
    assert "dvc repro -f build@" in str(error)


def test_another_refusal_of_the_runtimes_keeps_its_own_repair() -> None:
    error = refusal("choosing profile 3", lines("profile index out of range"), repair="add one")
    assert str(error) == "choosing profile 3: profile index out of range; add one"
