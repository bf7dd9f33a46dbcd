"""The doctor on a whole machine, and every one of its steps on a machine that is broken there."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fake_cuda.gpu import current_machine
from tests.fake_machine.sitecustomize import WHOLE, make_nvml
from tests.fake_tensorrt.host import Host
from tests.tensorrt_builds import use_fake

from trtproof import distributions
from trtproof.backends.tensorrt import build, build_process
from trtproof.backends.tensorrt.order import read_order
from trtproof.doctor import behaviour, command, cuda, engines, machine, runner, runtimes, tensorrt
from trtproof.doctor.base import Answer, Finding, Step, failed, ok, skipped
from trtproof.doctor.graphs import QUESTIONS, make_question
from trtproof.doctor.step import ask
from trtproof.doctor.steps import STEPS
from trtproof.doctor.table import render_line, render_summary
from trtproof.errors import HardwareError, UnknownNameError

REPOSITORY = Path(__file__).parents[2]
TESTS = REPOSITORY / "tests"
BY_NAME = {step.name: step for step in STEPS}
MAPS = (
    "7f00-7f01 r-xp 0 fe:01 1 {}/libnvinfer.so.11\n"
    "7f02-7f03 r--p 0 fe:01 2 {}/libnvonnxparser.so.11\n"
)


class Broken:
    """One machine under test; `nvml` answers as `facts` say, `host` is TensorRT's."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.patch, self.folder = patch, folder
        self.facts: dict[str, Any] = {}
        self.versions: dict[str, str | None] = dict(WHOLE)
        real = distributions.installed_version
        patch.setattr(
            distributions,
            "installed_version",
            lambda name: self.versions[name] if name in self.versions else real(name),
        )
        patch.setitem(sys.modules, "pynvml", make_nvml(self.facts))
        patch.setattr(build, "run_process", self.build_here)
        self.maps(MAPS.format("/usr/lib", "/usr/lib"))
        self.trt = use_fake(patch, Host())
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        self.trtexec()

    def build_here(self, work: Any) -> int:
        """Build in this process, so that the fakes of this test are in it."""
        order = read_order(work.folder)
        build_process.carry_out(order, work.folder, build_process.build).write(work.folder)
        return 0

    def host(self, **faults: str) -> None:
        self.trt = use_fake(self.patch, Host(faults=faults))

    def maps(self, text: str) -> None:
        path = self.folder / "maps"
        path.write_text(text, encoding="utf-8")
        self.patch.setattr(tensorrt, "MAPS", path)

    def trtexec(self, times_ms: float = 5.0, code: int = 0) -> None:
        path = self.folder / "trtexec"
        times = json.dumps([{"computeMs": times_ms}] * 3)
        path.write_text(
            f"#!{sys.executable}\nimport sys\nfor word in sys.argv:\n"
            f"    if word.startswith('--exportTimes=') and not {code}:\n"
            f"        open(word.partition('=')[2], 'w').write('''{times}''')\n"
            f"print('last words')\nsys.exit({code})\n",
            encoding="utf-8",
        )
        path.chmod(0o755)
        self.patch.setattr(machine, "find_trtexec", lambda: str(path))
        self.patch.setattr(behaviour, "find_trtexec", lambda: str(path))

    def answer_wrong(self, module: Any) -> None:
        """Let the engine's answers be a little off."""
        whole = module.run_once

        def run(*arguments: Any, **options: Any) -> Any:
            return {name: value + 1 for name, value in whole(*arguments, **options).items()}

        self.patch.setattr(module, "run_once", run)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Broken:
    monkeypatch.chdir(REPOSITORY)
    return Broken(monkeypatch, tmp_path)


def find(name: str) -> Finding:
    return ask(BY_NAME[name].function, BY_NAME[name].argument)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("name", list(BY_NAME))
def test_every_step_is_ok_on_a_whole_machine(name: str) -> None:
    finding = find(name)
    assert finding.status == "ok", finding.text
    assert finding.text
    json.dumps(finding.facts, default=str)


