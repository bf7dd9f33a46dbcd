"""The peak of a process's own memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trtproof.measure.memory import STATUS, peak_rss_bytes

MIB = 1024 * 1024
CODE = "from trtproof.measure.memory import peak_rss_bytes; print(peak_rss_bytes())"


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_what_the_program_takes_is_in_its_peak():
    block = f"block = bytearray({200 * MIB}); block[::4096] = b'x' * len(block[::4096]); del block;"
    assert run(block + CODE) > run(CODE) + 190 * MIB


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux has the figure of one program")
def test_a_larger_parents_memory_is_not_its_childs():
    block = bytearray(300 * MIB)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_rss_bytes() > 300 * MIB
    assert run(CODE) < 250 * MIB
