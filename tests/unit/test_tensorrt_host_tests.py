"""The tests for a TensorRT host pass on the strict fake, so that they can be trusted there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.fake_tensorrt.host import Host
from tests.fake_tensorrt.surface import VERSIONS
from tests.tensorrt_builds import FAKE_CUDA_PATH, FAKE_PATH, SOURCE, TESTS


@pytest.mark.parametrize("version", VERSIONS)
def test_the_tests_of_a_tensorrt_host_pass_on_the_fake(version: str) -> None:
    host = Host(version=version)
    paths = [str(FAKE_PATH), str(FAKE_CUDA_PATH), str(TESTS.parent), str(SOURCE)]
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-m", "gpu and tensorrt", "-p", "no:cacheprovider"),
            str(TESTS / "gpu/test_tensorrt.py"),
        ],
        cwd=TESTS.parent,
        env=os.environ | {"PYTHONPATH": ":".join(paths)} | host.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout
