"""Opens networks with ONNX Runtime, which is imported in this module only.

Spinning is switched off, because spinning threads of several networks slow each other down several times.

The telemetry of ONNX Runtime is switched off: from version 1.29 on it reports to its maker and stores an identifier of
the machine, unless an environment variable forbids that before the import.
"""

import os
from collections.abc import Sequence

from models.session import Tensor

LOG_FATAL_ONLY = 4
"""The severity from which on ONNX Runtime logs: errors are raised as exceptions, and its other messages are useless to
an operator."""


class OnnxRuntimeSession:
    """A network that ONNX Runtime has opened; see `models.session.Session`."""

    def __init__(self, prepared: bytes) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which reads it
        import onnxruntime as ort  # here, because a command that opens no network must not wait for it

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = LOG_FATAL_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        self._session = ort.InferenceSession(prepared, options, providers=["CPUExecutionProvider"])
        self._input: str = self._session.get_inputs()[0].name
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = LOG_FATAL_ONLY

    @property
    def output_names(self) -> Sequence[str]:
        """The names of all outputs, in the file's order."""
        return [output.name for output in self._session.get_outputs()]

    def __call__(self, tensor: Tensor, outputs: Sequence[str]) -> tuple[Tensor, ...]:
        """Return the named outputs for one input tensor."""
        return tuple(self._session.run(outputs, {self._input: tensor}, self._run_options))
