"""Preparation changes how fast the real networks are, not what they say."""

from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import numpy_helper

from capture.explaining.differing import BETWEEN_MACHINES
from engine.vision.networks.build import build_model_set
from engine.vision.ports import Image
from models.manifest import OPTIONAL_ROLES, REQUIRED_ROLES, Role, default_manifest
from models.network import Network
from models.prepare import SMALLEST_WEIGHT
from models.runtimes import Runtime
from models.store import ModelStore, State

FIXED_SHAPE = {
    "detector": (10, 3, 32, 32),
    "embedder": (1, 3, 112, 112),
    "liveness": (1, 3, 128, 128),
    "pose": (1, 3, 224, 224),
    "landmarks": (1, 1, 64, 64),
    "age": (1, 3, 64, 64),
    "sex": (1, 3, 64, 64),
}
ROLES = [role for role in (*REQUIRED_ROLES, *OPTIONAL_ROLES) if default_manifest().offers(role)]


def source_of(store: ModelStore, role: Role) -> bytes:
    entry = store.manifest.network(role)
    cached = [path for path in _cache_of(store).rglob("*") if path.name == entry.sha256]
    assert len(cached) == 1
    return cached[0].read_bytes()


def _cache_of(store: ModelStore) -> Path:
    return store.sample("astronaut.png").parents[2]


def test_everything_is_there_and_unharmed(store: ModelStore):
    assert [line.state for line in store.verify()] == [State.READY] * len(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_a_prepared_network_answers_as_its_source(store: ModelStore, role: Role):
    entry = store.manifest.network(role)
    tensor = np.random.default_rng(5).normal(size=FIXED_SHAPE[role]).astype(np.float32)
    before = Network(source_of(store, role), entry.outputs)(tensor)

    for one, other in zip(store.open(role)(tensor), before, strict=True):
        assert np.allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("role", ROLES)
def test_openvino_computes_what_onnx_runtime_computes(store: ModelStore, role: Role):
    entry = store.manifest.network(role)
    other = ModelStore(_cache_of(store), store.manifest, {role: "openvino"})
    tensor = np.random.default_rng(6).normal(size=(1, *FIXED_SHAPE[role][1:])).astype(np.float32)

    for one, two in zip(store.open(role)(tensor), other.open(role)(tensor), strict=True):
        assert np.abs(one - two).max() <= 1e-4 * max(1.0, float(np.abs(one).max())), entry.name
    assert other.identity(role) == store.identity(role)


@pytest.mark.parametrize("role", ROLES)
def test_openvino_computes_in_the_calling_thread(store: ModelStore, role: Role):
    chosen = ModelStore(_cache_of(store), store.manifest, {role: "openvino"})
    tensor = np.zeros((1, *FIXED_SHAPE[role][1:]), np.float32)
    threads = psutil.Process().num_threads()
    network = chosen.open(role)
    for _ in range(3):
        network(tensor)

    assert psutil.Process().num_threads() <= threads


def test_cosines_are_those_of_onnx_runtime_within_what_replay_allows_between_machines(
    store: ModelStore, astronaut: Image
):
    def vectors(runtimes: dict[str, Runtime]) -> np.ndarray:
        chosen = ModelStore(_cache_of(store), store.manifest, runtimes)
        models = build_model_set(chosen.manifest, chosen.open, chosen.identity)
        pictures = [np.ascontiguousarray(picture) for picture in (astronaut, astronaut[:, ::-1], astronaut // 2)]
        return np.array([models.embedder(picture, models.detector(picture)[0]).vector for picture in pictures])

    reference, ours = vectors({}), vectors(dict.fromkeys(map(str, ROLES), "openvino"))
    assert np.abs(reference @ reference.T - ours @ ours.T).max() < BETWEEN_MACHINES / 2
    assert np.abs(reference @ reference.T - reference @ ours.T).max() < BETWEEN_MACHINES / 2


def test_the_embedder_is_shipped_with_denormal_weights_and_prepared_without(store: ModelStore):
    def denormals(data: bytes) -> int:
        weights = (numpy_helper.to_array(tensor) for tensor in onnx.load_model_from_string(data).graph.initializer)
        return sum(int(((np.abs(w) < SMALLEST_WEIGHT) & (w != 0)).sum()) for w in weights if w.dtype == np.float32)

    prepared = next((_cache_of(store) / "prepared").glob(f"{store.identity('embedder')}.onnx"))

    assert denormals(source_of(store, "embedder")) > 100_000
    assert denormals(prepared.read_bytes()) == 0


def test_the_detector_takes_pictures_of_any_multiple_of_32(store: ModelStore):
    detector = store.open("detector")
    for height, width in ((32, 32), (256, 320), (96, 640)):
        heat = detector(np.zeros((1, 3, height, width), np.float32))[0]
        assert heat.shape == (1, 1, height // 4, width // 4)
