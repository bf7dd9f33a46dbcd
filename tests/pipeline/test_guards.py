"""Rules that keep the tree honest, each applied to the tree and to a mutation of it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.pipeline.project import REPOSITORY, Project

from trtproof import compose

MODULE_LINES, STAGE_LINES, FUNCTION_LINES = 300, 120, 40
KEYED_OTHERWISE = "pythonpath"
"""Not listed by any entry: where the user's modules lie is no input, their resolved source is."""


def stage_entries(text: str) -> dict[str, dict[str, Any]]:
    """Return stage -> its dvc.yaml entry, whatever its foreach."""
    stages = yaml.safe_load(text)["stages"]
    return {name: entry.get("do", entry) for name, entry in stages.items()}


def listed_params(entry: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the sections of params.yaml and of metrics/inputs.json that an entry lists."""
    sections, inputs = set(), set()
    for item in entry.get("params", []):
        if isinstance(item, str):
            sections.add(re.sub(r"\bitem\b", "key", item))  # of a list, and of a mapping
        else:
            inputs.update(item.get("metrics/inputs.json", []))
    return sections, inputs


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function, imported by name or through its module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            if called == name:
                yield node


def section_of(call: ast.Call) -> str:
    """Return the dotted section that a load_section call reads; a variable part reads `${key}`."""
    words = [
        str(argument.value) if isinstance(argument, ast.Constant) else "${key}"
        for argument in call.args[1:]
    ]
    return ".".join(words)


def covered(section: str, listed: set[str]) -> bool:
    """Say whether a listed entry is the section or a parent of it."""
    return any(section == entry or section.startswith(f"{entry}.") for entry in listed)


def unlisted_reads(source: str, entry: dict[str, Any]) -> list[str]:
    """Return what a stage script reads and its dvc.yaml entry does not list."""
    sections, inputs = listed_params(entry)
    tree = ast.parse(source)
    problems = [
        section
        for section in map(section_of, calls(tree, "load_section"))
        if section != KEYED_OTHERWISE and not covered(section, sections)
    ]
    for call in calls(tree, "open_split"):
        split = str(call.args[0].value) if isinstance(call.args[0], ast.Constant) else "?"
        key = {"parity"} if split == "calibration" else set()
        if not inputs & ({split} | key):
            problems.append(f"split {split}")
    for name in ("load_params", "read_params"):
        problems += [name for _ in calls(tree, name)]
    return problems


def oversized(path: Path, source: str, *, module_lines: int) -> list[str]:
    """Return what is too long in a module."""
    problems = []
    if source.count("\n") > module_lines:
        problems.append(f"{path}: {source.count(chr(10))} lines")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                problems.append(f"{path}:{node.lineno} {node.name}: {length} lines")
    return problems


def session_users(root: Path) -> set[str]:
    """Return the modules that make ONNX Runtime sessions or import tensorrt."""
    users = set()
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = {
            name.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for name in node.names
        } | {
            (node.module or "").partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        made = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        names = {
            node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            for node in made
        }
        if "tensorrt" in imports or "InferenceSession" in names:
            users.add(path.relative_to(root).as_posix())
    return users


PIPELINE_TEXT = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
ENTRIES = stage_entries(PIPELINE_TEXT)
READERS = sorted(set(ENTRIES) - {"gate", "probe"})  # these two see everything on purpose


def test_params_is_what_conf_composes_to(tmp_path: Path) -> None:
    committed = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    assert compose.compose(project=REPOSITORY) == committed
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    edited = tmp_path / "conf/benchmark/quick.yaml"
    edited.write_text(edited.read_text().replace("requests: 200", "requests: 201"))
    assert compose.compose(project=tmp_path) != committed


def test_the_stages_are_those_of_dvc_yaml_in_flow_order() -> None:
    scripts = {path.stem for path in (REPOSITORY / "stages").glob("*.py")}
    assert scripts == set(ENTRIES)
    seen: set[str] = set()
    for name, entry in ENTRIES.items():
        for dependency in entry.get("deps", []):
            maker = dependency.removeprefix("artifacts/").partition("/")[0]
            if dependency.startswith("artifacts/"):
                assert maker in seen, f"{name} uses {dependency} before it is made"
        seen.add(name)
        outs = [out if isinstance(out, str) else next(iter(out)) for out in entry["outs"]]
        own = [out for out in outs if out.startswith("artifacts/")]
        assert all(out.split("/")[1] == name for out in own)


@pytest.mark.parametrize("stage", READERS)
def test_a_stage_reads_only_the_sections_that_its_entry_lists(stage: str) -> None:
    source = (REPOSITORY / f"stages/{stage}.py").read_text(encoding="utf-8")
    assert unlisted_reads(source, ENTRIES[stage]) == []
    spied = source + '\nload_section(object, "budget", "spied")\n'
    blind = {**ENTRIES[stage], "params": []}
    assert "budget.spied" in unlisted_reads(spied, blind)


def test_every_module_function_and_stage_stays_readable() -> None:
    problems = []
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        problems += oversized(path, path.read_text(), module_lines=MODULE_LINES)
    for path in sorted((REPOSITORY / "stages").glob("*.py")):
        problems += oversized(path, path.read_text(), module_lines=STAGE_LINES)
    assert problems == []
    assert oversized(Path("long.py"), "x = 1\n" * 121, module_lines=STAGE_LINES)
    assert oversized(Path("f.py"), "def f():\n" + "    x = 1\n" * 41, module_lines=MODULE_LINES)


def test_only_the_backends_open_sessions(tmp_path: Path) -> None:
    assert session_users(REPOSITORY / "src/trtproof") == {
        "backends/onnxruntime.py",
        "backends/onnxruntime_cuda_session.py",
    }
    (tmp_path / "bad.py").write_text("import tensorrt as trt\n")
    assert session_users(tmp_path) == {"bad.py"}


def test_imports_point_one_way(tmp_path: Path) -> None:
    def lint(root: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).parent / "lint-imports", "--no-cache"],
            cwd=root,
            env={"PATH": "", "PYTHONPATH": str(root / "src")},
            capture_output=True,
            text=True,
            check=False,
        )

    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    clean = lint(tmp_path)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    with (tmp_path / "src/trtproof/tensor.py").open("a") as file:
        file.write("\nimport trtproof.config\n")
    assert lint(tmp_path).returncode != 0


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """Return path -> (modified, size) of everything that a stage must not touch unseen."""
    found = {}
    for top in ("artifacts", "metrics", "conf", "stages", "data", "model", "params.yaml"):
        base = root / top
        for path in [base, *base.rglob("*")] if base.is_dir() else [base]:
            if path.is_file() and "__pycache__" not in path.parts:
                stat = path.stat()
                found[path.relative_to(root).as_posix()] = (stat.st_mtime_ns, stat.st_size)
    return found


def foreign(changed: set[str], stage: str) -> set[str]:
    """Return the changed files that are not the stage's own."""
    name = stage.partition("@")[0]
    own = (f"artifacts/{stage.replace('@', '/')}/", f"artifacts/{name}/")
    also = {"probe": ("metrics/hardware.json", "metrics/inputs.json"), "report": ("metrics/",)}
    return {path for path in changed if not path.startswith((*own, *also.get(name, ())))}


def test_a_stage_writes_only_its_own_folder(onnx_project: Project) -> None:
    for stage in (
        "gate",
        "probe",
        "export",
        "calibrate",
        "convert@fp32",
        "audit@fp32",
        "build@onnxruntime-fp32",
        "benchmark",
        "evaluate@onnxruntime-fp32",
        "report",
    ):
        before = snapshot(onnx_project.root)
        onnx_project.must("dvc", "repro", "--single-item", "--force", stage)
        after = snapshot(onnx_project.root)
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        assert foreign(changed, stage) == set()
    assert foreign({"artifacts/export/model.onnx"}, "build@x") == {"artifacts/export/model.onnx"}
