"""An open network, whatever runtime runs it.

Each call of a network uses one thread: a pool of threads, one per core, that each process a whole picture has more
throughput than all cores on one picture.
"""

from collections.abc import Sequence

from models.errors import DamagedModel, RuntimeUnavailable
from models.onnx_runtime import OnnxRuntimeSession
from models.openvino_runtime import OpenVinoSession
from models.runtimes import REFERENCE, ROUNDING, Runtime
from models.session import Session, Tensor


class Network:
    """An open network with one input; calls are thread-safe and deterministic."""

    def __init__(self, prepared: bytes, outputs: Sequence[str] = (), runtime: Runtime = REFERENCE) -> None:
        """Open the network.

        Args:
            prepared: the bytes that `models.prepare.prepare` returned.
            outputs: the names of the outputs to read, in order; empty means all.
            runtime: what runs the network.

        Raises:
            DamagedModel: the runtime cannot open the network, or the network lacks one of the outputs.
            RuntimeUnavailable: the runtime is not installed, or the processor lacks what it needs.
        """
        try:
            self._session = _session(prepared, runtime)
        except RuntimeUnavailable:
            raise
        except Exception as error:  # the errors of a runtime share no base class
            raise DamagedModel(f"{_TITLES[runtime]} cannot open the network: {_reason(error)}") from error
        existing = self._session.output_names
        missing = [name for name in outputs if name not in existing]
        if missing:
            raise DamagedModel(f"the network has no output named {missing[0]}; it has {', '.join(existing)}")
        self._outputs = list(outputs) or list(existing)

    def __call__(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for one input tensor.

        Raises:
            DamagedModel: the network does not accept a tensor of this shape.
        """
        try:
            return self._session(tensor, self._outputs)
        except Exception as error:
            raise DamagedModel(
                f"the network cannot run on an input of shape {tensor.shape}: {_reason(error)}"
            ) from error


_TITLES: dict[Runtime, str] = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "openvino-bfloat16": "OpenVINO",
}


def _session(prepared: bytes, runtime: Runtime) -> Session:
    if runtime == REFERENCE:
        return OnnxRuntimeSession(prepared)
    return OpenVinoSession(prepared, bfloat16=runtime == ROUNDING)


def _reason(error: Exception) -> str:
    """Return the line that says what is wrong: OpenVINO's last line, behind places in its source, or the first line."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return lines[-1] if lines[0].startswith("Exception from") else lines[0]
