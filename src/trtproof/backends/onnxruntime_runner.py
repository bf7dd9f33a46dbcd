"""One stream of ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtproof.backends.host import SLOTS, HostRunner
from trtproof.backends.onnxruntime_library import first_line, library_errors
from trtproof.errors import BackendError
from trtproof.tensor import Feeds, Signature

if TYPE_CHECKING:
    import onnxruntime as ort


class OnnxRuntimeRunner(HostRunner):
    """One stream on the CPU; inputs are bound in place."""

    def __init__(self, session: ort.InferenceSession, signature: Signature) -> None:
        super().__init__(signature)
        self._session = session
        self._errors = library_errors()
        self._bindings: list[ort.IOBinding | None] = [None] * SLOTS

    def bind(self, slot: int, buffers: Feeds) -> None:
        """Bind inputs to these arrays and outputs to memory of ONNX Runtime's arena."""
        binding = self._session.io_binding()
        for name, buffer in buffers.items():
            binding.bind_cpu_input(name, buffer)
        for name in self.signature.output_names:
            binding.bind_output(name, "cpu")
        self._bindings[slot] = binding

    def launch(self, slot: int) -> None:
        """Run the inference to its end.

        Raises:
            BackendError: a kernel failed, or nothing was staged.
        """
        try:
            self._session.run_with_iobinding(self._bindings[slot])
        except self._errors as error:
            raise BackendError(f"running the plan: {first_line(error)}") from error

    def read(self, slot: int) -> Feeds:
        """Return copies of the slot's outputs."""
        binding = self._bindings[slot]
        if binding is None:
            raise BackendError(f"slot {slot} was read before anything was staged in it")
        values = binding.copy_outputs_to_cpu()
        return dict(zip(self.signature.output_names, values, strict=True))

    def release(self) -> None:
        """Let go of the bindings, and with them of the outputs."""
        self._bindings = [None] * SLOTS


class OnnxRuntimeEngine:
    """A loaded plan; its runners share the session, whose runs may overlap."""

    def __init__(
        self, session: ort.InferenceSession, signature: Signature, facts: Mapping[str, Any]
    ) -> None:
        self._session = session
        self.signature = signature
        self.facts = facts

    def runner(self, stream: int) -> OnnxRuntimeRunner:
        """Return a runner with its own buffers; on a CPU every `stream` is equal."""
        del stream
        return OnnxRuntimeRunner(self._session, self.signature)
