"""`import tensorrt` gives the real bindings over the developers' checker (TRTPROOF_TRT_CHECK).

Put this folder on PYTHONPATH of a process whose interpreter has the two packages that the checker
needs. Builds are real there; nothing can be loaded or run.
"""

from __future__ import annotations

import importlib.util
import os
import sys

_name = __name__
_spec = importlib.util.spec_from_file_location("trt_check", os.environ["TRTPROOF_TRT_CHECK"])
assert _spec is not None
assert _spec.loader is not None
_checker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_checker)
sys.modules[_name] = _checker.load()
