"""`import cuda.bindings.runtime` gives the strict fake where `path` is on PYTHONPATH."""

from __future__ import annotations

import sys

from tests.fake_cuda.gpu import current_machine
from tests.fake_cuda.runtime import make_runtime

sys.modules[__name__] = make_runtime(current_machine)
