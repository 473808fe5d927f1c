"""Small ONNX networks, made by the tests."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT_SHAPE = (1, 3, 16, 16)


def tiny_embedder(dimension: int = 16, *, denormals: bool = False, initialisers_as_inputs: bool = False) -> bytes:
    """A network that projects a 16 x 16 picture onto fixed random directions."""
    weights = np.random.default_rng(7).normal(size=(int(np.prod(INPUT_SHAPE)), dimension)).astype(np.float32)
    if denormals:
        weights[::2] = np.float32(1e-39)
    inputs = [helper.make_tensor_value_info("picture", TensorProto.FLOAT, INPUT_SHAPE)]
    if initialisers_as_inputs:
        inputs.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, weights.shape))
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["picture"], ["flat"]), helper.make_node("MatMul", ["flat", "weights"], ["out"])],
        "tiny",
        inputs,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, (1, dimension))],
        [numpy_helper.from_array(weights, "weights")],
    )
    return _file(graph)


def tiny_fully_convolutional() -> bytes:
    """A convolution whose file fixes 2 x 3 x 8 x 8 although the network works at any size."""
    weights = np.ones((4, 3, 3, 3), np.float32)
    node = helper.make_node("Conv", ["picture", "weights"], ["map"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "tiny-conv",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, (2, 3, 8, 8))],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, (2, 4, 8, 8))],
        [numpy_helper.from_array(weights, "weights")],
    )
    return _file(graph)


def tiny_prelu(slopes: np.ndarray) -> bytes:
    """A PReLU of a picture of as many channels as `slopes` has rows."""
    shape = (1, slopes.shape[0], 6, 5)
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["picture", "slopes"], ["bent"])],
        "tiny-prelu",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("bent", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(slopes.astype(np.float32), "slopes")],
    )
    return _file(graph)


def tiny_convolution_with_prelu(slopes: np.ndarray, *, read_twice: bool = False) -> bytes:
    """A 3 x 3 convolution with a bias and a PReLU behind it; with `read_twice` its output is the network's too."""
    channels = slopes.shape[0]
    chance = np.random.default_rng(4)
    weights = chance.normal(size=(channels, 3, 3, 3)).astype(np.float32)
    bias = chance.normal(size=channels).astype(np.float32)
    outputs = ["bent", "plain"] if read_twice else ["bent"]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["picture", "weights", "bias"], ["plain"], pads=[1, 1, 1, 1]),
            helper.make_node("PRelu", ["plain", "slopes"], ["bent"]),
        ],
        "tiny-conv-prelu",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, channels, 8, 8)) for name in outputs],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
            numpy_helper.from_array(slopes.astype(np.float32), "slopes"),
        ],
    )
    return _file(graph)


def _file(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())
