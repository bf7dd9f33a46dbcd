"""ONNX Runtime, which every answer of TensorRT's is held against."""

from __future__ import annotations

import numpy as np

from trtproof.doctor.base import Finding, failed, ok
from trtproof.doctor.engines import expect
from trtproof.doctor.graphs import QUESTIONS, make_question

REINSTALL = "reinstall it: pip install --force-reinstall 'trtproof[cpu]' (or trtproof[cuda])"


def check_onnxruntime() -> Finding:
    """See that ONNX Runtime computes what NumPy computes, and which providers it has."""
    try:
        import onnxruntime
    except ImportError as error:
        return failed(f"onnxruntime cannot be imported: {error}", REINSTALL)
    question = make_question("two_inputs")
    first, second = question.feeds["a"], question.feeds["b"]
    got = expect(question)["y"]
    if not np.allclose(got, first @ second + first, atol=1e-5):
        return failed("ONNX Runtime multiplies otherwise than NumPy", REINSTALL)
    providers = onnxruntime.get_available_providers()
    version = onnxruntime.__version__
    return ok(f"onnxruntime {version}: {', '.join(providers)}", providers=providers)


def check_references() -> Finding:
    """Make every tiny graph and have ONNX Runtime compute what TensorRT's are held against."""
    broken = {}
    for name in QUESTIONS:
        question = make_question(name)
        values = expect(question)
        if not all(np.isfinite(value).all() for value in values.values()):
            broken[name] = "not finite"
    if broken:
        return failed(f"ONNX Runtime gives no numbers for {', '.join(broken)}", REINSTALL)
    return ok(f"{len(QUESTIONS)} tiny graphs have a reference")
