import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.errors import DamagedModel
from models.network import Network
from models.prepare import SMALLEST_WEIGHT, prepare
from models.recipe import identity_of, sha256_of
from tests.support.tiny_models import (
    INPUT_SHAPE,
    tiny_convolution_with_prelu,
    tiny_embedder,
    tiny_fully_convolutional,
    tiny_prelu,
)

PICTURE = np.random.default_rng(1).normal(size=INPUT_SHAPE).astype(np.float32)


def test_a_prepared_network_answers_as_its_source():
    source = tiny_embedder(initialisers_as_inputs=True)

    # Folded constants may be summed in another order.
    assert np.allclose(Network(prepare(source))(PICTURE)[0], Network(source)(PICTURE)[0], rtol=1e-4)


def test_initialisers_are_no_longer_inputs():
    model = onnx.load_model_from_string(prepare(tiny_embedder(initialisers_as_inputs=True)))

    assert [value.name for value in model.graph.input] == ["picture"]


def test_denormal_weights_become_zero_and_the_answer_stays():
    source = tiny_embedder(denormals=True)
    weights = numpy_helper.to_array(onnx.load_model_from_string(prepare(source)).graph.initializer[0])

    assert not ((np.abs(weights) < SMALLEST_WEIGHT) & (weights != 0)).any()
    assert (weights == 0).sum() == weights.size / 2
    assert np.allclose(Network(prepare(source))(PICTURE)[0], Network(source)(PICTURE)[0], rtol=1e-4)


def test_fixed_sides_become_dynamic_where_the_manifest_says_so():
    network = Network(prepare(tiny_fully_convolutional(), ["batch", 3, "height", "width"]))

    assert network(np.ones((1, 3, 20, 12), np.float32))[0].shape == (1, 4, 20, 12)
    with pytest.raises(DamagedModel, match="cannot run on an input of shape"):
        Network(prepare(tiny_fully_convolutional()))(np.ones((1, 3, 20, 12), np.float32))


def test_preparing_twice_changes_nothing_more():
    once = prepare(tiny_embedder(denormals=True, initialisers_as_inputs=True))

    assert prepare(once) == once


@pytest.mark.parametrize("junk", [b"", b"not a network", bytes(1000), tiny_embedder()[:-500]])
def test_what_is_no_network_is_told_in_a_sentence(junk: bytes):
    with pytest.raises(DamagedModel, match=r"is not a usable ONNX network|has 0 inputs"):
        prepare(junk)


def test_a_shape_of_other_axes_than_the_network_has_is_refused():
    with pytest.raises(DamagedModel, match="has 4 axes"):
        prepare(tiny_fully_convolutional(), ["batch", "width"])


def test_an_output_that_does_not_exist_is_named():
    with pytest.raises(DamagedModel, match="no output named features; it has out"):
        Network(prepare(tiny_embedder()), ["features"])


def test_an_identity_names_the_source_and_the_recipe():
    source = tiny_embedder()

    assert identity_of(sha256_of(source)).startswith(sha256_of(source) + "-r")


@pytest.mark.parametrize("slope", [-0.7, 0.0, 0.25, 1.0, 1.3])
def test_a_prelu_of_channels_is_taken_apart_and_says_the_same(slope: float):
    slopes = np.array([slope, 0.1, -0.2], np.float32).reshape(3, 1, 1)
    picture = np.random.default_rng(2).normal(size=(1, 3, 6, 5)).astype(np.float32)
    prepared = prepare(tiny_prelu(slopes))

    kinds = [node.op_type for node in onnx.load_model_from_string(prepared).graph.node]
    assert "PRelu" not in kinds
    wanted = np.where(picture > 0, picture, slopes * picture)
    assert np.allclose(Network(prepared)(picture)[0], wanted, atol=1e-6)
    assert prepare(prepared) == prepared


def test_a_prelu_with_one_slope_for_all_stays_as_it_is():
    source = tiny_prelu(np.full((1,), 0.3, np.float32))
    source_model = onnx.load_model_from_string(prepare(source))

    assert [node.op_type for node in source_model.graph.node] == ["PRelu"]


@pytest.mark.parametrize(
    ("slopes", "read_twice", "products"),
    [((0.25, -0.7), False, 1), ((0.25, 0.9995), False, 2), ((0.25, 1.4), False, 2), ((0.25, -0.7), True, 2)],
    ids=["absorbed", "a slope near one", "a slope above one", "a convolution that is read elsewhere"],
)
def test_a_convolution_takes_a_factor_of_its_prelu_where_nothing_else_reads_it(slopes, read_twice, products):
    source = tiny_convolution_with_prelu(np.array(slopes, np.float32).reshape(-1, 1, 1), read_twice=read_twice)
    picture = np.random.default_rng(6).normal(size=(1, 3, 8, 8)).astype(np.float32)
    prepared = prepare(source)

    kinds = [node.op_type for node in onnx.load_model_from_string(prepared).graph.node]
    assert kinds.count("Conv") == 1 + products
    for ours, theirs in zip(Network(prepared)(picture), Network(source)(picture), strict=True):
        assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
