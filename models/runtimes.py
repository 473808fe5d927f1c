"""Which runtime runs which network.

ONNX Runtime is the default and the reference. OpenVINO in float32 computes the same but for rounding, so a network has
the same identity with both. In bfloat16 what passes between layers has 8 significant bits, and results differ between
kinds of processors by more than replay allows between machines (docs/models.md). So the networks on which embeddings
depend (detector, landmarks, embedder) never run in bfloat16, and the identity of another network says how it rounds.

Settings are made of this module, also where no network is opened; so it imports nothing of this room.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

ExactRuntime = Literal["onnxruntime", "openvino"]
Runtime = Literal["onnxruntime", "openvino", "openvino-bfloat16"]

REFERENCE: Runtime = "onnxruntime"
ROUNDING: Runtime = "openvino-bfloat16"
"""The runtime whose results depend on the kind of the processor."""


class Runtimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The runtimes of single networks; a network that is not set here runs with the runtime of all."""

    detector: ExactRuntime | None = None
    """Of the detector: onnxruntime or openvino."""
    landmarks: ExactRuntime | None = None
    """Of the 68 landmarks: onnxruntime or openvino."""
    embedder: ExactRuntime | None = None
    """Of the embedder: onnxruntime or openvino."""
    liveness: Runtime | None = None
    """Of RGB liveness: onnxruntime, openvino or openvino-bfloat16."""
    pose: Runtime | None = None
    """Of the head pose: onnxruntime, openvino or openvino-bfloat16."""
    infrared_liveness: Runtime | None = None
    """Of infrared liveness: onnxruntime, openvino or openvino-bfloat16."""
    age: Runtime | None = None
    """Of the age: onnxruntime, openvino or openvino-bfloat16."""
    sex: Runtime | None = None
    """Of the sex: onnxruntime, openvino or openvino-bfloat16."""

    def by_role(self, of_all: ExactRuntime) -> Mapping[str, Runtime]:
        """Return role -> runtime (`models.manifest.Role`). `of_all`: that of the networks that are not set here."""
        return {role: getattr(self, role) or of_all for role in self.__struct_fields__}