def hide_container(at: Broken) -> None:
    at.patch.setenv("NVIDIA_PRODUCT_NAME", "TensorRT")
    at.patch.setattr(machine, "_sees_system_packages", lambda: False)


def two_onnxruntimes(at: Broken) -> None:
    at.versions |= {"onnxruntime-gpu": "1.30", "onnxruntime": "1.30"}


def full_disk(at: Broken) -> None:
    usage = type("Usage", (), {"free": 2**30})
    at.patch.setattr("shutil.disk_usage", lambda _: usage)


def stale_settings(at: Broken) -> None:
    (at.folder / "conf").mkdir()
    at.patch.chdir(at.folder)


def corrupt_copies(at: Broken) -> None:
    at.patch.setattr("numpy.array_equal", lambda *_: False)


def eager_capture(at: Broken) -> None:
    class Nothing:
        def launch(self) -> None: ...

        def close(self) -> None: ...

    def run_at_once(stream: Any, enqueue: Any) -> Any:
        enqueue()
        stream.synchronize()
        return Nothing()

    at.patch.setattr(cuda, "capture", run_at_once)


def broken_import(at: Broken) -> None:
    at.patch.setitem(sys.modules, "tensorrt", None)


def no_plugins(at: Broken) -> None:
    at.trt.init_libnvinfer_plugins = lambda *_: False


def no_network(at: Broken) -> None:
    at.patch.setattr(at.trt.Builder, "create_network", lambda *_: None)


def unlike_numpy(at: Broken) -> None:
    at.patch.setattr(runtimes, "expect", lambda _: {"y": np.zeros((4, 4), np.float32)})


def not_finite(at: Broken) -> None:
    at.patch.setattr(runtimes, "expect", lambda _: {"y": np.full(3, np.nan)})


def trusting_gate(at: Broken) -> None:
    at.patch.setattr("trtproof.sidecar.verify_plan", lambda *_: None)


BREAKS: dict[str, Callable[[Broken], object]] = {
    "python": hide_container,
    "packages": two_onnxruntimes,
    "disk": full_disk,
    "dvc": lambda at: at.patch.setenv("PATH", "/nowhere"),
    "project": stale_settings,
    "onnxruntime": unlike_numpy,
    "references": not_finite,
    "driver": lambda at: at.facts.update(driver="570.10"),
    "gpu": lambda at: at.facts.update(compute_mode=3),
    "device": lambda at: current_machine().fail("cudaMemGetInfo", "cudaErrorUnknown"),
    "copies": corrupt_copies,
    "graph": eager_capture,
    "installed": lambda at: at.versions.update(
        {"tensorrt-cu13-bindings": None, "tensorrt-rtx": "1.7"}
    ),
    "import": broken_import,
    "mapped": lambda at: at.maps(MAPS.format("/usr/lib", "/opt/tensorrt/lib")),
    "plugins": no_plugins,
    "builder": lambda at: at.host(builder_nullptr=""),
    "parser": lambda at: at.host(builder_nullptr=""),
    "runtime": lambda at: at.host(runtime_nullptr=""),
    "fp32": lambda at: at.answer_wrong(engines),
    "fp16": lambda at: at.host(out_of_memory=""),
    "bf16": lambda at: at.host(no_implementation=""),
    "int8": lambda at: at.host(unhelpful=""),
    "int8_fp16": lambda at: at.host(cuda_error=""),
    "fp8": lambda at: at.host(unsupported="QuantizeLinear"),
    "dynamic": lambda at: at.host(context_null=""),
    "two_inputs": lambda at: at.host(enqueue_refused="no"),
    "nonzero": lambda at: at.answer_wrong(engines),
    "nms": lambda at: at.host(unsupported="NonMaxSuppression"),
    "replay": lambda at: at.host(capture_refused=""),
    "shapes": lambda at: at.answer_wrong(behaviour),
    "profiles": lambda at: at.answer_wrong(behaviour),
    "streams": lambda at: at.patch.setattr(behaviour, "largest_difference", lambda *_: None),
    "outputs": lambda at: at.host(context_null=""),
    "foreign_plan": trusting_gate,
    "trtexec_speed": lambda at: at.trtexec(times_ms=1e-6),
}


