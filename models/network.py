"""Opens networks with ONNX Runtime, which is imported in this module only.

Each call of a network uses one thread: a pool of threads, one per core, that each process a whole picture has more
throughput than all cores on one picture. Spinning is switched off, because spinning threads of several networks slow
each other down several times.

The telemetry of ONNX Runtime is switched off: from version 1.29 on it reports to its maker and stores an identifier of
the machine, unless an environment variable forbids that before the import.
"""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.errors import DamagedModel

Tensor = NDArray[np.float32]

LOG_FATAL_ONLY = 4
"""The severity from which on ONNX Runtime logs: errors are raised as exceptions, and its other messages are useless to
an operator."""


class Network:
    """An open network with one input; calls are thread-safe and deterministic."""

    def __init__(self, prepared: bytes, outputs: Sequence[str] = ()) -> None:
        """Open the network.

        Args:
            prepared: the bytes that `models.prepare.prepare` returned.
            outputs: the names of the outputs to read, in order; empty means all.

        Raises:
            DamagedModel: ONNX Runtime cannot open the network, or the network lacks one of the outputs.
        """
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
        try:
            self._session = ort.InferenceSession(prepared, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise DamagedModel(f"ONNX Runtime cannot open the network: {_first_line(error)}") from error
        self._input: str = self._session.get_inputs()[0].name
        existing = [output.name for output in self._session.get_outputs()]
        missing = [name for name in outputs if name not in existing]
        if missing:
            raise DamagedModel(f"the network has no output named {missing[0]}; it has {', '.join(existing)}")
        self._outputs = list(outputs) or existing
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = LOG_FATAL_ONLY

    def __call__(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for one input tensor.

        Raises:
            DamagedModel: the network does not accept a tensor of this shape.
        """
        try:
            return tuple(self._session.run(self._outputs, {self._input: tensor}, self._run_options))
        except Exception as error:
            raise DamagedModel(
                f"the network cannot run on an input of shape {tensor.shape}: {_first_line(error)}"
            ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
