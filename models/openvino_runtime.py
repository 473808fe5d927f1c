"""Opens networks with OpenVINO, which is imported in this module only.

Each call computes in its own thread: with `NUM_STREAMS` 0, OpenVINO starts no threads, so that a background thread of
low priority keeps its priority in the networks. Such a compiled network runs one call at a time. So a session compiles
another copy for each call that finds none idle, and has as many copies as there were calls at once.

A network whose input has any size is planned anew for each size. OpenVINO keeps the plans of 5,000 layers by default,
and grows by hundreds of megabytes while a detector gets photos of many sizes; here it keeps those of 1,024 layers.

OpenVINO reports to its maker when it is imported, with an identifier that it writes into the home folder, if the
package openvino-telemetry can be imported. Here it cannot: OpenVINO then uses a stand-in of its own that does nothing.
"""

import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from models.errors import RuntimeUnavailable
from models.session import Tensor

_PLANS = "1024"

_MISSING = "it is not installed; run: pip install 'picturematch[openvino]'"
_NO_BFLOAT16 = "this processor has no bfloat16; set openvino or onnxruntime in models.runtimes"


def require_openvino(*, bfloat16: bool) -> None:
    """Check that networks can run with OpenVINO here.

    Raises:
        RuntimeUnavailable: OpenVINO is not installed, or `bfloat16` and the processor has none.
    """
    if bfloat16 and "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeUnavailable(_NO_BFLOAT16)
    _core()


class OpenVinoSession:
    """A network that OpenVINO has opened; see `models.session.Session`."""

    def __init__(self, prepared: bytes, *, bfloat16: bool = False) -> None:
        """Open the network.

        Raises:
            RuntimeUnavailable: OpenVINO is not installed, or the processor has no bfloat16.
        """
        require_openvino(bfloat16=bfloat16)
        self._core = _core()
        self._model = self._core.read_model(prepared)
        self._options = {
            "NUM_STREAMS": 0,
            "INFERENCE_NUM_THREADS": 1,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "CPU_RUNTIME_CACHE_CAPACITY": _PLANS,
        }
        self._compiling = threading.Lock()
        first = self._copy()
        self._ports = {name: index for index, port in enumerate(first.model_outputs) for name in port.names}
        self._names = [port.get_any_name() for port in first.model_outputs]
        self._idle = [first]

    @property
    def output_names(self) -> Sequence[str]:
        """The names of all outputs, in the file's order."""
        return self._names

    def __call__(self, tensor: Tensor, outputs: Sequence[str]) -> tuple[Tensor, ...]:
        """Return the named outputs for one input tensor."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._copy()
        try:
            request.infer([np.ascontiguousarray(tensor)], share_inputs=True)
            # The next call of this copy writes over its outputs.
            return tuple(request.get_output_tensor(self._ports[name]).data.copy() for name in outputs)
        finally:
            self._idle.append(request)

    def _copy(self) -> Any:
        with self._compiling:
            return self._core.compile_model(self._model, "CPU", self._options).create_infer_request()


@cache
def _core() -> Any:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # an import of it fails from now on
    try:
        import openvino  # here, because only an operator who asked for it has it
    except ImportError as error:
        raise RuntimeUnavailable(_MISSING) from error
    return openvino.Core()
