"""What must survive: kills, two runs at once, damaged files, wrong settings, failing builds."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.pipeline import models
from tests.pipeline.project import Project

STAGES = [
    "gate",
    "probe",
    "export",
    "calibrate",
    "convert@int8_cpu",
    "audit@int8_cpu",
    "build@onnxruntime-int8_cpu",
    "benchmark",
    "evaluate@onnxruntime-int8_cpu",
    "report",
]


def wait_for(path: Path, seconds: float = 180.0) -> str:
    """Return a file's text once it is there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def wait_until_gone(pids: set[int], seconds: float = 10.0) -> set[int]:
    """Return the processes of these that are still alive after some seconds."""
    deadline = time.monotonic() + seconds
    alive = pids
    while alive and time.monotonic() < deadline:
        alive = {pid for pid in alive if is_alive(pid)}
        time.sleep(0.05)
    return alive


def is_alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def processes_in(root: Path) -> set[int]:
    """Return every live process whose working folder is the project."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").resolve() == root.resolve() and is_alive(int(entry.name)):
                    found.add(int(entry.name))
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["dvc", "stage"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_leaves_no_process_and_nothing_wrong(
    onnx_project: Project, tmp_path: Path, stage: str, victim: str
) -> None:
    marker = tmp_path / "paused"
    before = onnx_project.hashes()
    onnx_project.host["pause"] = {"stage": stage.partition("@")[0], "marker": str(marker)}
    dvc = onnx_project.start("dvc", "repro", "--single-item", "--force", stage)
    stage_pid = int(wait_for(marker))
    family = processes_in(onnx_project.root)
    os.kill(dvc.pid if victim == "dvc" else stage_pid, signal.SIGKILL)
    dvc.communicate(timeout=30)
    assert not wait_until_gone(family | {stage_pid})

    onnx_project.host.clear()
    outcome = onnx_project.repro()
    assert outcome.code == 0, outcome.output
    after = onnx_project.hashes()
    timed = {"build@onnxruntime-int8_cpu", "benchmark", "report"}  # hold when, or how long
    assert {s: h for s, h in after.items() if s not in timed} == {
        s: h for s, h in before.items() if s not in timed
    }
    left = onnx_project.root / "artifacts/.tmp"
    assert not left.exists() or not list(left.iterdir())


def test_a_second_repro_at_the_same_time_is_refused_and_the_first_finishes(
    onnx_project: Project, tmp_path: Path
) -> None:
    marker = tmp_path / "paused"
    onnx_project.host["pause"] = {"stage": "calibrate", "marker": str(marker), "seconds": 4}
    first = onnx_project.start("dvc", "repro", "--single-item", "--force", "calibrate")
    wait_for(marker)
    second = onnx_project.repro("calibrate")
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 0, output
    assert second.code != 0
    assert "busy" in second.output or "lock" in second.output
    onnx_project.host.clear()
    assert onnx_project.repro().ran == {"probe"}


def plan(project: Project, variant: str = "onnxruntime-fp32") -> Path:
    """Return a variant's plan."""
    return project.root / "artifacts/build" / variant / "engine.onnx"


