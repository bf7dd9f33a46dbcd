"""How TensorRT is imported, logged and asked for what it may not have."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.module import make_tensorrt
from tests.fake_tensorrt.surface import VERSIONS

from trtproof.backends.tensorrt import library
from trtproof.backends.tensorrt.calls import OptionalCalls
from trtproof.backends.tensorrt.library import LogLine
from trtproof.backends.tensorrt.monitor import make_monitor
from trtproof.errors import HardwareError

TWO_LINES = "no such thing\nand more"


@pytest.fixture(params=VERSIONS)
def trt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = make_tensorrt(Host(version=request.param))
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def say(trt: Any, text: str, severity: str = "ERROR") -> None:
    library.logger(trt).log(trt.ILogger.Severity[severity], text)


def test_the_module_is_taken_with_its_version(trt: Any) -> None:
    assert library.load() is trt
    assert library.version(trt) == trt.__version__
    assert library.major(trt) == int(trt.__version__.partition(".")[0])


def test_one_logger_serves_the_whole_process(trt: Any) -> None:
    assert library.logger(trt) is library.logger(trt)


def test_lines_go_to_every_open_capture_and_to_none_that_is_closed(trt: Any) -> None:
    say(trt, "nobody listens")
    with library.capture() as outer:
        say(trt, "one")
        with library.capture() as inner:
            say(trt, "two", "WARNING")
        say(trt, "three")
    say(trt, "nobody listens")
    assert [str(line) for line in outer] == ["[ERROR] one", "[WARNING] two", "[ERROR] three"]
    assert inner == [LogLine("WARNING", "two")]


def test_a_capture_ends_with_its_block_even_by_an_error(trt: Any) -> None:
    lines: list[LogLine] = []
    with pytest.raises(KeyError), library.capture(lines):
        raise KeyError
    say(trt, "nobody listens")
    assert lines == []


def test_tensorrt_rtx_under_tensorrts_name_is_refused(trt: Any) -> None:
    trt.__name__ = "tensorrt_rtx"
    with pytest.raises(HardwareError, match="tensorrt_rtx, which is not TensorRT"):
        library.load()


def test_an_old_version_is_refused(trt: Any) -> None:
    trt.__version__ = "8.6.1"
    with pytest.raises(HardwareError, match=r"tensorrt 8\.6\.1 is installed.*10\.13"):
        library.load()


def test_what_is_not_installed_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(HardwareError, match=r"tensorrt is not installed.*trtproof\[tensorrt\]"):
        library.load()
    (tmp_path / "tensorrt_rtx.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HardwareError, match="tensorrt_rtx is installed, which is not TensorRT"):
        library.load()


def test_libraries_that_cannot_be_loaded_are_a_line_not_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    (tmp_path / "tensorrt.py").write_text(
        "raise ImportError('libnvinfer.so.11: cannot open shared object file')", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HardwareError, match=r"libnvinfer\.so\.11: cannot open.*trtproof doctor"):
        library.load()


@pytest.mark.parametrize("error", [AttributeError, TypeError, RuntimeError, NotImplementedError])
def test_a_call_that_this_version_lacks_costs_only_its_answer(error: type[Exception]) -> None:
    def refuse() -> int:
        raise error(TWO_LINES)

    calls = OptionalCalls()
    assert calls.optional("streams", refuse) is None
    assert calls.optional("answer", lambda: 42) == 42
    assert calls.unavailable == {"streams": "unavailable: no such thing"}


def test_an_error_of_the_machines_is_not_taken_for_a_missing_call() -> None:
    def fail() -> int:
        raise MemoryError

    with pytest.raises(MemoryError):
        OptionalCalls().optional("streams", fail)


def test_progress_is_a_line_every_few_seconds_and_never_cancels(
    trt: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([0.0, 1.0, 6.0, 7.0, 20.0])
    monkeypatch.setattr("trtproof.backends.tensorrt.monitor.monotonic", lambda: next(seconds))
    monitor = make_monitor(trt, "building fp16")
    monitor.phase_start("Building", "", 9)
    assert [monitor.step_complete("Building", step) for step in range(3)] == [True] * 3
    monitor.phase_finish("Building")
    assert monitor.step_complete("Other", 4) is True
    assert capsys.readouterr().err.splitlines() == [
        "building fp16: Building, step 2 of 9",
        "building fp16: Other, step 5 of 5",
    ]


def test_the_fake_refuses_what_the_bindings_would(trt: Any) -> None:
    logger = library.logger(trt)
    builder = trt.Builder(logger)
    config = builder.create_builder_config()
    with pytest.raises(TypeError):
        trt.Builder()
    with pytest.raises(AttributeError, match="set_flagg"):
        config.set_flagg(trt.BuilderFlag.TF32)
    with pytest.raises(AttributeError):
        config.num_optimization_profiles = 2
    with pytest.raises(AttributeError):
        config.max_streams = 2
    with pytest.raises(TypeError):
        config.set_flag()
    with pytest.raises(TypeError):
        1 << trt.BuilderFlag.TF32  # the bindings' enumerations are no integers
    with pytest.raises(TypeError, match="phase_begin"):
        type("Monitor", (trt.IProgressMonitor,), {"phase_begin": lambda self: None})
    assert builder.create_network(0) is None
    assert hasattr(trt.BuilderFlag, "FP16") == (library.major(trt) == 10)
    if library.major(trt) == 11:
        with pytest.raises(AttributeError):
            _ = config.int8_calibrator
