"""A small project of its own in a temporary folder, driven by real `dvc` runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
FAKE_HOST = Path(__file__).parent / "fake_host"
COPIED = ("dvc.yaml", ".dvcignore", ".gitignore", "stages", "conf", "imports")
RAN = re.compile(r"^Running stage '([^']+)'", re.MULTILINE)
RESTORED = re.compile(r"^Stage '([^']+)' is cached - skipping run", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What one `dvc repro` did."""

    code: int
    output: str

    @property
    def ran(self) -> set[str]:
        """Return the stages whose command ran."""
        return set(RAN.findall(self.output)) - self.restored

    @property
    def restored(self) -> set[str]:
        """Return the stages whose outputs came back from the run-cache."""
        return set(RESTORED.findall(self.output))

    @property
    def errors(self) -> list[str]:
        """Return the one-line errors of the stages."""
        return [line for line in self.output.splitlines() if line.startswith("error: ")]


@dataclass
class Project:
    """One temporary project; `host` is what fake_host/sitecustomize.py puts in place."""

    root: Path
    host: dict[str, Any]

    def environment(self) -> dict[str, str]:
        """Return the environment of every command: this interpreter first on the path."""
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "TRTPROOF_", "GIT_DIR", "COVERAGE"))
        }
        return variables | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(FAKE_HOST), str(self.root / "src")]),
            "TRTPROOF_TEST_HOST": json.dumps(self.host),
            "DVC_NO_ANALYTICS": "1",
            "OMP_NUM_THREADS": "1",
            **{
                f"GIT_{role}_{field}": value
                for role in ("AUTHOR", "COMMITTER")
                for field, value in (("NAME", "test"), ("EMAIL", "test@localhost"))
            },
        }

    def command(self, *words: str, timeout: float = 300) -> Outcome:
        """Run a command in the project and return its code and its output."""
        done = subprocess.run(
            words,
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in its own process group, for tests that kill it."""
        return subprocess.Popen(
            words,
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def repro(self, *targets: str) -> Outcome:
        """Run `dvc repro`, whatever comes of it."""
        return self.command("dvc", "repro", *targets)

    def must(self, *words: str) -> str:
        """Run a command that has to succeed and return its output."""
        outcome = self.command(*words)
        assert outcome.code == 0, f"{' '.join(words)}\n{outcome.output}"
        return outcome.output

    def compose(self) -> None:
        """Run `trtproof compose`."""
        self.must("trtproof", "compose")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that occurs in a file."""
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {path}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def json(self, path: str) -> Any:
        """Return a JSON file of the project."""
        return json.loads((self.root / path).read_text(encoding="utf-8"))

    def hashes(self) -> dict[str, str]:
        """Return stage -> hash of its outputs as dvc.lock records them."""
        import yaml

        lock = yaml.safe_load((self.root / "dvc.lock").read_text(encoding="utf-8"))
        return {
            stage: " ".join(out["md5"] for out in entry.get("outs", []))
            for stage, entry in lock["stages"].items()
        }

    def copy_to(self, root: Path) -> Project:
        """Return a copy with its own workspace, lock and cache."""
        shutil.copytree(self.root, root, symlinks=True)
        return Project(root, dict(self.host))


def make_project(root: Path, extra: dict[str, str]) -> Project:
    """Make a git and DVC repository with the pipeline and some files of the test's own."""
    root.mkdir(parents=True)
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(REPOSITORY / ".dvc" / name, root / ".dvc" / name)
    for path, text in extra.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    project = Project(root, {})
    project.must("git", "init", "-q")
    return project
