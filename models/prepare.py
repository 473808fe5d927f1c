"""Preparing a network once, so that it runs well: a pure function from the source's bytes to the prepared bytes.

- Shapes that the file fixes without need become dynamic (the manifest says which).
- Initialisers leave the graph's inputs: ONNX Runtime can then fold and fuse them, and stops warning about each.
- Denormal weights become zero: arithmetic on denormal floats is many times slower on most processors, and weights
  below 1e-30 contribute nothing to a float32 sum.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from models.errors import DamagedModel

RECIPE_VERSION = 1
"""Raised whenever the preparation changes its result."""

SMALLEST_WEIGHT = 1e-30
"""Smaller magnitudes become zero. Far above float32's denormals (1.2e-38), so that products with small activations do
not become denormal either; far below anything that a sum with ordinary weights could notice."""


def identity_of(source_sha256: str) -> str:
    """A network's identity: its source and the recipe. (Prepared bytes are not canonical, so their hash is none.)"""
    return f"{source_sha256}-r{RECIPE_VERSION}"


def sha256_of(data: bytes) -> str:
    """The sha256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def prepare(source: bytes, shape: Sequence[int | str] | None = None) -> bytes:
    """The prepared network; `shape` is the manifest's `input.shape`.

    Raises:
        DamagedModel: the bytes are not an ONNX network with one picture input.
    """
    try:
        model = onnx.load_model_from_string(source)
        _take_initialisers_out_of_inputs(model.graph)
        if len(model.graph.input) != 1:
            raise DamagedModel(f"the network has {len(model.graph.input)} inputs; only networks with one are served")
        if shape is not None:
            _make_dynamic(model.graph, shape)
        _flush_denormals(model.graph)
        # Stale intermediate shapes would contradict the dynamic ones; the runtime infers its own.
        del model.graph.value_info[:]
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
    except DamagedModel:
        raise
    except Exception as error:  # onnx, protobuf and numpy each have their own errors for a broken file
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
        # The channels stay; the axes that follow the input's dynamic ones are left to the runtime.
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
