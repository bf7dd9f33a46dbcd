"""trtproof as a user has it: its wheel in an environment of its own, beside the libraries here."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.pipeline.project import REPOSITORY, Outcome, Project


@dataclass
class InstalledProject(Project):
    """A folder whose commands run from the installed wheel; `venv` is its environment."""

    venv: Path

    def environment(self) -> dict[str, str]:
        """Return the environment of every command: nothing of this repository is importable."""
        variables = super().environment()
        del variables["PYTHONPATH"]
        variables["PATH"] = f"{self.venv / 'bin'}:{variables['PATH']}"
        return variables

    def repro(self, *targets: str) -> Outcome:
        """Run `dvc repro`, whatever comes of it."""
        return self.command("python", "-m", "dvc", "repro", *targets)

    def at(self, folder: str) -> InstalledProject:
        """Return the project in a folder below."""
        return InstalledProject(self.root / folder, dict(self.host), self.venv)

    def write(self, files: dict[str, str]) -> None:
        """Write files of the user's."""
        for path, text in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text, encoding="utf-8")

    def make_small(self, *, recipes: str, variants: str) -> None:
        """Let a run take seconds: few requests, few variants, the exporter that starts quickly."""
        config = "conf/config.yaml"
        self.edit(config, "recipe: [fp32, fp16, int8_cpu]", f"recipe: [{recipes}]")
        text = (self.root / config).read_text(encoding="utf-8")
        (selected,) = re.findall(r"variant: \[.*\]", text)
        self.edit(config, selected, f"variant: [{variants}]")
        self.edit(config, "benchmark: quick", "benchmark: smoke")
        self.edit(config, "exporter: dynamo", "exporter: legacy")
        self.compose()


def install_wheel(folder: Path) -> Path:
    """Build this repository's wheel, install it, and return the environment that it is in.

    The environment sees the libraries of the running one, but the wheel's own files come first.
    """
    pip = [sys.executable, "-m", "pip"]
    _must(*pip, "wheel", "-q", "--no-deps", "-w", str(folder), str(REPOSITORY))
    (wheel,) = folder.glob("trtproof-*.whl")
    venv = folder / "venv"
    _must(sys.executable, "-m", "venv", "--without-pip", str(venv))
    python = str(venv / "bin/python")
    _must(*pip, "--python", python, "install", "-q", "--no-deps", "--no-index", str(wheel))
    site = venv / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "libraries.pth").write_text("".join(f"{path}\n" for path in sorted(libraries)))
    return venv


def _must(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
