"""Repeat real `trtproof compare` runs on this machine: no change, then a planted slowdown.

Makes a small project of its own: a chain of equal convolutions as an ONNX file, built and evaluated
by the pipeline and committed. Then, with real sessions of the profile `full`:

- A/A: the workspace against its own commit, nothing changed: every FASTER or SLOWER of a figure
  that decides is a false alarm;
- planted: the same model with some more of the same convolutions, which pass their input on
  unchanged: the same answers for so much more work. Found is a figure that decides and says SLOWER.

    python benchmarks/real_comparisons.py --repetitions 20 --plant 5

Run it from the repository's root on a machine that is otherwise idle. It prints a line per
repetition and a closing table, and with --out keeps every compare.json. Exits with 1 where more
than one repetition in twenty was a false alarm, or one in twenty of the planted was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

REPOSITORY: Final = Path(__file__).parents[1]
COPIED: Final = ("dvc.yaml", ".dvcignore", ".gitignore", "stages", "conf", "imports")
VARIANT: Final = "onnxruntime-fp32"
CLASSES: Final = 6
SIDE: Final = 16
CHANNELS: Final = 16
TOLERATED: Final = 0.05
MODEL: Final = f"""\
name: chain
source: onnx
factory: null
weights: model/chain.onnx
options: {{}}
files: []
inputs:
  input: {{ dtype: float32, shape: [batch, {CHANNELS}, {SIDE}, {SIDE}] }}
outputs: [logits]
axes:
  batch: {{ min: 1, opt: 4, max: 16 }}
"""
DATASET: Final = """\
name: noise
format: npz
synthetic: true
options: {}
files: []
calibration: { file: data/calibration.npz, count: null }
evaluation: { file: data/evaluation.npz, count: null }
"""
DEFAULTS: Final = f"""\
defaults:
  - target: cpu
  - dataset: noise
  - model: chain
  - recipe: [fp32]
  - variant: [{VARIANT}]
  - benchmark: real
  - budget: none
  - _self_
"""


@dataclass(frozen=True)
class Repetition:
    """What one `trtproof compare` said: the words of the figures that decide, and its exit code."""

    code: int
    words: dict[str, str]
    ratios: dict[str, float]
    seconds: float

    @property
    def says_slower(self) -> bool:
        return "SLOWER" in self.words.values()

    @property
    def is_false_alarm(self) -> bool:
        return bool({"SLOWER", "FASTER"} & set(self.words.values()))


def main() -> int:
    """Make the project, repeat, print, and return the exit code."""
    arguments = _parse()
    with tempfile.TemporaryDirectory(prefix="trtproof-real-") as temporary:
        root = Path(temporary) / "project"
        _make_project(root, arguments)
        _dvc(root, "repro", "-q", "build", "evaluate")
        _run(root, "git", "add", "-A")
        _run(root, "git", "commit", "-qm", "base")
        same = _repeat(root, "A/A", arguments)
        extra = round(arguments.convolutions * arguments.plant / 100)
        _write_model(root / "model/chain.onnx", arguments.convolutions, extra)
        _dvc(root, "repro", "-q", "build", "evaluate")
        planted = _repeat(root, f"+{100 * extra / arguments.convolutions:g} %", arguments)
    return _summarize(same, planted, extra / arguments.convolutions)


def _make_project(root: Path, arguments: argparse.Namespace) -> None:
    root.mkdir()
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, root / name, ignore=ignored)
        else:
            shutil.copy(source, root / name)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(REPOSITORY / ".dvc" / name, root / ".dvc" / name)
    (root / "conf/model/chain.yaml").write_text(MODEL)
    (root / "conf/dataset/noise.yaml").write_text(DATASET)
    _rewrite(root / "conf/config.yaml", r"(?s)^defaults:.*?  - _self_\n", DEFAULTS, prefix=True)
    _rewrite(root / "conf/config.yaml", r"reference: \S+", f"reference: {VARIANT}")
    _rewrite(
        root / f"conf/variant/{VARIANT}.yaml", r"threads: \d+", f"threads: {arguments.threads}"
    )
    shutil.copy(root / "conf/benchmark/full.yaml", root / "conf/benchmark/real.yaml")
    real = root / "conf/benchmark/real.yaml"
    _rewrite(real, r"max_minutes: \S+", f"max_minutes: {arguments.minutes}")
    _rewrite(real, r"batches: \[1, 8\]", "batches: [1]")
    _write_model(root / "model/chain.onnx", arguments.convolutions, 0)
    for number, name in enumerate(("calibration", "evaluation")):
        _write_samples(root / f"data/{name}.npz", seed=number)
    _run(root, "git", "init", "-q")
    _run(root, sys.executable, "-m", "trtproof.cli", "compose")


def _rewrite(path: Path, pattern: str, text: str, *, prefix: bool = False) -> None:
    """Replace the one place in a file where a pattern is; what stands before it may go, too."""
    before = path.read_text(encoding="utf-8")
    after, count = re.subn(pattern, lambda _: text, before, count=1, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"{path} has no {pattern!r}: this script is older than the settings")
    if prefix:
        after = re.sub(r"(?m)^  - optional experiment: null\n", "", after)
    path.write_text(after, encoding="utf-8")


def _write_model(path: Path, convolutions: int, extra: int) -> None:
    """Write the chain; `extra` convolutions in its middle pass their input on unchanged."""
    generator = np.random.default_rng(7)
    shape = (CHANNELS, CHANNELS, 3, 3)
    unchanged = np.zeros(shape, dtype=np.float32)
    unchanged[np.arange(CHANNELS), np.arange(CHANNELS), 1, 1] = 1.0
    noise = generator.standard_normal((convolutions, *shape)).astype(np.float32)
    kernels = [unchanged + 0.01 * one for one in noise]
    middle = convolutions // 2
    kernels[middle:middle] = [unchanged.copy() for _ in range(extra)]
    weights = [numpy_helper.from_array(one, f"w{place}") for place, one in enumerate(kernels)]
    head = generator.standard_normal((CLASSES, CHANNELS)).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes, source = [], "input"
    for place in range(len(kernels)):
        nodes.append(
            helper.make_node("Conv", [source, f"w{place}"], [f"c{place}"], pads=[1, 1, 1, 1])
        )
        source = f"c{place}"
    nodes += [
        helper.make_node("GlobalAveragePool", [source], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head"], ["logits"], transB=1),
    ]
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type.lower()}/{number}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *sizes])
        for name, sizes in (("input", (CHANNELS, SIDE, SIDE)), ("logits", (CLASSES,)))
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)


def _write_samples(path: Path, *, seed: int) -> None:
    generator = np.random.default_rng(seed)
    path.parent.mkdir(exist_ok=True)
    images = generator.random((64, CHANNELS, SIDE, SIDE)).astype(np.float32)
    np.savez(path, input=images, labels=(np.arange(64) % CLASSES).astype(np.int64))


def _repeat(root: Path, title: str, arguments: argparse.Namespace) -> list[Repetition]:
    found = []
    for number in range(arguments.repetitions):
        found.append(_compare(root))
        one = found[-1]
        said = ", ".join(
            f"{figure} {word} {one.ratios[figure]:.4f}" for figure, word in one.words.items()
        )
        print(f"{title} {number + 1:2}: exit {one.code}, {one.seconds:.0f} s, {said}", flush=True)
        if arguments.out:
            place = arguments.out / re.sub(r"\W+", "", title)
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(_record_path(root), place / f"{number + 1:02}.json")
    return found


def _compare(root: Path) -> Repetition:
    """Run one comparison; an exit code of 1 is an error and no verdict."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "trtproof.cli", "compare"],
        cwd=root,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 3, 5}:
        raise SystemExit(f"trtproof compare ended with {done.returncode}\n{done.stderr}")
    record: dict[str, Any] = json.loads(_record_path(root).read_text(encoding="utf-8"))
    times = [item for item in record["times"] if item["decides"]]
    if not times:
        why = "no figure decided anything: the session had too few starts of workers"
        raise SystemExit(why)
    return Repetition(
        code=done.returncode,
        words={item["figure"]: item["verdict"]["word"] for item in times},
        ratios={item["figure"]: item["verdict"]["shown"]["value"] for item in times},
        seconds=time.monotonic() - begun,
    )


