"""`import tensorrt` gives the strict fake where this folder is on PYTHONPATH."""

from __future__ import annotations

import sys

from tests.fake_tensorrt.host import host_of_environment
from tests.fake_tensorrt.module import make_tensorrt

sys.modules[__name__] = make_tensorrt(host_of_environment())