def test_every_step_has_a_way_to_break_it() -> None:
    assert set(BREAKS) == set(BY_NAME) - {"trtexec"}, "trtexec only says where it is"


@pytest.mark.parametrize("name", list(BREAKS))
def test_every_step_fails_on_a_machine_that_is_broken_there(broken: Broken, name: str) -> None:
    BREAKS[name](broken)
    finding = find(name)
    assert finding.status == "failed", finding.text
    assert finding.text
    assert finding.repair


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("packages", lambda at: at.versions.update({"tensorrt-cu13-libs": "11.3.0.99"}), "11.3"),
        ("packages", lambda at: at.versions.update({"tensorrt-cu12-bindings": "11.4"}), "both"),
        ("dvc", lambda at: at.patch.setattr("shutil.which", lambda _: "/x/dvc"), "/x/dvc"),
        ("driver", lambda at: at.facts.update(driver="550.1"), "too old for CUDA 13"),
        ("mapped", lambda at: at.maps(""), "no libnvinfer is in this process"),
        ("mapped", lambda at: at.maps(MAPS.replace(".11", ".10").format("/a", "/a")), "version"),
        ("builder", lambda at: at.host(builder_nullptr=""), "CUDA cannot be initialised"),
        ("runtime", lambda at: at.host(runtime_nullptr=""), "factory function returned nullptr"),
        ("fp16", lambda at: at.host(out_of_memory=""), "emory"),
        ("trtexec_speed", lambda at: at.trtexec(code=1), "cannot load our plan: last words"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    broken: Broken, name: str, change: Callable[[Broken], object], text: str
) -> None:
    change(broken)
    finding = find(name)
    assert finding.status == "failed"
    assert text in finding.text


def test_a_machine_without_gpu_and_tensorrt_skips_with_the_reason(broken: Broken) -> None:
    broken.patch.setattr(machine, "find_gpu", lambda _: None)
    assert find("gpu").text == "this machine has no NVIDIA GPU"
    broken.versions |= dict.fromkeys(WHOLE)
    assert find("installed").status == "skipped"
    broken.patch.setattr(engines, "find_gpu", lambda _: None)
    assert find("fp32").status == "skipped"


def test_a_precision_that_the_gpu_has_no_kernels_for_is_skipped(broken: Broken) -> None:
    broken.patch.setattr(
        sys.modules["pynvml"], "nvmlDeviceGetCudaComputeCapability", lambda _: (8, 0)
    )
    finding = find("fp8")
    assert finding.status == "skipped"
    assert "8.0" in finding.text


def test_the_graphs_are_the_same_in_every_run_and_cover_every_precision() -> None:
    for name in QUESTIONS:
        one, other = make_question(name), make_question(name)
        assert one.graph.SerializeToString() == other.graph.SerializeToString()
        assert {key: value.tobytes() for key, value in one.feeds.items()} == {
            key: value.tobytes() for key, value in other.feeds.items()
        }
    precisions = {make_question(name).precision for name in QUESTIONS}
    assert precisions == {"fp32", "fp16", "bf16", "int8", "int8_fp16", "fp8"}


# What follows runs real processes.


def step(name: str, code: str, **options: Any) -> Step:
    return Step(name, name, f"tests.doctor_steps:{code}", **options)


@pytest.fixture
def _tests_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}:{REPOSITORY / 'src'}")


