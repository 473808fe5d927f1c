"""An operator's own network for infrared liveness, from the manifest to the verdict."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.policy import LivenessLimits
from engine.vision.liveness.infrared import infrared_checks
from engine.vision.liveness.infrared_picture import InfraredImage
from engine.vision.networks.live import LivenessNetwork
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from models.manifest import Manifest, load_manifest
from models.store import ModelStore

OWN = """
[[networks]]
role = "infrared_liveness"
name = "ours"
file = "ours.onnx"
licence = "our own"
[networks.input]
colour = "bgr"
width = 16
height = 16
divisor = [255.0, 255.0, 255.0]
"""


def brightness_network() -> bytes:
    """Logits (b, 1 - b) of the mean brightness b, 0..1, ten times as steep."""
    scale = numpy_helper.from_array(np.array([[10.0, -10.0]], np.float32), "scale")
    shift = numpy_helper.from_array(np.array([[-5.0, 5.0]], np.float32), "shift")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Reshape", ["mean", "column"], ["b"]),
            helper.make_node("MatMul", ["b", "scale"], ["steep"]),
            helper.make_node("Add", ["steep", "shift"], ["out"]),
        ],
        "brightness",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, (1, 3, 16, 16))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, (1, 2))],
        [scale, shift, numpy_helper.from_array(np.array([1, 1], np.int64), "column")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("gain", "live"), [(1.0, True), (0.3, False)])
def test_an_operators_own_infrared_network_decides(tmp_path: Path, gain: float, live: bool):
    (tmp_path / "ours.onnx").write_bytes(brightness_network())
    (tmp_path / "own.toml").write_text(OWN)
    entry = load_manifest(tmp_path / "own.toml").network("infrared_liveness")
    store = ModelStore(tmp_path / "cache", Manifest(networks=(entry,)))
    store.install()
    models = stand_in_models()
    object.__setattr__(models, "infrared_liveness", LivenessNetwork(store.open("infrared_liveness"), entry))
    colour = draw_scene(640, 480, [(draw_face(1, 160), 200, 150)])
    infrared = draw_scene(640, 480, [(draw_face(1, 160, infrared=True), 200, 150)])
    face = models.detector(colour)[0]
    dimmed = np.asarray(infrared * gain, np.uint8)

    made = infrared_checks(
        colour,
        face,
        InfraredImage(dimmed, models.detector),
        lambda: models.embedder(colour, face),
        models,
        LivenessLimits(ir_live=0.5),
    )

    verdict = next(check for check in made if check.name == "ir_live")
    assert (verdict.passed, verdict.vote) == (live, False)
