"""Prepares a network once for fast execution: a pure function from the source's bytes to the prepared bytes.

- Shapes that the file fixes without need become dynamic (`input.shape` in the manifest lists them).
- Initialisers are removed from the graph's inputs: ONNX Runtime can then fold and fuse them, and no longer warns about
  each of them.
- Denormal weights become zero: arithmetic on denormal floats is many times slower on most processors, and weights
  below 1e-30 contribute nothing to a float32 sum.
- A PReLU of channels is replaced by operations that ONNX Runtime runs in its blocked layout. A PReLU would make ONNX
  Runtime convert every tensor from and to that layout, which costs more than the convolutions between.

Whoever changes the result increases `RECIPE_VERSION` in models/recipe.py. This module imports onnx, which takes long,
so others import it only where they prepare a network.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from models.errors import DamagedModel

SMALLEST_WEIGHT = 1e-30
"""The least magnitude of a weight; smaller weights become zero. It lies far above float32's denormals (1.2e-38), so
that products with small activations do not become denormal, and far below any weight that changes a float32 sum."""


LARGEST_ABSORBED_SLOPE = 0.999
"""The greatest slope that is absorbed: from a slope of 1 on, 1 - slope is not positive, and just below 1, dividing by
1 - slope would lose digits."""


def prepare(source: bytes, shape: Sequence[int | str] | None = None) -> bytes:
    """Return the prepared network; `shape` is `input.shape` of the manifest.

    Raises:
        DamagedModel: the bytes are not an ONNX network with exactly one input.
    """
    try:
        model = onnx.load_model_from_string(source)
        _take_initialisers_out_of_inputs(model.graph)
        if len(model.graph.input) != 1:
            raise DamagedModel(f"the network has {len(model.graph.input)} inputs; only networks with one are served")
        if shape is not None:
            _make_dynamic(model.graph, shape)
        _expand_prelus(model.graph)
        _flush_denormals(model.graph)
        # The old intermediate shapes would contradict the dynamic ones; ONNX Runtime infers new ones.
        del model.graph.value_info[:]
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
    except DamagedModel:
        raise
    except Exception as error:  # onnx, protobuf and numpy each have their own errors for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DamagedModel(f"the file is not a usable ONNX network: {reason}") from error


def _take_initialisers_out_of_inputs(graph: onnx.GraphProto) -> None:
    initialisers = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initialisers]
    del graph.input[:]
    graph.input.extend(inputs)


def _make_dynamic(graph: onnx.GraphProto, shape: Sequence[int | str]) -> None:
    _set_shape(graph.input[0], shape)
    for output in graph.output:
        dims = output.type.tensor_type.shape.dim
        # The channels stay; ONNX Runtime infers the axes that depend on the input's dynamic axes.
        kept: list[int | str] = [
            dim.dim_value if isinstance(wanted, int) else f"{output.name}_{wanted}"
            for dim, wanted in zip(dims, shape, strict=False)
        ]
        if len(kept) == len(dims):
            _set_shape(output, kept)


def _set_shape(value: onnx.ValueInfoProto, shape: Sequence[int | str]) -> None:
    dims = value.type.tensor_type.shape.dim
    if len(dims) != len(shape):
        raise DamagedModel(f"the network's input has {len(dims)} axes, the manifest's input.shape has {len(shape)}")
    for dim, wanted in zip(dims, shape, strict=True):
        if isinstance(wanted, int):
            dim.dim_value = wanted
        else:
            dim.dim_param = wanted


def _expand_prelus(graph: onnx.GraphProto) -> None:
    """Replace each PReLU(x) by slope * x + (1 - slope) * ReLU(x), with depthwise 1 x 1 convolutions as products.

    Where x is the output of a convolution that no other node reads, that convolution is changed to output
    (1 - slope) * x instead. This saves one of the two products, because ReLU commutes with positive factors.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    sources = _convolutions_of_one_reader(graph, weights)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        slope = numpy_helper.to_array(weights[node.input[1]]) if _is_channel_prelu(node, weights) else None
        if slope is None:
            nodes.append(node)
        elif node.input[0] in sources and (slope < LARGEST_ABSORBED_SLOPE).all():
            nodes.extend(_absorbed(node, slope, sources[node.input[0]], weights, graph))
        else:
            nodes.extend(_expanded(node, slope, graph))
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _is_channel_prelu(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    """Return whether the node is a PReLU of images with a slope for each channel; other PReLUs are not replaced."""
    if node.op_type != "PRelu" or node.input[1] not in weights:
        return False
    slope = weights[node.input[1]]
    return slope.data_type == onnx.TensorProto.FLOAT and len(slope.dims) == 3 and list(slope.dims[1:]) == [1, 1]


def _convolutions_of_one_reader(
    graph: onnx.GraphProto, weights: Mapping[str, onnx.TensorProto]
) -> Mapping[str, onnx.NodeProto]:
    """Return output -> convolution, for convolutions whose output and weights are each read by one node only."""
    reads = Counter(name for node in graph.node for name in node.input) + Counter(value.name for value in graph.output)
    return {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "Conv"
        and reads[node.output[0]] == 1
        and all(name in weights and reads[name] == 1 for name in node.input[1:])
    }


def _absorbed(
    node: onnx.NodeProto,
    slope: NDArray[np.float32],
    source: onnx.NodeProto,
    weights: Mapping[str, onnx.TensorProto],
    graph: onnx.GraphProto,
) -> list[onnx.NodeProto]:
    rest = (1 - slope.astype(np.float64)).reshape(-1)
    for name in source.input[1:]:
        old = numpy_helper.to_array(weights[name])
        scaled = old * rest.reshape(-1, *[1] * (old.ndim - 1))
        weights[name].CopyFrom(numpy_helper.from_array(scaled.astype(np.float32), name))
    result, channels = node.output[0], slope.shape[0]
    ratio = (slope.reshape(-1) / rest).astype(np.float32).reshape(channels, 1, 1, 1)
    graph.initializer.append(numpy_helper.from_array(ratio, f"{result}/slope"))
    make, x, below = onnx.helper.make_node, node.input[0], f"{result}/below"
    return [
        make("Relu", [x], [f"{result}/relu"], name=f"{result}/relu"),
        make("Conv", [x, f"{result}/slope"], [below], name=below, group=channels, kernel_shape=[1, 1]),
        make("Add", [below, f"{result}/relu"], [result], name=f"{result}/sum"),
    ]


def _expanded(node: onnx.NodeProto, slope: NDArray[np.float32], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    source, result = node.input[0], node.output[0]
    channels = slope.shape[0]
    below, above = f"{result}/slope", f"{result}/rest"
    for name, factor in ((below, slope), (above, 1 - slope)):
        graph.initializer.append(numpy_helper.from_array(factor.reshape(channels, 1, 1, 1).astype(np.float32), name))

    def scaled(tensor: str, factor: str, scaled_name: str) -> onnx.NodeProto:
        return onnx.helper.make_node(
            "Conv", [tensor, factor], [scaled_name], name=scaled_name, group=channels, kernel_shape=[1, 1]
        )

    return [
        onnx.helper.make_node("Relu", [source], [f"{result}/relu"], name=f"{result}/relu"),
        scaled(f"{result}/relu", above, f"{result}/above"),
        scaled(source, below, f"{result}/below"),
        onnx.helper.make_node("Add", [f"{result}/above", f"{result}/below"], [result], name=f"{result}/sum"),
    ]


def _flush_denormals(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _flush(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _flush(attribute.t)


def _flush(tensor: onnx.TensorProto) -> None:
    if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        return
    weights = numpy_helper.to_array(tensor)
    tiny = (np.abs(weights) < SMALLEST_WEIGHT) & (weights != 0)
    if tiny.any():
        tensor.CopyFrom(numpy_helper.from_array(np.where(tiny, weights.dtype.type(0), weights), tensor.name))