@pytest.mark.usefixtures("_tests_importable")
def test_a_step_that_hangs_crashes_or_raises_stops_no_other() -> None:
    steps = [
        step("hangs", "hang", limit_s=1.0),
        step("crashes", "crash"),
        step("raises", "raise_it"),
        step("refuses", "refuse"),
        step("works", "work", argument="well"),
        step("needs", "work", needs=("works", "crashes")),
        step("skips", "skip"),
        step("after_failed", "work", argument="too", after=("crashes",)),
        step("after_skipped", "work", after=("skips",)),
    ]
    answers = {answer.name: answer for answer in runner.run_steps(steps)}
    found = {name: answer.finding for name, answer in answers.items()}
    assert "no answer within 1 s" in found["hangs"].text
    assert "ended by SIGSEGV" in found["crashes"].text
    assert "ended with code 1: ZeroDivisionError" in found["raises"].text
    assert (found["refuses"].text, found["refuses"].repair) == ("it is not here", "put it here")
    assert found["works"] == ok("works well")
    assert found["needs"] == skipped("needs crashes, which failed")
    assert found["after_failed"] == ok("works too")
    assert found["after_skipped"] == skipped("not today")
    assert "before it hangs" in answers["hangs"].output


@pytest.mark.usefixtures("_tests_importable")
def test_what_a_hanging_step_started_ends_with_it(tmp_path: Path) -> None:
    marker = tmp_path / "child"
    list(runner.run_steps([step("hangs", "hang_with_child", argument=str(marker), limit_s=2.0)]))
    child = int(marker.read_text(encoding="utf-8"))
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text(encoding="utf-8").split()[2] == "Z"


def test_steps_beyond_the_time_are_said_to_be_left_out() -> None:
    (answer,) = runner.run_steps([step("late", "work")], limit_s=0.0)
    assert answer.finding.status == "skipped"
    assert "--only" in answer.finding.text


def test_named_steps_bring_what_they_need() -> None:
    names = [one.name for one in command.choose(["trtexec_speed"])]
    assert names == ["gpu", "device", "installed", "import", "trtexec", "trtexec_speed"]
    assert command.choose([]) == list(STEPS)
    with pytest.raises(UnknownNameError, match="no step 'fp31'"):
        command.choose(["fp31"])


def test_the_command_leaves_one_file_and_a_readable_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        Answer("one", "first", ok("fine", number=3), 0.1),
        Answer("two", "second", failed("broken " * 30, "mend it"), 1.0, "log"),
        Answer("three", "third", skipped("no GPU"), 0.0),
    ]
    monkeypatch.setattr(command, "run_steps", lambda _: iter(answers))
    shown: list[str] = []
    parsed = argparse.Namespace(out=tmp_path / "out.json", only=[])
    assert command.run(parsed, shown.append) == 1
    data = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [entry["status"] for entry in data["steps"]] == ["ok", "failed", "skipped"]
    assert data["steps"][1]["repair"] == "mend it"
    assert data["steps"][1]["output"] == "log"
    assert data["steps"][0]["facts"] == {"number": 3}
    assert "1 ok, 1 failed, 1 skipped" in shown[-1]
    assert "Repair the first that failed, two" in shown[-1]
    assert all(len(line) <= 100 for text in shown[:-1] for line in text.splitlines())
    assert "-> mend it" in shown[1]
    assert render_line(answers[2]).startswith("skipped three")
    assert "failed, " in render_summary(answers, "x")


@pytest.mark.slow
def test_the_whole_command_runs_on_the_strict_fake(tmp_path: Path) -> None:
    folders = ["fake_machine", "fake_tensorrt/path", "fake_cuda/path"]
    places = [
        *(str(TESTS / folder) for folder in folders),
        str(REPOSITORY),
        str(REPOSITORY / "src"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "trtproof.cli", "doctor", "--only", "fp16", "replay", "copies"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(places),
            "TRTPROOF_FAKE_MACHINE": "{}",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads((tmp_path / "trtproof-doctor.json").read_text(encoding="utf-8"))
    assert {entry["status"] for entry in data["steps"]} == {"ok"}
    facts = next(entry for entry in data["steps"] if entry["name"] == "fp16")["facts"]
    assert facts["tensorrt"] == Host().version
    assert facts["difference"] is not None


def test_an_error_of_ours_becomes_text_and_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> Any:
        problem = "alone"
        raise HardwareError(problem)

    monkeypatch.setattr("trtproof.doctor.step.load_object", lambda _: refuse)
    finding = ask("x:y", "z")
    assert (finding.text, finding.status) == ("alone", "failed")
    assert finding.repair