def damage(path: Path, content: bytes) -> None:
    """Replace a file's bytes, whatever its mode."""
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_damaged_file_in_the_workspace_is_restored_not_used(onnx_project: Project) -> None:
    whole = plan(onnx_project).read_bytes()
    damage(plan(onnx_project), whole[: len(whole) // 2])
    outcome = onnx_project.repro()
    assert outcome.code == 0, outcome.output
    assert not {stage for stage in outcome.ran if stage.startswith("build")}
    assert plan(onnx_project).read_bytes() == whole


def test_a_damaged_plan_that_dvc_trusts_is_refused_by_the_sidecar(onnx_project: Project) -> None:
    whole = plan(onnx_project).read_bytes()
    damage(plan(onnx_project), whole[: len(whole) // 2])
    onnx_project.must("dvc", "commit", "-f", "build@onnxruntime-fp32")
    outcome = onnx_project.repro()
    assert outcome.code != 0
    assert "engine.onnx is not the file that the build wrote" in outcome.errors[0]
    assert "dvc repro -f build@onnxruntime-fp32" in outcome.errors[0]
    onnx_project.must("dvc", "repro", "-f", "build@onnxruntime-fp32")
    assert onnx_project.repro().code == 0


def test_an_edited_sidecar_is_refused(onnx_project: Project) -> None:
    sidecar = plan(onnx_project).with_name("engine.json")
    damage(sidecar, sidecar.read_bytes().replace(b'"tf32": false', b'"tf32": true'))
    onnx_project.must("dvc", "commit", "-f", "build@onnxruntime-fp32")
    outcome = onnx_project.repro()
    assert outcome.code != 0
    assert "was edited after the build wrote it" in outcome.errors[0]


def test_a_plan_committed_under_another_machines_key_is_refused(onnx_project: Project) -> None:
    onnx_project.host["cpu"] = "Another CPU @ 9.99GHz"
    onnx_project.must("dvc", "repro", "probe")
    onnx_project.must("dvc", "commit", "-f")
    outcome = onnx_project.repro("--force", "--single-item", "benchmark")
    assert outcome.code != 0
    assert "was built for cpu" in outcome.errors[0]
    assert "dvc repro -f build@" in outcome.errors[0]


@pytest.mark.parametrize(
    ("path", "old", "new", "names"),
    [
        ("conf/benchmark/smoke.yaml", "requests: 20", "request: 20", ["request"]),
        ("conf/benchmark/smoke.yaml", "requests: 20", "requests: many", ["benchmark.requests"]),
        ("conf/benchmark/smoke.yaml", "rounds: 6", "rounds: 0", ["benchmark.rounds"]),
        ("conf/model/tiny.yaml", "min: 1, opt: 4", "min: 6, opt: 4", ["axes", "batch"]),
        ("conf/config.yaml", "reference: onnxruntime-fp32", "reference: no-such", ["no-such"]),
        ("conf/recipe/int8_cpu.yaml", "pass: int8_cpu", "pass: int9", ["int9", "int8_cpu"]),
    ],
)
def test_wrong_settings_are_refused_in_one_line_and_nothing_is_written(
    onnx_project: Project, path: str, old: str, new: str, names: list[str]
) -> None:
    params = onnx_project.root / "params.yaml"
    before = params.read_bytes()
    onnx_project.edit(path, old, new)
    outcome = onnx_project.command("trtproof", "compose")
    assert outcome.code == 1
    (error,) = outcome.errors
    assert all(name in error for name in names), error
    assert params.read_bytes() == before


def test_wrong_settings_composed_by_dvc_itself_stop_at_the_gate(onnx_project: Project) -> None:
    before = onnx_project.hashes()
    outcome = onnx_project.command("dvc", "exp", "run", "-S", "benchmark.rounds=0")
    assert outcome.code != 0
    assert outcome.ran == {"gate"}
    (error,) = outcome.errors
    assert "benchmark.rounds" in error
    assert onnx_project.hashes() == before
    assert plan(onnx_project).exists()


def write_model(project: Project, content: bytes) -> None:
    (project.root / "model/tiny.onnx").write_bytes(content)


def test_broken_model_files_stop_the_export_in_one_line(onnx_project: Project) -> None:
    path = onnx_project.root / "model/tiny.onnx"
    whole = path.read_bytes()
    wide = onnx.load(path)
    wide.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 9
    cases = {"empty": b"", "truncated": whole[: len(whole) // 2], "shape": wide.SerializeToString()}
    for name, content in cases.items():
        write_model(onnx_project, content)
        outcome = onnx_project.repro()
        assert outcome.code != 0, name
        (error,) = outcome.errors
        assert "tiny.onnx" in error or "input" in error, (name, error)
        assert "Traceback" not in outcome.output
    write_model(onnx_project, whole)
    assert onnx_project.repro().code == 0


def test_a_model_that_answers_nan_stops_before_anything_is_built(onnx_project: Project) -> None:
    path = onnx_project.root / "model/tiny.onnx"
    model = onnx.load(path)
    weights = numpy_helper.to_array(model.graph.initializer[2]).copy()
    weights[0, 0] = np.nan
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(weights, "w3"))
    onnx.save(model, path)
    outcome = onnx_project.repro()
    assert outcome.code != 0
    (error,) = outcome.errors
    assert "NaN" in error
    assert "logits" in error or "w3" in error
    assert "Traceback" not in outcome.output


def test_a_failing_build_is_recorded_and_the_others_go_on(onnx_project: Project) -> None:
    path = onnx_project.root / "src/trtproof/backends/onnxruntime.py"
    planted = (
        "        if spec.precision == 'int8_cpu':\n"
        "            raise BuildFailedError(code='planted', text='planted failure', repair='-')\n"
    )
    lines = path.read_text().splitlines(keepends=True)
    head = next(number for number, line in enumerate(lines) if "def compile(" in line)
    body = next(
        n for n in range(head, len(lines)) if '"""' in lines[n] and lines[n].strip() == '"""'
    )
    lines.insert(body + 1, planted)
    path.write_text("".join(lines))
    outcome = onnx_project.repro()
    assert outcome.code == 0, outcome.output
    record = onnx_project.json("artifacts/build/onnxruntime-int8_cpu/engine.json")
    assert (record["status"], record["plan"]) == ("failed", None)
    assert "planted failure" in (onnx_project.root / "metrics/report.md").read_text()
    run = onnx_project.json("artifacts/benchmark/run.json")
    assert run["variants"]["onnxruntime-int8_cpu"]["status"] == "failed"
    assert run["variants"]["onnxruntime-fp32"]["status"] == "built"


def test_a_sample_file_that_is_cut_stops_in_one_line(onnx_project: Project) -> None:
    path = onnx_project.root / "data/evaluation.npz"
    path.write_bytes(path.read_bytes()[:100])
    outcome = onnx_project.repro()
    assert outcome.code != 0
    assert len(outcome.errors) == 1
    assert "evaluation.npz" in outcome.errors[0]


def test_missing_weights_name_the_setting(onnx_project: Project) -> None:
    (onnx_project.root / "model/tiny.onnx").unlink()
    outcome = onnx_project.repro()
    assert outcome.code != 0
    assert "model/tiny.onnx does not exist" in outcome.errors[0]
    assert "model.weights" in outcome.errors[0]
    models.tiny_onnx(onnx_project.root / "model/tiny.onnx")
    assert onnx_project.repro().ran == {"probe"}