def _record_path(root: Path) -> Path:
    (path,) = root.glob("artifacts/compare/*/compare.json")
    return path


def _summarize(same: Sequence[Repetition], planted: Sequence[Repetition], share: float) -> int:
    alarms = sum(one.is_false_alarm for one in same)
    missed = sum(not one.says_slower for one in planted)
    print(f"\n{'':24}{'FASTER':>9}{'SAME':>9}{'SLOWER':>9}{'INCONCLUSIVE':>14}  median ratio")
    for title, found in (("A/A", same), (f"+{100 * share:g} %", planted)):
        for figure in found[0].words:
            counts = Counter(one.words.get(figure, "absent") for one in found)
            ratio = float(np.median([one.ratios[figure] for one in found if figure in one.ratios]))
            cells = [counts[word] for word in ("FASTER", "SAME", "SLOWER")]
            row = "".join(f"{count:9}" for count in cells)
            print(f"{title:>8} {figure:15}{row}{counts['INCONCLUSIVE']:14}  {ratio:.4f}")
    print(f"A/A: {alarms} of {len(same)} repetitions have a false alarm")
    print(
        f"planted: {len(planted) - missed} of {len(planted)} found it; the true ratio is about "
        f"{1 / (1 + share):.4f}"
    )
    tolerated = (TOLERATED * len(same), TOLERATED * len(planted))
    return int(alarms > tolerated[0] or missed > tolerated[1])


def _environment() -> dict[str, str]:
    """Return the environment of every command: this interpreter first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    names = {f"GIT_{role}_NAME": "benchmark" for role in ("AUTHOR", "COMMITTER")}
    mails = {f"GIT_{role}_EMAIL": "benchmark@localhost" for role in ("AUTHOR", "COMMITTER")}
    return os.environ | names | mails | {"PATH": path}


def _dvc(root: Path, *words: str) -> None:
    _run(root, sys.executable, "-m", "dvc", *words)


def _run(root: Path, *words: str) -> None:
    done = subprocess.run(
        words, cwd=root, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--plant", type=float, default=5.0, help="per cent of work to add")
    parser.add_argument("--convolutions", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=2.0, help="of one session, at most")
    parser.add_argument("--out", type=Path, help="a folder that keeps every compare.json")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
